"""Estimators with scikit-learn's interface; none of them needs pymatgen, matminer or gensim."""

from trisk.estimators.encoder import (
    CompositionEncoderClassifier,
    CompositionEncoderOptions,
    CompositionEncoderRegressor,
)
from trisk.estimators.graph import GraphTRIADSClassifier, GraphTRIADSOptions, GraphTRIADSRegressor
from trisk.estimators.hybrid import (
    HybridTRIADSClassifier,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
)
from trisk.estimators.meta import DeltaRegressor, HurdleRegressor
from trisk.estimators.potential import TriForcesPotential
from trisk.estimators.pretrainer import TriForcesPretrainer, TriForcesSensors
from trisk.estimators.retrieval import StructureRetriever
from trisk.estimators.triforces import (
    TriForcesClassifier,
    TriForcesOptions,
    TriForcesRegressor,
    load_pretrained,
)
from trisk.estimators.voting import CalibratedVotingRegressor
from trisk.training.settings import TrainingOptions

__all__ = [
    "CalibratedVotingRegressor",
    "CompositionEncoderClassifier",
    "CompositionEncoderOptions",
    "CompositionEncoderRegressor",
    "DeltaRegressor",
    "GraphTRIADSClassifier",
    "GraphTRIADSOptions",
    "GraphTRIADSRegressor",
    "HurdleRegressor",
    "HybridTRIADSClassifier",
    "HybridTRIADSOptions",
    "HybridTRIADSRegressor",
    "StructureRetriever",
    "TrainingOptions",
    "TriForcesClassifier",
    "TriForcesOptions",
    "TriForcesPotential",
    "TriForcesPretrainer",
    "TriForcesRegressor",
    "TriForcesSensors",
    "load_pretrained",
]

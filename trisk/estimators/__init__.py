"""Estimators with scikit-learn's interface; none of them needs pymatgen, matminer or gensim."""

from trisk.estimators.graphs import GraphTRIADSClassifier, GraphTRIADSRegressor
from trisk.estimators.meta import DeltaRegressor, HurdleRegressor
from trisk.estimators.retrieval import StructureRetriever
from trisk.estimators.encoder import (
    CompositionEncoderClassifier,
    CompositionEncoderOptions,
    CompositionEncoderRegressor,
)
from trisk.estimators.hybrid import (
    HybridTRIADSClassifier,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
)
from trisk.estimators.triforces import (
    TriForcesClassifier,
    TriForcesPotential,
    TriForcesPretrainer,
    TriForcesRegressor,
    TriForcesSensors,
)

__all__ = [
    "CompositionEncoderClassifier",
    "CompositionEncoderRegressor",
    "DeltaRegressor",
    "GraphTRIADSClassifier",
    "GraphTRIADSRegressor",
    "HurdleRegressor",
    "HybridTRIADSClassifier",
    "HybridTRIADSRegressor",
    "StructureRetriever",
    "TriForcesClassifier",
    "TriForcesPotential",
    "TriForcesPretrainer",
    "TriForcesRegressor",
    "TriForcesSensors",
]

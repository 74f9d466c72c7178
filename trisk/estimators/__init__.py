"""Estimators with scikit-learn's interface; none of them needs pymatgen, matminer or gensim."""

from trisk.estimators._delta import DeltaRegressor
from trisk.estimators._graph_triads import GraphTRIADSClassifier, GraphTRIADSRegressor
from trisk.estimators._hurdle import HurdleRegressor
from trisk.estimators._hybrid_triads import HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.estimators._potential import TriForcesPotential
from trisk.estimators._triforces_classifier import TriForcesClassifier
from trisk.estimators._triforces_regressor import TriForcesRegressor

__all__ = [
    "DeltaRegressor",
    "GraphTRIADSClassifier",
    "GraphTRIADSRegressor",
    "HurdleRegressor",
    "HybridTRIADSClassifier",
    "HybridTRIADSRegressor",
    "TriForcesClassifier",
    "TriForcesPotential",
    "TriForcesRegressor",
]

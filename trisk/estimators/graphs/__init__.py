"""GraphTRIADS: networks of crystal graphs with bonds, angles and dihedrals."""

from trisk.estimators.graphs._graph_triads import GraphTRIADSClassifier, GraphTRIADSRegressor

__all__ = [
    "GraphTRIADSClassifier",
    "GraphTRIADSRegressor",
]

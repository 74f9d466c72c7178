"""HybridTRIADS: networks of numeric tables."""

from trisk.estimators.tables._hybrid_triads import HybridTRIADSClassifier, HybridTRIADSRegressor

__all__ = [
    "HybridTRIADSClassifier",
    "HybridTRIADSRegressor",
]

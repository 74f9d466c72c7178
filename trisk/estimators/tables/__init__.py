"""Networks of numeric tables: HybridTRIADS, and encoders of element fractions."""

from trisk.estimators.tables._composition_encoder import (
    CompositionEncoderClassifier,
    CompositionEncoderRegressor,
)
from trisk.estimators.tables._hybrid_triads import HybridTRIADSClassifier, HybridTRIADSRegressor

__all__ = [
    "CompositionEncoderClassifier",
    "CompositionEncoderRegressor",
    "HybridTRIADSClassifier",
    "HybridTRIADSRegressor",
]

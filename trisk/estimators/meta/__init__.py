"""Estimators around any other regressor."""

from trisk.estimators.meta._delta import DeltaRegressor
from trisk.estimators.meta._hurdle import HurdleRegressor

__all__ = [
    "DeltaRegressor",
    "HurdleRegressor",
]

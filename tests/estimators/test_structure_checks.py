"""Every estimator for structures passes the common checks of trisk.testing."""

from unittest import SkipTest

import pytest
from nested import make
from sklearn.pipeline import Pipeline, make_pipeline

from trisk.estimators import (
    DeltaRegressor,
    GraphTRIADSClassifier,
    GraphTRIADSRegressor,
    TriForcesClassifier,
    TriForcesRegressor,
)
from trisk.featurizers import CrystalGraphFeaturizer, SpringModelFeaturizer
from trisk.testing import structure_estimator_checks

_SMALL = {
    "n_members": 2,
    "max_epochs": 3,
    "hidden_dim": 16,
    "bond_dim": 12,
    "angle_dim": 4,
    "feedforward_dim": 16,
    "max_cycles": 6,
    "batch_size": 8,
    "random_state": 0,
}
_SMALL_STREAMS = {
    "max_epochs": 3,
    "hidden_dim": 8,
    "n_layers": 2,
    "cutoff": 4.5,
    "batch_size": 8,
    "random_state": 0,
}
ESTIMATORS = [
    make_pipeline(CrystalGraphFeaturizer(), make(estimator, **_SMALL))
    for estimator in (GraphTRIADSRegressor, GraphTRIADSClassifier)
]
ESTIMATORS += [
    make_pipeline(
        CrystalGraphFeaturizer(composition=None, structure=SpringModelFeaturizer()),
        DeltaRegressor(
            make(GraphTRIADSRegressor, **_SMALL),
            reference="SpringModel highest pair frequency (1/cm)",
        ),
    )
]
ESTIMATORS += [
    make(estimator, **_SMALL_STREAMS) for estimator in (TriForcesRegressor, TriForcesClassifier)
]
ESTIMATORS += [
    make_pipeline(
        CrystalGraphFeaturizer(order=1, structure=SpringModelFeaturizer()),
        make(TriForcesRegressor, context=True, **_SMALL_STREAMS),
    )
]
CHECKS = [pair for e in ESTIMATORS for pair in structure_estimator_checks(e)]


def _name(estimator, check):
    function = getattr(check, "func", check)
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    return f"{type(last).__name__}-{function.__name__}"


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[_name(*pair) for pair in CHECKS])
def test_structure_estimator(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        pytest.skip(str(reason))

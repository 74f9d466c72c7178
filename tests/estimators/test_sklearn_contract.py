"""Every tabular estimator passes all of scikit-learn's estimator checks."""

import pytest
from nested import make
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import estimator_checks_generator

from trisk.estimators import (
    DeltaRegressor,
    HurdleRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSRegressor,
)

# Small networks and few epochs: the checks fit some two hundred times, mostly on noise.
_SMALL = {"n_members": 2, "max_epochs": 25, "hidden_dim": 16, "feedforward_dim": 24, "n_steps": 2}
# The companion does what so short a training cannot.
_BRIEF = {**_SMALL, "n_members": 1, "max_epochs": 2, "n_steps": 1}
ESTIMATORS = [
    make(HybridTRIADSRegressor, **_SMALL),
    make(HybridTRIADSClassifier, **_SMALL),
    make(HybridTRIADSRegressor, stack_with=ExtraTreesRegressor(10), calibrate=True, **_BRIEF),
    make(HybridTRIADSClassifier, stack_with=ExtraTreesClassifier(10), **_BRIEF),
    HurdleRegressor(LogisticRegression(), Ridge()),
    HurdleRegressor(ExtraTreesClassifier(10), ExtraTreesRegressor(10), statistic="mean"),
    DeltaRegressor(Ridge(), kind="difference"),
]
CHECKS = [
    (estimator, check)
    for original in ESTIMATORS
    for estimator, check in estimator_checks_generator(original, legacy=True)
]


def _name(check):
    function = getattr(check, "func", check)
    keywords = getattr(check, "keywords", {})
    return "-".join([function.__name__, *(f"{k}={v}" for k, v in keywords.items())])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    CHECKS,
    ids=[f"{type(e).__name__}-{_name(c)}" for e, c in CHECKS],
)
def test_estimator_check(estimator, check):
    check(estimator)


def test_check_matrix_is_not_empty():
    counts = {type(o).__name__: 0 for o in ESTIMATORS}
    for estimator, _ in CHECKS:
        counts[type(estimator).__name__] += 1
    assert counts["HybridTRIADSRegressor"] >= 50
    assert counts["HybridTRIADSClassifier"] >= 50

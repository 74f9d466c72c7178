"""Every estimator passes its checks: scikit-learn's for tables, trisk's for structures."""

from unittest import SkipTest

import pytest
from nested import make, small_encoder
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from trisk.estimators import (
    CompositionEncoderClassifier,
    CompositionEncoderRegressor,
    DeltaRegressor,
    GraphTRIADSClassifier,
    GraphTRIADSRegressor,
    HurdleRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSRegressor,
    TriForcesClassifier,
    TriForcesRegressor,
)
from trisk.featurizers import CrystalGraphFeaturizer, SpringModelFeaturizer
from trisk.testing import structure_estimator_checks

# Small networks and few epochs: the checks fit some two hundred times, mostly on noise.
_SMALL = {"n_members": 2, "max_epochs": 25, "hidden_dim": 16, "feedforward_dim": 24, "n_steps": 2}
# What is stacked does what so short a training cannot.
_BRIEF = {**_SMALL, "n_members": 1, "max_epochs": 2, "n_steps": 1}
_ENCODER = {"pretrained": small_encoder(), "n_members": 1, "max_epochs": 2}
_GRAPH = {
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
_STREAMS = {
    "max_epochs": 3,
    "hidden_dim": 8,
    "n_layers": 2,
    "cutoff": 4.5,
    "batch_size": 8,
    "random_state": 0,
}
OF_TABLES = [
    make(HybridTRIADSRegressor, **_SMALL),
    make(HybridTRIADSClassifier, **_SMALL),
    make(HybridTRIADSRegressor, stack_with=ExtraTreesRegressor(10), calibrate=True, **_BRIEF),
    make(HybridTRIADSClassifier, stack_with=ExtraTreesClassifier(10), **_BRIEF),
    HurdleRegressor(LogisticRegression(), Ridge()),
    HurdleRegressor(ExtraTreesClassifier(10), ExtraTreesRegressor(10), statistic="mean"),
    DeltaRegressor(Ridge(), kind="difference"),
    make(CompositionEncoderRegressor, **_ENCODER),
    make(CompositionEncoderClassifier, **_ENCODER),
]
# scikit-learn tries a row of zeros or negative numbers, which is no composition.
_NO_COMPOSITIONS = {
    "check_class_weight_classifiers",
    "check_estimators_dtypes",
    "check_fit2d_1feature",
    "check_sample_weights_not_an_array",
    "check_sample_weights_pandas_series",
}
_SPRINGS = SpringModelFeaturizer()
OF_STRUCTURES = [
    make_pipeline(CrystalGraphFeaturizer(), make(GraphTRIADSRegressor, **_GRAPH)),
    make_pipeline(CrystalGraphFeaturizer(), make(GraphTRIADSClassifier, **_GRAPH)),
    make_pipeline(
        CrystalGraphFeaturizer(composition=None, structure=_SPRINGS),
        DeltaRegressor(
            make(GraphTRIADSRegressor, **_GRAPH),
            reference="SpringModel highest pair frequency (1/cm)",
        ),
    ),
    make(TriForcesRegressor, **_STREAMS),
    make(TriForcesClassifier, **_STREAMS),
    make_pipeline(
        CrystalGraphFeaturizer(order=1, structure=_SPRINGS),
        make(TriForcesRegressor, context=True, **_STREAMS),
    ),
]


def _function(check):
    return getattr(check, "func", check).__name__


def _name(estimator, check):
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    keywords = [f"{k}={v}" for k, v in getattr(check, "keywords", {}).items()]
    return "-".join([type(last).__name__, _function(check), *keywords])


def _of_tables():
    for original in OF_TABLES:
        is_encoder = isinstance(
            original, CompositionEncoderRegressor | CompositionEncoderClassifier
        )
        for estimator, check in estimator_checks_generator(original, legacy=True):
            if not (is_encoder and _function(check) in _NO_COMPOSITIONS):
                yield estimator, check


CHECKS = list(_of_tables())
STRUCTURE_CHECKS = [pair for e in OF_STRUCTURES for pair in structure_estimator_checks(e)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[_name(*pair) for pair in CHECKS])
def test_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("original", OF_TABLES, ids=lambda e: type(e).__name__)
def test_scikit_learn_has_many_checks(original):
    assert sum(type(estimator) is type(original) for estimator, _ in CHECKS) >= 50


@pytest.mark.filterwarnings("ignore:.*elements that the training set had not:UserWarning")
@pytest.mark.parametrize(
    ("estimator", "check"), STRUCTURE_CHECKS, ids=[_name(*pair) for pair in STRUCTURE_CHECKS]
)
def test_of_structure_estimators(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        pytest.skip(str(reason))

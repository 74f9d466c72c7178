"""Hurdle regression: what is predicted, from which parts, and what is refused."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from trisk.estimators import HurdleRegressor
from trisk.featurizers import MagpieFeaturizer

_FEW = {"n_estimators": 30, "random_state": 0}
_TREES = (ExtraTreesClassifier(**_FEW), ExtraTreesRegressor(**_FEW))


@pytest.fixture(scope="module")
def zero_inflated():
    """A gate and a size that ask for different columns, with noise in both."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(400, 3))
    open_gate = X[:, 0] + 0.1 * rng.normal(size=400) > 0.5
    return X, np.where(open_gate, np.exp(X[:, 1] + 0.2 * rng.normal(size=400)), 0.0)


def test_mean_is_probability_times_size(zero_inflated):
    X, y = zero_inflated
    model = HurdleRegressor(LogisticRegression(), LinearRegression(), statistic="mean").fit(X, y)
    expected = LogisticRegression().fit(X, y > 0).predict_proba(X)[:, 1]
    expected *= LinearRegression().fit(X[y > 0], y[y > 0]).predict(X)
    np.testing.assert_allclose(model.predict(X), expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_median_is_that_of_the_stated_distribution(sign):
    # No columns matter: the median of the model is the median of the sample.
    rng = np.random.default_rng(0)
    for share in (0.3, 0.55, 0.7, 1.0):
        y = np.where(rng.uniform(size=1000) < share, sign * rng.lognormal(size=1000), 0)
        model = HurdleRegressor(DummyClassifier(), DummyRegressor()).fit(np.zeros((1000, 1)), y)
        assert model.proportional_
        predicted = model.predict(np.zeros((2, 1)))
        np.testing.assert_allclose(predicted, np.median(y), atol=0.05)


@pytest.mark.parametrize("center", [-3.0, 0.0, 3.0])
def test_median_of_targets_of_both_signs(center):
    rng = np.random.default_rng(1)
    y = np.where(rng.uniform(size=4000) < 0.8, center + 2 * rng.normal(size=4000), 0)
    model = HurdleRegressor(DummyClassifier(), DummyRegressor()).fit(np.zeros((4000, 1)), y)
    assert not model.proportional_
    np.testing.assert_allclose(model.predict(np.zeros((1, 1))), np.median(y), atol=0.1)


def test_median_has_the_smaller_error_and_mean_no_bias(zero_inflated):
    X, y = zero_inflated
    by = {
        statistic: cross_val_predict(HurdleRegressor(*_TREES, statistic=statistic), X, y)
        for statistic in ("mean", "median")
    }
    plain = cross_val_predict(ExtraTreesRegressor(**_FEW), X, y)
    errors = {name: mean_absolute_error(y, p) for name, p in by.items()}
    assert errors["median"] < errors["mean"]
    assert errors["median"] < mean_absolute_error(y, plain)
    assert by["mean"].mean() == pytest.approx(y.mean(), rel=0.05)


def test_weight_of_two_is_a_row_given_twice(zero_inflated):
    X, y = (part[:60] for part in zero_inflated)
    weight = np.random.default_rng(0).integers(1, 4, size=60)
    rows = np.repeat(np.arange(60), weight)
    fold = np.arange(60) % 3
    by_row = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    by_repeat = [tuple(np.flatnonzero(np.isin(rows, p)) for p in pair) for pair in by_row]
    # The errors' quantiles weigh rows too.
    parts = (LogisticRegression(), LinearRegression())
    weighted = HurdleRegressor(*parts, cv=by_row).fit(X, y, sample_weight=weight)
    repeated = HurdleRegressor(*parts, cv=by_repeat).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-3)


def test_all_zero_and_no_zero(zero_inflated):
    X, y = zero_inflated
    nothing = HurdleRegressor(*_TREES).fit(X, np.zeros(400))
    np.testing.assert_array_equal(nothing.predict(X[:3]), np.zeros(3))
    everything = HurdleRegressor(*_TREES, statistic="mean").fit(X, y + 1)
    assert everything.classifier_ is None
    np.testing.assert_allclose(
        everything.predict(X), clone(_TREES[1]).fit(X, y + 1).predict(X), rtol=1e-12
    )


def test_formulas_through_pipelines(formulas, gaps):
    y = np.where(gaps < 1, 0, gaps)
    parts = [make_pipeline(MagpieFeaturizer(), part) for part in _TREES]
    model = HurdleRegressor(*parts, cv=KFold(3)).fit(formulas, y)
    assert (model.predict(["NaCl", "MgO"]) > 3).all()


def test_a_number_of_folds_repeats_to_the_bit(zero_inflated):
    X, y = zero_inflated
    model = HurdleRegressor(
        ExtraTreesClassifier(n_estimators=5), ExtraTreesRegressor(n_estimators=5), random_state=3
    )
    first, second = (clone(model).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_weights_go_where_they_are_asked_for(zero_inflated):
    X, y = zero_inflated
    weight = np.where(X[:, 2] > 0.5, 1.0, 1e-9)
    with pytest.raises(ValueError, match=r"classifier=KNeighborsClassifier\(\) takes no sample_w"):
        HurdleRegressor(KNeighborsClassifier(), LinearRegression()).fit(X, y, sample_weight=weight)
    with sklearn.config_context(enable_metadata_routing=True):
        regressor = LinearRegression().set_fit_request(sample_weight=True)
        classifier = LogisticRegression().set_fit_request(sample_weight=False)
        model = HurdleRegressor(classifier, regressor, statistic="mean")
        model.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(
        model.regressor_.coef_,
        LinearRegression().fit(X[y > 0], y[y > 0], sample_weight=weight[y > 0]).coef_,
    )
    np.testing.assert_allclose(
        model.classifier_.coef_, LogisticRegression().fit(X, y > 0).coef_, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"statistic": "mode"}, "statistic"),
        ({"classifier": LinearRegression()}, "classifier"),
        ({"cv": 1}, "n_splits"),
    ],
)
def test_bad_parameters(zero_inflated, params, message):
    with pytest.raises(ValueError, match=message):
        HurdleRegressor(**{"classifier": _TREES[0], "regressor": _TREES[1], **params}).fit(
            *zero_inflated
        )


def test_missing_target_is_named(zero_inflated):
    X, y = zero_inflated
    with pytest.raises(ValueError, match="NaN"):
        HurdleRegressor().fit(X, np.where(y == y.max(), np.nan, y))

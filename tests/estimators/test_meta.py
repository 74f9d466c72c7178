"""Regressors around others: what is learned and predicted, where weights go, what is refused."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline

import trisk
from trisk.estimators import (
    DeltaRegressor,
    GraphTRIADSOptions,
    GraphTRIADSRegressor,
    HurdleRegressor,
)
from trisk.featurizers import CrystalGraphFeaturizer, MagpieFeaturizer, SpringModelFeaturizer
from trisk.testing import make_structures

_FEW = {"n_estimators": 30, "random_state": 0}
_SMALL = GraphTRIADSOptions(hidden_dim=8, bond_dim=8, order=1)
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


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_standard_deviation_is_that_of_the_stated_distribution(share):
    rng = np.random.default_rng(0)
    for noise in (rng.normal(size=1000), rng.lognormal(size=1000)):
        y = np.where(rng.uniform(size=1000) < share, noise, 0)
        model = HurdleRegressor(DummyClassifier(), DummyRegressor(), random_state=0)
        model.fit(np.zeros((1000, 1)), y)
        center, std = model.predict(np.zeros((2, 1)), return_std=True)
        np.testing.assert_array_equal(center, model.predict(np.zeros((2, 1))))
        np.testing.assert_allclose(std, y.std(), rtol=0.05)
    mean = model.set_params(statistic="mean")
    with pytest.raises(ValueError, match='needs statistic="median"'):
        mean.predict(np.zeros((2, 1)), return_std=True)


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


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(1, 3, size=(120, 3)), columns=["a", "estimate", "b"])
    X["estimate"] *= 10 ** rng.uniform(0, 2, size=120)
    return X, (X["estimate"] * (0.8 + 0.1 * X["a"])).rename("y")


def test_ratio_and_difference__are_what_the_regressor_learns(table):
    X, y = table
    ratio = DeltaRegressor(LinearRegression(), reference="estimate").fit(X, y)
    np.testing.assert_allclose(ratio.regressor_.predict(X), y / X["estimate"])
    np.testing.assert_allclose(ratio.predict(X), y)
    inner = LinearRegression().fit(X, y - X["estimate"])
    difference = DeltaRegressor(LinearRegression(), reference=1, kind="difference").fit(X, y)
    np.testing.assert_allclose(difference.predict(X), inner.predict(X) + X["estimate"])


def test_trees__learn_a_proportional_error_better_as_a_ratio(table):
    X, y = table
    trees = ExtraTreesRegressor(50, random_state=0)
    plain = cross_val_score(trees, X, y, scoring="neg_mean_absolute_error").mean()
    delta = DeltaRegressor(trees, reference="estimate")
    assert cross_val_score(delta, X, y, scoring="neg_mean_absolute_error").mean() > 0.3 * plain


def test_names__reach_the_regressor(table):
    X, y = table
    model = DeltaRegressor(LinearRegression(), reference="estimate").fit(X, y)
    assert model.feature_names_in_.tolist() == ["a", "estimate", "b"]
    assert model.regressor_.feature_names_in_.tolist() == ["a", "estimate", "b"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["estimate", "a", "b"]])


@pytest.mark.parametrize("kind", ["ratio", "difference"])
def test_spread__is_that_of_the_prediction(table, kind):
    X, y = table
    process = GaussianProcessRegressor(alpha=1e-2, optimizer=None)
    model = DeltaRegressor(process, reference="estimate", kind=kind)
    mean, std = model.fit(X, y).predict(X, return_std=True)
    np.testing.assert_allclose(mean, model.predict(X))
    inner = model.regressor_.predict(X, return_std=True)[1]
    scale = X["estimate"] if kind == "ratio" else 1
    np.testing.assert_allclose(std, inner * scale)


def test_weights__reach_the_regressor_or_are_refused(table):
    X, y = table
    weights = np.arange(120)
    model = DeltaRegressor(DummyRegressor(), reference="estimate")
    model.fit(X, y, sample_weight=weights)
    expected = np.average(y / X["estimate"], weights=weights)
    assert model.regressor_.constant_.item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        DeltaRegressor(KNeighborsRegressor()).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    ("reference", "message"),
    [("estimates", "no column reference='estimates': there are"), (3, "no column: there are 3"),
     (-4, "no column")],
)  # fmt: skip
def test_unknown_column__is_named(table, reference, message):
    with pytest.raises(ValueError, match=message):
        DeltaRegressor(LinearRegression(), reference=reference).fit(*table)


def test_name_without_names__is_refused(table):
    X, y = table
    with pytest.raises(ValueError, match="the columns have no names"):
        DeltaRegressor(LinearRegression(), reference="estimate").fit(X.to_numpy(), y)


def test_estimate_that_has_no_ratio__is_named_with_its_row(table):
    X, y = table
    wrong = X.copy()
    wrong.loc[7, "estimate"] = 0
    model = DeltaRegressor(LinearRegression(), reference="estimate")
    with pytest.raises(ValueError, match=r"estimate of row 7 is 0, .*ratio"):
        model.fit(wrong, y)
    with pytest.raises(ValueError, match="row 7"):
        clone(model).fit(X, y).predict(wrong)
    assert model.set_params(kind="difference").fit(wrong, y).predict(wrong).shape == (120,)


def test_search_and_file__work_as_with_any_estimator(table, tmp_path):
    X, y = table
    search = GridSearchCV(
        DeltaRegressor(trisk.HybridTRIADSRegressor(n_members=1, max_epochs=1), reference=1),
        {"kind": ["ratio", "difference"], "regressor__network__hidden_dim": [8]},
        cv=2,
    ).fit(X, y)
    trisk.save(search.best_estimator_, tmp_path / "delta.trisk")
    loaded = trisk.load(tmp_path / "delta.trisk")
    np.testing.assert_array_equal(loaded.predict(X), search.predict(X))


def test_graphs__estimate_stands_in_their_context():
    structures, frequency, _ = make_structures(16)
    springs = SpringModelFeaturizer()
    graphs = CrystalGraphFeaturizer(composition=None, structure=springs).fit_transform(structures)
    name = "SpringModel highest pair frequency (1/cm)"
    network = GraphTRIADSRegressor(n_members=1, max_epochs=2, network=_SMALL, random_state=0)
    model = DeltaRegressor(network, reference=name).fit(graphs, frequency)
    estimates = springs.fit_transform(structures)[name].to_numpy()
    inner = clone(network).fit(graphs, frequency / estimates)
    np.testing.assert_allclose(model.predict(graphs), inner.predict(graphs) * estimates, rtol=1e-5)
    with pytest.raises(ValueError, match="no column reference='estimate': there are"):
        DeltaRegressor(network, reference="estimate").fit(graphs, frequency)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DeltaRegressor(network, reference=name).fit(graphs, frequency[:3])


@pytest.mark.filterwarnings("ignore:CrystalGraphFeaturizer")
def test_graphs__without_atoms__are_predicted_nan():
    structures, frequency, _ = make_structures(8)
    featurizer = CrystalGraphFeaturizer(
        composition=None, structure=SpringModelFeaturizer(), on_error="nan"
    )
    network = GraphTRIADSRegressor(n_members=1, max_epochs=1, network=_SMALL, random_state=0)
    model = DeltaRegressor(network, reference="SpringModel highest pair frequency (1/cm)")
    model.fit(featurizer.fit_transform(structures), frequency)
    with pytest.warns(UserWarning, match="predictions are NaN"):
        predicted = model.predict(featurizer.transform([structures[0], None]))
    assert np.isnan(predicted).tolist() == [False, True]


class Interrupted(RegressorMixin, BaseEstimator):
    """A regressor whose n-th fit in all is stopped by Ctrl-C."""

    fits = 0

    def __init__(self, stopped=1):
        self.stopped = stopped

    def fit(self, X, y, sample_weight=None):
        Interrupted.fits += 1
        if Interrupted.fits == self.stopped:
            raise KeyboardInterrupt
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class InterruptedGate(LogisticRegression):
    """A classifier whose fit is stopped by Ctrl-C."""

    def fit(self, X, y, sample_weight=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "model",
    [
        DeltaRegressor(Interrupted()),
        HurdleRegressor(InterruptedGate(), DummyRegressor()),
        HurdleRegressor(DummyClassifier(), Interrupted()),  # in a fold
        HurdleRegressor(DummyClassifier(), Interrupted(4)),  # on all rows
        HurdleRegressor(DummyClassifier(), Interrupted(), statistic="mean"),
    ],
)
@pytest.mark.parametrize("fitted_before", [False, True])
def test_interrupted_fit__leaves_no_fitted_model(zero_inflated, model, fitted_before):
    X, y = zero_inflated
    model = clone(model)
    if fitted_before:
        parts = {"regressor": DummyRegressor()}
        if isinstance(model, HurdleRegressor):
            parts["classifier"] = DummyClassifier()
        given = {name: getattr(model, name) for name in parts}
        model.set_params(**parts).fit(X, y).set_params(**given)
    Interrupted.fits = 0
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(NotFittedError):
        trisk.save(model, "nowhere")


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def weighted(name, weight=None):
    """The model with parts that ask for weights, do not, or say nothing."""
    classifier, regressor = LogisticRegression(), LinearRegression()
    if weight is not None:
        classifier.set_fit_request(sample_weight=weight)
        regressor.set_fit_request(sample_weight=weight)
    if name == "delta":
        return DeltaRegressor(regressor, kind="difference")
    return HurdleRegressor(classifier, regressor, cv=KFold(3))


@pytest.mark.parametrize("name", ["delta", "hurdle"])
@pytest.mark.parametrize("request_", [True, "w"])
def test_routed_weights__reach_parts_that_ask(zero_inflated, name, request_):
    X, y = zero_inflated
    weight = np.where(X[:, 2] > 0.5, 1.0, 1e-3)
    expected = weighted(name).fit(X, y, sample_weight=weight).predict(X)
    metadata = {"sample_weight" if request_ is True else "w": weight}
    with sklearn.config_context(enable_metadata_routing=True):
        model = weighted(name, request_)
        np.testing.assert_allclose(model.fit(X, y, **metadata).predict(X), expected)
        # scikit-learn before 1.7 asks for this, too.
        unweighted = model.set_score_request(sample_weight=False)
        search = GridSearchCV(unweighted, {"regressor__fit_intercept": [True]}, cv=2)
        search.fit(X, y, **metadata)
        np.testing.assert_allclose(search.predict(X), expected)


@pytest.mark.parametrize("name", ["delta", "hurdle"])
def test_routed_weights__of_parts_that_do_not_ask(zero_inflated, name, routing):
    X, y = zero_inflated
    weight = np.ones(len(y))
    with pytest.raises(UnsetMetadataPassedError, match="not explicitly set as requested or not"):
        weighted(name).fit(X, y, sample_weight=weight)
    with pytest.raises(TypeError, match="unexpected argument"):
        weighted(name, False).fit(X, y, sample_weight=weight)
    expected = weighted(name).fit(X, y).predict(X)
    np.testing.assert_array_equal(weighted(name, False).fit(X, y).predict(X), expected)


def test_further_metadata__reach_parts_without_routing(zero_inflated):
    X, y = zero_inflated
    weight = np.where(X[:, 2] > 0.5, 1.0, 1e-3)
    steps = make_pipeline(LinearRegression())
    model = DeltaRegressor(steps, kind="difference")
    model.fit(X, y, linearregression__sample_weight=weight)
    expected = weighted("delta").fit(X, y, sample_weight=weight).predict(X)
    np.testing.assert_allclose(model.predict(X), expected)


def test_routed_spread__comes_from_the_regressor(table, routing):
    X, y = table
    process = GaussianProcessRegressor(alpha=1e-2, optimizer=None)
    with pytest.raises(UnsetMetadataPassedError):
        DeltaRegressor(process, reference="estimate").fit(X, y).predict(X, return_std=True)
    process.set_predict_request(return_std=True)
    model = DeltaRegressor(process, reference="estimate").fit(X, y)
    assert (model.predict(X, return_std=True)[1] > 0).all()


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_hurdle__never_leaves_the_sign_of_its_target(statistic):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = np.maximum(X[:, 0], 0)
    model = HurdleRegressor(DummyClassifier(), LinearRegression(), statistic=statistic)
    assert model.fit(X, y).predict(10 * X).min() >= 0


def test_hurdle__takes_weights_where_metadata_is_routed():
    X = np.random.default_rng(0).normal(size=(40, 2))
    with sklearn.config_context(enable_metadata_routing=True):
        HurdleRegressor(random_state=0).fit(X, np.maximum(X[:, 0], 0), sample_weight=np.ones(40))


def test_hurdle__row_of_no_weight_says_nothing():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y, more = np.maximum(X[:, 0], 0), np.vstack([X, [[9.0, 9.0, 9.0]]])
    make_model = lambda: HurdleRegressor(  # noqa: E731
        LogisticRegression(), LinearRegression(), statistic="mean", random_state=0
    )
    expected = make_model().fit(X, y, sample_weight=np.ones(60)).predict(X)
    model = make_model().fit(more, np.append(y, -5.0), sample_weight=np.append(np.ones(60), 0.0))
    np.testing.assert_allclose(model.predict(X), expected)

"""A second model beside the network: its weight, its honesty, and what it leaves alone."""

import numpy as np
import pytest
from nested import make
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trisk import composition_pipeline, load, load_band_gaps, save
from trisk.estimators import (
    HurdleRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
    calibration,
    hybrid,
    stacking,
)
from trisk.estimators.calibration import (
    fit_spread,
    fit_temperature,
    inner_folds,
    interval_factors,
    temper,
)
from trisk.estimators.stacking import MedianTrees, best_share
from trisk.model_selection import fit_folds, nested_cross_validate

_TREES = ExtraTreesRegressor(n_estimators=10, random_state=0)


class _Oracle(RegressorMixin, BaseEstimator):
    """Knows all targets of a table by heart: X's first column."""

    def fit(self, X, y, sample_weight=None):
        self.n_rows_ = len(y)
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0]


class _Counter(DummyClassifier):
    """Knows how many rows it saw."""

    def fit(self, X, y, sample_weight=None):
        self.n_rows_ = len(y)
        return super().fit(X, y, sample_weight)


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).uniform(size=(80, 3))
    return X, X[:, 0] + 0.1 * np.sin(20 * X[:, 1])


def test_without_companion_nothing_is_added(small, table):
    model = make(HybridTRIADSRegressor, **small).fit(*table)
    assert model.stacked_ is None
    assert model.stacked_weight_ == 0
    assert not hasattr(model, "spread_scale_")


def test_prediction_is_the_stated_average(small, table):
    X, y = table
    alone = make(HybridTRIADSRegressor, **small).fit(X, y)
    both = make(HybridTRIADSRegressor, stack_with=_TREES, **small).fit(X, y)
    share = both.stacked_weight_
    assert 0 < share <= 1
    # The members are those of the network alone; the trees are fitted to all rows.
    np.testing.assert_allclose(
        both.predict(X),
        (1 - share) * alone.predict(X) + share * both.stacked_.predict(X),
        rtol=1e-12,
    )
    *_, last = both.staged_predict(X)
    np.testing.assert_allclose(last, both.predict(X), rtol=1e-12)


@pytest.mark.parametrize(("share", "kind"), [(0.05, MedianTrees), (0.3, HurdleRegressor)])
def test_many_zeros__a_hurdle_model_is_stacked(small, features, gaps, share, kind):
    y = np.where(np.arange(len(gaps)) < share * len(gaps), 0, np.maximum(gaps, 0.1))
    model = make(HybridTRIADSRegressor, stack_with="auto", **small).fit(features, y)
    assert isinstance(model.stacked_, kind)


def test_a_perfect_companion_takes_over_and_a_useless_one_is_left_out(small, table):
    X, _ = table
    perfect = make(HybridTRIADSRegressor, stack_with=_Oracle(), **small).fit(X, X[:, 0])
    assert perfect.stacked_weight_ > 0.95
    assert perfect.stacked_.n_rows_ == len(X)
    longer = {**small, "max_epochs": 60}
    useless = make(HybridTRIADSRegressor, stack_with=DummyRegressor(), **longer).fit(X, X[:, 0])
    assert useless.stacked_weight_ < 0.1


def test_the_weight_is_not_taken_in_by_memorised_rows(small, table):
    # One neighbour knows its training rows by heart, and nothing else of a random target.
    X, _ = table
    y = np.random.default_rng(1).uniform(size=80)
    memory = KNeighborsRegressor(n_neighbors=1)
    model = make(HybridTRIADSRegressor, stack_with=memory, **{**small, "dropout": 0.5}).fit(X, y)
    np.testing.assert_array_equal(model.stacked_.predict(X), y)
    assert model.stacked_weight_ < 0.5


@pytest.mark.parametrize("labels", [np.array([False, True]), np.array(["glass", "not", "unknown"])])
def test_classifiers_average_probabilities(small, table, labels):
    X, y = table
    y = labels[np.digitize(y, np.quantile(y, np.arange(1, len(labels)) / len(labels)))]
    trees = ExtraTreesClassifier(n_estimators=10, random_state=0)
    alone = make(HybridTRIADSClassifier, **small).fit(X, y)
    both = make(HybridTRIADSClassifier, stack_with=trees, **small).fit(X, y)
    share = both.stacked_weight_
    expected = (1 - share) * alone.predict_proba(X) + share * both.stacked_.predict_proba(X)
    np.testing.assert_allclose(both.predict_proba(X), expected, rtol=1e-12)
    *_, last = both.staged_predict_proba(X)
    np.testing.assert_allclose(last, expected, rtol=1e-12)
    assert set(both.predict(X)) <= set(labels)


def test_extra_trees_by_name(small, features, gaps):
    model = make(HybridTRIADSClassifier, stack_with="extra_trees", **small).fit(features, gaps > 3)
    assert isinstance(model.stacked_, ExtraTreesClassifier)
    assert list(model.stacked_.feature_names_in_) == list(features.columns)


def test_median_of_trees_where_the_loss_is_absolute(small, table):
    X, y = table
    for loss, combine in (("absolute_error", np.median), ("squared_error", np.mean)):
        model = make(HybridTRIADSRegressor, stack_with="extra_trees", loss=loss, **small).fit(X, y)
        trees = [tree.predict(X) for tree in model.stacked_.estimators_]
        model.stacked_weight_ = 1.0
        np.testing.assert_allclose(model.predict(X), combine(trees, axis=0), rtol=1e-6)


def test_order_of_rows_and_repetition_by_weight_change_nothing(small, table):
    X, y = table
    model = make(HybridTRIADSRegressor, stack_with=_TREES, calibrate=True, **small)
    weight = np.random.default_rng(0).integers(1, 3, size=80)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    shuffled = np.random.default_rng(1).permutation(np.repeat(np.arange(80), weight))
    repeated = clone(model).fit(X[shuffled], y[shuffled])
    assert weighted.stacked_weight_ == repeated.stacked_weight_
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-10)


def test_weights_reach_a_companion_that_takes_none_as_repeated_rows(small, table):
    X, y = table
    model = make(HybridTRIADSRegressor, stack_with=KNeighborsRegressor(), **small)
    counted = clone(model).fit(X, y, sample_weight=np.full(80, 2.0)).stacked_
    assert counted.n_samples_fit_ == 80
    weight = np.ones(80)
    weight[:5] = 3
    assert clone(model).fit(X, y, sample_weight=weight).stacked_.n_samples_fit_ == 90
    for value in (1.4142, 1e5):
        weight[0] = value
        with pytest.raises(ValueError, match=r"KNeighborsRegressor\(\) takes no sample_weight"):
            clone(model).fit(X, y, sample_weight=weight)


def test_weights_reach_the_last_step_of_a_pipeline(small, table):
    X, y = table
    weight = np.random.default_rng(0).uniform(0.1, 2, size=80)
    companion = make_pipeline(StandardScaler(), LinearRegression())
    model = make(HybridTRIADSRegressor, stack_with=companion, **small).fit(
        X, y, sample_weight=weight
    )
    expected = LinearRegression().fit(X, y, sample_weight=weight).predict(X)
    np.testing.assert_allclose(model.stacked_.predict(X), expected)


def test_two_outputs(small, table):
    X, y = table
    Y = np.column_stack([y, 100 * X[:, 2]])
    model = make(HybridTRIADSRegressor, stack_with=_TREES, calibrate=True, **small).fit(X, Y)
    center, std = model.predict(X, return_std=True)
    assert center.shape == std.shape == Y.shape
    assert model.spread_scale_.shape == (2, 2)
    assert std[:, 1].mean() > 10 * std[:, 0].mean()


def test_companion_may_be_a_pipeline_and_is_cloned(small, table):
    X, y = table
    pipeline = make_pipeline(StandardScaler(), LinearRegression())
    model = make(HybridTRIADSRegressor, stack_with=pipeline, **small).fit(X, y)
    assert not hasattr(pipeline[-1], "coef_")
    assert model.get_params()["stack_with__linearregression"] is pipeline[-1]


@pytest.mark.parametrize(
    ("estimator", "companion", "message"),
    [
        (HybridTRIADSRegressor, KNeighborsClassifier(), "is no regressor"),
        (HybridTRIADSClassifier, KNeighborsRegressor(), "is no classifier with predict_proba"),
        (HybridTRIADSClassifier, SVC(), "is no classifier with predict_proba"),
        (HybridTRIADSRegressor, "forest", "stack_with"),
    ],
)
def test_unfit_companions_are_refused(small, table, estimator, companion, message):
    X, y = table
    model = make(estimator, stack_with=companion, **small)
    with pytest.raises(ValueError, match=message):
        model.fit(X, (y > 0.5).astype(float))
    assert not hasattr(model, "nets_")  # before the networks train


def test_too_few_rows_for_inner_folds_share_evenly(small, table):
    X, y = table
    model = make(HybridTRIADSRegressor, stack_with=_TREES, calibrate=True, **small)
    with pytest.warns(UserWarning, match="calibrate=True does nothing for 8 rows"):
        model.fit(X[:8], y[:8])
    assert model.stacked_weight_ == 0.5
    with pytest.raises(ValueError, match="fit with calibrate=True"):
        model.predict_interval(X)
    rare = np.arange(80) == 3
    trees = ExtraTreesClassifier(n_estimators=10, random_state=0)
    classifier = make(HybridTRIADSClassifier, stack_with=trees, **small).fit(X, rare)
    assert classifier.stacked_weight_ == 0.5


def test_useless_classifier_is_left_out(small, table):
    X, y = table
    longer = {**small, "max_epochs": 60}
    model = make(HybridTRIADSClassifier, stack_with=DummyClassifier(), **longer).fit(X, y > 0.5)
    assert model.stacked_weight_ < 0.3


def test_all_folds_at_once_give_the_same_as_one_by_one(small, table):
    X, y = table
    model = make(HybridTRIADSRegressor, stack_with=_TREES, calibrate=True, **small)
    together, folds = fit_folds(model, X, y, cv=2)
    for fitted, (train, test) in zip(together, folds, strict=True):
        alone = clone(model).fit(X[train], y[train])
        assert abs(fitted.stacked_weight_ - alone.stacked_weight_) <= 0.05
        np.testing.assert_allclose(fitted.predict(X[test]), alone.predict(X[test]), atol=0.02)


def test_calibrated_spread_tells_the_size_of_errors(small):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(600, 2))
    y = X[:, 0] + 0.3 * rng.normal(size=600)
    settings = {**small, "max_epochs": 30}
    model = make(HybridTRIADSRegressor, calibrate=True, **settings).fit(X[:300], y[:300])
    plain = make(HybridTRIADSRegressor, **settings).fit(X[:300], y[:300])
    center, std = model.predict(X[300:], return_std=True)
    np.testing.assert_array_equal(center, plain.predict(X[300:]))
    within = (np.abs(y[300:] - center) <= 2 * std).mean()
    assert 0.9 < within < 0.99
    _, spread = plain.predict(X[300:], return_std=True)
    assert (np.abs(y[300:] - center) <= 2 * spread).mean() < 0.8


def test_intervals_hold_the_stated_share_of_targets(small):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(600, 2))
    # Errors of two sizes: normal intervals of 90 % would be too wide.
    y = X[:, 0] + 0.02 * rng.standard_t(2, size=600)
    Y = np.column_stack([y, 100 * y])
    model = make(HybridTRIADSRegressor, calibrate=True, **{**small, "max_epochs": 30})
    model.fit(X[:300], Y[:300])
    for coverage in (0.5, 0.9):
        low, high = model.predict_interval(X[300:], coverage)
        assert low.shape == high.shape == (300, 2)
        within = ((low <= Y[300:]) & (Y[300:] <= high)).mean(0)
        np.testing.assert_allclose(within, coverage, atol=0.06)
    _, std = model.predict(X[300:], return_std=True)
    assert (high - low < 2 * 1.64 * std).all()
    for wrong, message in ((1.0, "between 0 and 1"), (0.999, "too few held-out rows")):
        with pytest.raises(ValueError, match=message):
            model.predict_interval(X, wrong)


def test_intervals_do_not_pass_what_a_target_can_be(small):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(300, 2))
    noise = 0.3 * rng.normal(size=300)
    gaps = np.maximum(2 * X[:, 0] - 1 + noise, 0)
    Y = np.column_stack([gaps, np.exp(3 * X[:, 1] + noise), gaps - 1])
    model = make(HybridTRIADSRegressor, calibrate=True, **small).fit(X, Y)
    low, high = model.predict_interval(X)
    assert (low.min(0) == 0).tolist() == [True, True, False]
    assert (low <= high).all()
    low, high = clone(model).set_params(link="logit").fit(X, X[:, 0]).predict_interval(X)
    assert low.min() >= 0
    assert high.max() <= 1


def test_interval_factors_count_errors_as_conformal_prediction_does():
    error, std, weight = np.arange(1.0, 20), np.full(19, 2.0), np.ones(19)
    factors = interval_factors(-error, std, weight)
    # The 18th smallest of 19 errors bounds a new one with probability 18/20.
    assert factors[900] == 9.0
    assert factors[950] == 9.5
    assert np.isinf(factors[951])
    assert (interval_factors(np.zeros(30), np.zeros(30), np.ones(30))[:900] == 0).all()


def test_calibrated_probabilities_are_no_surer_than_they_are_right(small):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(700, 6))
    y = rng.uniform(size=700) < 0.2 + 0.6 * X[:, 0]
    settings = {**small, "max_epochs": 40, "hidden_dim": 64, "feedforward_dim": 64}
    plain = make(HybridTRIADSClassifier, **settings).fit(X[:300], y[:300])
    model = make(HybridTRIADSClassifier, calibrate=True, **settings).fit(X[:300], y[:300])
    assert not hasattr(plain, "temperature_")
    assert model.temperature_ > 1.5
    raw, tempered = (m.predict_proba(X[300:]) for m in (plain, model))
    assert log_loss(y[300:], tempered) < log_loss(y[300:], raw) - 0.1
    np.testing.assert_array_equal(raw.argmax(1), tempered.argmax(1))
    np.testing.assert_allclose(tempered, temper(raw, model.temperature_), rtol=1e-12)
    *_, last = model.staged_predict_proba(X[300:])
    np.testing.assert_allclose(last, tempered)


def test_temperature_of_probabilities_that_are_too_sure():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    chance = temper(np.exp(logits), 1.000001)
    labels = (chance.cumsum(1) < rng.uniform(size=(4000, 1))).sum(1)
    found = fit_temperature(temper(chance, 1 / 3), labels, np.ones(4000))
    assert found == pytest.approx(3, rel=0.1)
    # Two rows that happen to be right are no proof.
    assert fit_temperature(np.eye(2), np.array([0, 1]), np.ones(2)) > 0.5


def test_a_stacked_model_alone_has_no_spread(small, table):
    X, _ = table
    model = make(HybridTRIADSRegressor, stack_with=LinearRegression(), **small)
    model.fit(X, np.asarray(X)[:, 0])
    assert model.stacked_weight_ == 1
    with pytest.raises(ValueError, match="has no spread"):
        model.predict(X, return_std=True)


def test_stacked_shares_stay_between_zero_and_one(small, table):
    X, y = table
    line = make(HybridTRIADSRegressor, stack_with=LinearRegression(), link="logit", **small)
    share = (y > np.median(y)).astype(float)
    predicted = line.fit(X, share).predict(3 * X)
    assert line.stacked_weight_ > 0
    assert predicted.min() >= 0
    assert predicted.max() <= 1


def test_one_network_has_the_spread_of_its_errors(small, table):
    X, y = table
    one = {**small, "n_members": 1}
    with pytest.raises(ValueError, match="fit with n_members=2 or more"):
        make(HybridTRIADSRegressor, **one).fit(X, y).predict(X, return_std=True)
    model = make(HybridTRIADSRegressor, calibrate=True, **one).fit(X, y)
    std = model.predict(X, return_std=True)[1]
    np.testing.assert_array_equal(std, model.spread_scale_[1])
    assert std[0] > 0
    # It may disagree with a second model.
    stacked = make(HybridTRIADSRegressor, stack_with=_TREES, calibrate=True, **one).fit(X, y)
    assert np.ptp(stacked.predict(X, return_std=True)[1]) > 0
    results = nested_cross_validate(make(HybridTRIADSRegressor, **one), X, y, outer=2)
    assert "y_std" not in results.predictions


def test_many_rows_keep_some_out_instead_of_training_twice(small, table, monkeypatch):
    for module in (calibration, hybrid, stacking):
        monkeypatch.setattr(module, "MANY_ROWS", 50)
    monkeypatch.setattr(calibration, "_N_KEPT_OUT", 25)
    X, y = table
    settings = {**small, "n_members": "auto"}
    monkeypatch.setattr(hybrid, "_MEMBERS", {50: 3, np.inf: 2})
    model = make(HybridTRIADSRegressor, stack_with="auto", calibrate=True, **settings).fit(X, y)
    assert (model.n_members_, model.n_neighbors_, model.stacked_) == (2, None, None)
    assert len(model.net_.history[-1]["batches"]) == 1
    assert model.interval_factors_[900] > 0
    few = make(HybridTRIADSRegressor, stack_with="auto", **settings).fit(X[:50], y[:50])
    assert (few.n_members_, few.n_neighbors_) == (3, 8)
    assert isinstance(few.stacked_, ExtraTreesRegressor)
    # A model of one's own is stacked all the same, and sees no row that judges it.
    own = make(HybridTRIADSClassifier, stack_with=_Counter(), calibrate=True, **settings)
    assert own.fit(X, y > 0.5).stacked_.n_rows_ == 55


def test_inner_folds_hold_out_enough_rows():
    rows = np.arange(100_000)
    assert len(inner_folds(np.zeros(300), 0, rows[:300], stratified=False)) == 5
    assert len(inner_folds(np.zeros(3000), 0, rows[:3000], stratified=False)) == 2
    assert len(inner_folds(np.zeros(100_000), 0, rows, stratified=False)) == 1
    assert inner_folds(np.arange(19), 0, rows[:19], stratified=False) == []
    for fit, held_out in inner_folds(np.arange(90) % 30, 0, rows[:90], stratified=True):
        assert len(np.unique(np.arange(90)[fit] % 30)) == 30
        assert not set(fit) & set(held_out)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("n_rows", [60, 30_000])
def test_inner_folds_keep_equal_rows_together(stratified, n_rows):
    groups = np.arange(n_rows) // 3
    y = groups % 2
    folds = inner_folds(y, 0, groups, stratified=stratified)
    assert folds
    for fit, held_out in folds:
        assert len(fit) + len(held_out) == n_rows
        assert not set(groups[fit]) & set(groups[held_out])
    assert inner_folds(y, 0, groups // 2, stratified=False) == [] or n_rows > 60


def test_noisy_copies_of_rows_do_not_narrow_intervals(small, table):
    X, y = table
    copied, noise = np.repeat(X[:30], 3, axis=0), np.random.default_rng(0).normal(size=90)
    settings = {"calibrate": True, "stack_with": "auto", "n_neighbors": 4}
    once = make(HybridTRIADSRegressor, **small, **settings).fit(X[:30], y[:30])
    thrice = make(HybridTRIADSRegressor, **small, **settings)
    thrice.fit(copied, np.repeat(y[:30], 3) + 1e-6 * noise)
    low, high = once.predict_interval(X[40:], coverage=0.8)
    low_of_copies, high_of_copies = thrice.predict_interval(X[40:], coverage=0.8)
    assert (high_of_copies - low_of_copies).mean() > 0.5 * (high - low).mean()


def test_best_share_and_spread_find_what_was_put_in():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 20_000))
    target = 0.3 * first + 0.7 * second
    losses = lambda s: np.abs((1 - s) * first + s * second - target)  # noqa: E731
    assert best_share(losses, np.ones(20_000)) == pytest.approx(0.7, abs=0.01)
    spread = rng.uniform(0.1, 3, size=20_000)
    error = rng.normal(size=20_000) * np.hypot(2 * spread, 0.5)
    np.testing.assert_allclose(fit_spread(error, spread, np.ones(20_000)), [2, 0.5], rtol=0.1)
    np.testing.assert_array_equal(fit_spread(np.zeros(3), np.zeros(3), np.ones(3)), [1, 0])


def test_few_rows_share_as_evenly_as_they_allow():
    noise = np.random.default_rng(0).normal(size=(2, 300))
    chance = 0.1 * (noise[1] - noise[1].mean())
    assert best_share(lambda s: np.abs(noise[0]) + s * (chance + 0.001), np.ones(300)) == 0.5
    # What all rows agree on is no chance.
    assert best_share(lambda s: np.abs(noise[0]) + 0.1 * s, np.ones(300)) == 0


def test_median_trees_pass_through_a_pipeline_with_columns(small, tmp_path):
    network = HybridTRIADSOptions(hidden_dim=16, feedforward_dim=24)
    settings = {"n_members": 2, "max_epochs": 8, "random_state": 0, "network": network}
    pipeline = composition_pipeline("steels", pretrained=False, **settings)
    X, y = load_band_gaps()
    pipeline.fit(X[:60], y[:60])
    trees = pipeline["model"].stacked_[-1]
    assert trees.n_features_in_ == 118
    table = pipeline["features"].transform(X[:60]).filter(regex="^ElementFraction (?!log10)")
    answers = [tree.predict(table.to_numpy(np.float32)) for tree in trees.estimators_]
    np.testing.assert_array_equal(trees.predict(table.to_numpy()), np.median(answers, axis=0))
    save(pipeline, tmp_path / "steels.trisk")
    np.testing.assert_array_equal(
        load(tmp_path / "steels.trisk").predict(X[:60]), pipeline.predict(X[:60])
    )

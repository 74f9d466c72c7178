"""All folds trained at once against one fit after another."""

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from trisk.datasets import load_band_gaps
from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSOptions, HybridTRIADSRegressor
from trisk.featurizers import MagpieFeaturizer
from trisk.model_selection import cross_validate, fit_folds
from trisk.training.settings import TrainingOptions

_SMALL = {
    "n_members": 2,
    "max_epochs": 8,
    "network": HybridTRIADSOptions(hidden_dim=16, feedforward_dim=24, n_steps=2),
    "batch_size": 64,
    "random_state": 0,
    "device": "cpu",
}
# Folds share nothing, but single-precision sums may be ordered differently in a batch of
# another size, and training multiplies such roundings. Gaps are up to 14 eV.
_TOLERANCE = {"rtol": 1e-3, "atol": 2e-3}


@pytest.fixture(scope="module")
def formulas():
    return load_band_gaps()[0][::3][:120]


@pytest.fixture(scope="module")
def gaps():
    return load_band_gaps()[1][::3][:120]


@pytest.fixture(scope="module")
def magpie(formulas):
    return MagpieFeaturizer().fit_transform(formulas)


@pytest.fixture(scope="module")
def features(magpie):
    return magpie.iloc[:, 6:60:6]


def _one_by_one(estimator, X, y, folds, weight=None):
    for train, _ in folds:
        arguments = {} if weight is None else {"sample_weight": weight[train]}
        yield clone(estimator).fit(X.iloc[train], y.iloc[train], **arguments)


_FOLDS = [(120, KFold(3)), (118, KFold(4)), (113, KFold(5, shuffle=True, random_state=0))]


@pytest.mark.parametrize(("n_rows", "cv"), _FOLDS, ids=["equal", "unequal", "shuffled"])
@pytest.mark.parametrize(
    "training", [None, TrainingOptions(validation_fraction=0.2, averaging="swa")], ids=str
)
def test_folds_at_once_equal_folds_one_by_one(features, gaps, n_rows, cv, training):
    X, y = features[:n_rows], gaps[:n_rows]
    estimator = HybridTRIADSRegressor(**_SMALL, training=training)
    batched, folds = fit_folds(estimator, X, y, cv=cv)
    assert len(batched) == len(folds) == cv.get_n_splits()
    for together, alone in zip(batched, _one_by_one(estimator, X, y, folds), strict=True):
        np.testing.assert_allclose(together.predict(X), alone.predict(X), **_TOLERANCE)
        assert together.net_.module_.n_members == 2
    assert not hasattr(estimator, "net_")


def test_weights_reach_the_folds(features, gaps):
    weight = np.where(gaps > 3, 3.0, 1.0)
    estimator = HybridTRIADSRegressor(**_SMALL)
    batched, folds = fit_folds(estimator, features, gaps, cv=2, sample_weight=weight)
    alone = _one_by_one(estimator, features, gaps, folds, weight)
    for together, one in zip(batched, alone, strict=True):
        np.testing.assert_allclose(together.predict(features), one.predict(features), **_TOLERANCE)


def test_folds_of_a_pipeline_of_formulas(formulas, gaps):
    estimator = make_pipeline(MagpieFeaturizer(), StandardScaler(), HybridTRIADSRegressor(**_SMALL))
    batched, folds = fit_folds(estimator, formulas, gaps, cv=3)
    for together, alone in zip(batched, _one_by_one(estimator, formulas, gaps, folds), strict=True):
        np.testing.assert_allclose(together[1].mean_, alone[1].mean_)
        np.testing.assert_allclose(
            together.predict(formulas), alone.predict(formulas), **_TOLERANCE
        )


def test_every_fold_is_a_model_of_its_own(features, gaps):
    batched, _ = fit_folds(HybridTRIADSRegressor(**_SMALL), features, gaps, cv=3)
    before = batched[1].predict(features)
    for parameter in batched[0].net_.module_.parameters():
        parameter.data.zero_()
    np.testing.assert_array_equal(batched[1].predict(features), before)
    # Each keeps the history of the joint training, and can be fitted again by itself.
    assert len(batched[1].net_.history) == _SMALL["max_epochs"]
    assert np.isfinite(batched[0].fit(features, gaps).predict(features)).all()


def test_classifier_folds_are_stratified(magpie, gaps):
    is_wide = (gaps > 1.5).to_numpy()
    results = cross_validate(
        HybridTRIADSClassifier(**_SMALL), magpie, is_wide, cv=3, scoring="roc_auc"
    )
    expected = list(StratifiedKFold(3).split(magpie, is_wide))
    for got, (_, test) in zip(results["indices"]["test"], expected, strict=True):
        np.testing.assert_array_equal(got, test)
    assert results["test_score"].mean() > 0.7


@pytest.mark.parametrize(
    "scoring", [None, "neg_mean_absolute_error", ["r2", "neg_mean_squared_error"]]
)
def test_results_have_the_keys_and_scores_of_scikit_learn(features, gaps, scoring):
    estimator = HybridTRIADSRegressor(**_SMALL)
    settings = {
        "cv": 3,
        "scoring": scoring,
        "return_train_score": True,
        "params": {"sample_weight": np.where(gaps > 3, 3.0, 1.0)},
    }
    ours = cross_validate(estimator, features, gaps, **settings)
    theirs = model_selection.cross_validate(
        estimator, features, gaps, **settings, return_estimator=True, return_indices=True
    )
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        assert len(ours[key]) == len(value)
        if key.startswith(("test_", "train_")):
            np.testing.assert_allclose(ours[key], value, rtol=0.01, atol=0.01)
    for part in ("train", "test"):
        for got, expected in zip(ours["indices"][part], theirs["indices"][part], strict=True):
            np.testing.assert_array_equal(got, expected)
    for estimator_of_fold, test in zip(ours["estimator"], ours["indices"]["test"], strict=True):
        assert np.isfinite(estimator_of_fold.predict(features.iloc[test])).all()
    assert (ours["fit_time"] > 0).all()
    assert (ours["score_time"] > 0).all()


def test_other_estimators_pass_through(formulas, features, gaps):
    forest = RandomForestRegressor(n_estimators=5, random_state=0)
    for estimator, X in ((forest, features), (make_pipeline(MagpieFeaturizer(), forest), formulas)):
        ours = cross_validate(estimator, X, gaps, cv=3, scoring="r2")
        theirs = model_selection.cross_validate(estimator, X, gaps, cv=3, scoring="r2")
        np.testing.assert_array_equal(ours["test_score"], theirs["test_score"])
        assert len(ours["estimator"]) == 3
        assert set(ours["indices"]) == {"train", "test"}


def test_estimators_and_indices_are_left_out_on_request(features, gaps):
    for estimator in (HybridTRIADSRegressor(**_SMALL), Ridge()):
        results = cross_validate(
            estimator, features, gaps, cv=2, return_estimator=False, return_indices=False
        )
        assert set(results) == {"fit_time", "score_time", "test_score"}


def test_weights_reach_the_last_step_of_a_pipeline(features, gaps):
    estimator = make_pipeline(StandardScaler(), HybridTRIADSRegressor(**_SMALL))
    weight = np.where(gaps > 3, 3.0, 1.0)
    name = "hybridtriadsregressor__sample_weight"
    ours = cross_validate(estimator, features, gaps, cv=2, params={name: weight})
    fitted, _ = fit_folds(estimator, features, gaps, cv=2, sample_weight=weight)
    for one, other in zip(ours["estimator"], fitted, strict=True):
        np.testing.assert_array_equal(one.predict(features), other.predict(features))


def test_failing_fold__has_the_error_score(features, gaps):
    X = features.copy()
    X.iloc[:60] = np.nan
    estimator = HybridTRIADSRegressor(**_SMALL)
    cv = [(np.arange(60), np.arange(60, 100)), (np.arange(60, 100), np.arange(100, 120))]
    with pytest.warns(FitFailedWarning, match="1 fits failed out of a total of 2"):
        scores = cross_validate(estimator, X, gaps, cv=cv, error_score=-9.0)["test_score"]
    assert scores[0] == -9.0
    assert scores[1] > -9.0
    with pytest.raises(ValueError, match="contains NaN"):
        cross_validate(estimator, X, gaps, cv=cv, error_score="raise")


def test_memory_of_a_pipeline__keeps_its_transformers(features, gaps, tmp_path):
    scaler = StandardScaler()
    network = HybridTRIADSRegressor(**_SMALL)
    plain, _ = fit_folds(make_pipeline(scaler, network), features, gaps, cv=2)
    remembered = make_pipeline(scaler, network, memory=str(tmp_path))
    for one, other in zip(fit_folds(remembered, features, gaps, cv=2)[0], plain, strict=True):
        np.testing.assert_array_equal(one.predict(features), other.predict(features))


def test_groups_reach_the_splitter(features, gaps):
    groups = np.arange(len(gaps)) % 4
    results = cross_validate(
        HybridTRIADSRegressor(**_SMALL), features, gaps, cv=GroupKFold(4), groups=groups
    )
    for test in results["indices"]["test"]:
        assert len(set(groups[test])) == 1


def test_folds_may_be_given_as_index_arrays(features, gaps):
    folds = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    results = cross_validate(HybridTRIADSRegressor(**_SMALL), features, gaps, cv=folds)
    np.testing.assert_array_equal(results["indices"]["test"][0], folds[0][1])


def test_lists_are_as_good_as_pandas(formulas, gaps):
    estimator = make_pipeline(MagpieFeaturizer(), HybridTRIADSRegressor(**_SMALL))
    expected = cross_validate(estimator, formulas, gaps, cv=2)["test_score"]
    got = cross_validate(estimator, list(formulas), list(gaps), cv=2)["test_score"]
    np.testing.assert_allclose(got, expected)


def test_shuffled_labels_score_as_chance(magpie, gaps):
    """Nothing of a test row's target reaches its prediction."""
    rng = np.random.default_rng(0)
    y = rng.permutation(gaps.to_numpy())
    cv = KFold(3, shuffle=True, random_state=0)
    results = cross_validate(
        HybridTRIADSRegressor(**_SMALL), magpie, y, cv=cv, scoring="neg_mean_absolute_error"
    )
    of_median = [
        mean_absolute_error(y[test], np.full(len(test), np.median(y[train])))
        for train, test in cv.split(y)
    ]
    assert -results["test_score"].mean() > 0.95 * np.mean(of_median)
    # The same network does learn from labels in their places.
    honest = cross_validate(
        HybridTRIADSRegressor(**_SMALL), magpie, gaps, cv=cv, scoring="neg_mean_absolute_error"
    )
    assert -honest["test_score"].mean() < 0.75 * np.mean(of_median)


def test_targets_of_other_folds_do_not_leak_through_scaling(features, gaps):
    """A fold's model is the same whatever its own test rows measured."""
    folds = list(KFold(3).split(features))
    spoilt = gaps.copy()
    spoilt.iloc[folds[1][1]] = 1e6
    estimator = HybridTRIADSRegressor(**_SMALL)
    clean_models, _ = fit_folds(estimator, features, gaps, cv=folds)
    spoilt_models, _ = fit_folds(estimator, features, spoilt, cv=folds)
    np.testing.assert_allclose(
        spoilt_models[1].predict(features), clean_models[1].predict(features), **_TOLERANCE
    )


class _CtrlC(Callback):
    """Press Ctrl-C once, in the third batch of all."""

    n_batches = 0

    def on_batch_end(self, net, training=False, **kwargs):
        _CtrlC.n_batches += 1
        if _CtrlC.n_batches == 3:
            raise KeyboardInterrupt


def test_interruption_ends_the_training_of_all_folds(features, gaps):
    # 118 rows in 4 folds make training sets of two lengths, which are two batched networks.
    estimator = HybridTRIADSRegressor(callbacks=[_CtrlC()], **_SMALL)
    with pytest.raises(KeyboardInterrupt):
        fit_folds(estimator, features[:118], gaps[:118], cv=4)
    assert _CtrlC.n_batches == 3


def test_wrong_lengths_are_refused(features, gaps):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cross_validate(HybridTRIADSRegressor(**_SMALL), features, gaps[:-1])

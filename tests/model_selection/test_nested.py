"""Nested cross-validation: what it records, and that nothing leaks."""

import joblib
import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, roc_auc_score
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tools.leaderboard import write_matbench_file
from trisk import (
    HybridTRIADSClassifier,
    HybridTRIADSRegressor,
    MagpieFeaturizer,
    composition_pipeline,
)
from trisk.datasets import load_band_gaps, load_matbench
from trisk.estimators import HybridTRIADSOptions
from trisk.model_selection import (
    LeaveClusterOut,
    matbench_folds,
    nested_cross_validate,
)
from trisk.model_selection._materials import material_labels

SEARCH = {"n_trials": 3, "space": {"alpha": FloatDistribution(0.01, 100, log=True)}}
SMALL = HybridTRIADSOptions(hidden_dim=8, feedforward_dim=8, n_steps=1)
TINY = {"n_members": 2, "max_epochs": 6, "network": SMALL}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), index=[f"row-{i}" for i in range(80)])
    X.columns = ["a", "b", "c"]
    y = (X["a"] - 2 * X["b"]).rename("strength")
    y.attrs = {"quantity": "strength", "unit": "MPa"}
    return X, y


def test_search_in_every_fold__frames_tell_all(data, tmp_path):
    X, y = data
    search = SEARCH | {"storage": str(tmp_path / "studies.db"), "random_state": 0}
    results = nested_cross_validate(Ridge(), X, y, search=search, inner=3, verbose=0)
    folds, predictions = results.folds, results.predictions
    assert list(folds["n_test"]) == [16] * 5
    assert {"mae", "rmse", "r2", "search_score", "alpha", "fit_seconds"} <= set(folds)
    assert sorted(predictions.index) == sorted(X.index)
    for fold, (train, test) in enumerate(matbench_folds().split(X)):
        rows = predictions[predictions["fold"] == fold]
        assert list(rows.index) == list(X.index[test])
        fitted = Ridge(alpha=folds.loc[fold, "alpha"]).fit(X.iloc[train], y.iloc[train])
        np.testing.assert_allclose(rows["y_pred"], fitted.predict(X.iloc[test]))
        assert folds.loc[fold, "mae"] == mean_absolute_error(rows["y_true"], rows["y_pred"])


def test_saved_files__tables_and_plots(data, tmp_path):
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    results = nested_cross_validate(model, *data, outer=3, verbose=0)
    assert (results.predictions["y_std"] > 0).all()
    assert (results.unit, results.quantity) == ("MPa", "strength")
    names = [path.name for path in results.save(tmp_path / "out")]
    assert names == ["folds.csv", "predictions.csv", "parity.png", "calibration.png"]
    table = pd.read_csv(tmp_path / "out" / "predictions.csv", index_col="row")
    pd.testing.assert_frame_equal(table, results.predictions, check_dtype=False)
    assert (tmp_path / "out" / "parity.png").read_bytes().startswith(b"\x89PNG")


def test_classes__are_judged_by_probabilities(data, tmp_path):
    X, y = data
    model = HybridTRIADSClassifier(**TINY, random_state=0)
    results = nested_cross_validate(model, X, y > 0, outer=2, verbose=0)
    rows = results.predictions
    assert {"probability False", "probability True"} <= set(rows)
    area = [roc_auc_score(f["y_true"], f["probability True"]) for _, f in rows.groupby("fold")]
    assert results.folds["roc_auc"].tolist() == area
    assert (results.folds["log_loss"] > 0).all()
    names = [path.name for path in results.save(tmp_path)]
    plots = ["confusion.png", "roc.png", "calibration.png"]
    assert names == ["folds.csv", "predictions.csv", *plots]


def test_search_of_a_model_with_spreads__gives_them(data):
    X, y = data
    grid = GridSearchCV(BayesianRidge(), {"tol": [1e-3, 1e-2]})
    results = nested_cross_validate(grid, X, y, outer=2, verbose=0)
    assert (results.predictions["y_std"] > 0).all()


def test_classes__are_those_that_the_model_gives(data):
    X, y = data
    model = FixedThresholdClassifier(LogisticRegression(), threshold=0.1)
    results = nested_cross_validate(model, X, y > 0, outer=3, verbose=0)
    for fold, rows in results.predictions.groupby("fold"):
        score = balanced_accuracy_score(rows["y_true"], rows["y_pred"])
        assert results.folds["balanced_accuracy"][fold] == pytest.approx(score)


def test_any_search_groups_and_splitter(data):
    X, y = data
    groups = np.repeat(np.arange(8), 10)
    grid = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]})
    results = nested_cross_validate(
        grid, X, y, outer=GroupKFold(4), groups=groups, scoring="r2", verbose=0
    )
    assert results.folds["score"].min() > 0.9
    assert set(results.folds["alpha"]) <= {0.1, 1.0}
    for fold, rows in results.predictions.groupby("fold"):
        others = results.predictions[results.predictions["fold"] != fold]
        position = X.index.get_indexer
        assert not set(groups[position(rows.index)]) & set(groups[position(others.index)])


def test_several_targets__have_columns_and_plots_of_their_own(data, tmp_path):
    X, y = data
    targets = pd.DataFrame({"strength": y, "G/V": -y})
    search = SEARCH | {"n_trials": 2, "random_state": 0}
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    for estimator, settings in ((model, {}), (Ridge(), {"search": search})):
        results = nested_cross_validate(estimator, X, targets, outer=2, verbose=0, **settings)
        rows = results.predictions
        assert {"y_true strength", "y_pred strength", "y_true G/V", "y_pred G/V"} <= set(rows)
        expected = targets.loc[rows.index].to_numpy()
        np.testing.assert_array_equal(rows[["y_true strength", "y_true G/V"]], expected)
        errors = [
            mean_absolute_error(
                f[[f"y_true {t}" for t in targets]], f[[f"y_pred {t}" for t in targets]]
            )
            for _, f in rows.groupby("fold")
        ]
        np.testing.assert_allclose(results.folds["mae"], errors)
    names = [path.name for path in results.save(tmp_path)]
    assert names == ["folds.csv", "predictions.csv", "parity_strength.png", "parity_G_V.png"]


def test_several_targets_of_classes__need_scores(data):
    X, y = data
    with pytest.raises(ValueError, match="no default scores"):
        nested_cross_validate(RandomForestClassifier(), X, np.c_[y > 0, y > 1], outer=KFold(2))


@pytest.mark.parametrize("search", [None, SEARCH | {"random_state": 0}])
def test_weights__reach_every_fit(data, search):
    X, y = data
    weight = np.where(np.arange(80) < 40, 1.0, 0.0)
    spoilt = y.where(weight > 0, 1e6)
    results = nested_cross_validate(
        Ridge(),
        X,
        spoilt,
        outer=[(np.arange(20, 80), np.arange(20))],
        params={"sample_weight": weight},
        search=search,
        inner=[(np.arange(5, 60), np.arange(5))],
        verbose=0,
    )
    assert results.folds["mae"].iloc[0] < 3


def test_formulas__leave_chemical_systems_out():
    X, y = (values[:60] for values in load_band_gaps())
    model = composition_pipeline("general", fast=True, **TINY, random_state=0)
    outer = LeaveClusterOut(n_splits=3, random_state=0)
    results = nested_cross_validate(model, X, y, outer=outer, verbose=0)
    assert len(results.predictions) == 60


@pytest.mark.parametrize("classification", [False, True])
def test_shuffled_labels__give_chance_performance(classification):
    """A leak anywhere, in neighbours, scalers or the search, would show as skill."""
    rng = np.random.default_rng(0)
    X, y = (values[:200] for values in load_band_gaps())
    y = pd.Series(rng.permutation(y), name="gap")
    space = {"model__network__dropout": FloatDistribution(0.0, 0.4)}
    search = {"n_trials": 2, "random_state": 0, "space": space}
    model = composition_pipeline(
        "general", classification=classification, fast=True, **TINY, random_state=0
    )
    target = y > 1 if classification else y
    results = nested_cross_validate(model, X, target, outer=4, inner=2, search=search, verbose=0)
    if classification:
        assert abs(results.folds["roc_auc"].mean() - 0.5) < 0.1
    else:
        rows = results.predictions
        assert abs(rows["y_true"].corr(rows["y_pred"])) < 0.2
        chance = np.mean(
            [
                abs(y.iloc[test] - y.iloc[train].median()).mean()
                for train, test in KFold(4, shuffle=True, random_state=0).split(y)
            ]
        )
        assert results.folds["mae"].mean() > 0.95 * chance


def test_unknown_outer_name__is_explained(data):
    with pytest.raises(ValueError, match="outer='loco' is not 'matbench'"):
        nested_cross_validate(Ridge(), *data, outer="loco")


def test_two_processes__give_the_scores_of_one(data):
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    one = nested_cross_validate(model, *data, outer=2, verbose=0)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        two = nested_cross_validate(model, *data, outer=2, verbose=0)
    np.testing.assert_allclose(one.folds["mae"], two.folds["mae"], rtol=1e-3)


def test_leaderboard_file__matbench_accepts_it(matbench_dir, tmp_path):
    pytest.importorskip("matbench", reason="pip install --no-deps matbench==0.6")
    _, y = load_matbench("steels")
    folds = [np.full(len(test), y.mean()) for _, test in matbench_folds("steels").split(y)]
    path = tmp_path / "out" / "steels.json.gz"
    write_matbench_file({"steels": folds}, path)
    from matbench.bench import MatbenchBenchmark

    read = MatbenchBenchmark.from_file(str(path))
    assert read.is_recorded
    scores = read.matbench_steels.scores
    assert scores["mae"]["mean"] == pytest.approx((y - y.mean()).abs().mean(), rel=0.02)
    with pytest.raises(ValueError, match="has 5 folds, but 4 were given"):
        write_matbench_file({"matbench_steels": folds[:4]}, path)


def test_leaderboard_file__without_matbench__says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matbench.bench", None)
    with pytest.raises(ImportError, match=r"--no-deps matbench==0\.6"):
        write_matbench_file({"steels": []}, tmp_path / "x.json.gz")


@pytest.mark.filterwarnings("ignore")  # scikit-learn's own say the same
def test_folds_of_one_class__score_nan_and_say_so():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) < 10
    with pytest.warns(UserWarning, match="is NaN for a fold"):
        found = nested_cross_validate(LogisticRegression(), X, y, outer=KFold(5), verbose=0)
    assert found.folds["roc_auc"].isna().any()
    assert found.folds["balanced_accuracy"].notna().all()


def test_lists_masks_and_several_scores():
    X = np.random.default_rng(0).normal(size=(20, 3))
    mask = np.arange(20) < 14
    found = nested_cross_validate(
        Ridge(), X, X[:, 0].tolist(), outer=[(mask, ~mask)], verbose=0,
        scoring=["r2", "neg_mean_absolute_error"], search=SEARCH | {"n_trials": 1},
    )  # fmt: skip
    assert found.folds[["n_train", "n_test"]].to_numpy().tolist() == [[14, 6]]


def test_spread_of_a_pipeline_with_routing():
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = make_pipeline(StandardScaler(), HybridTRIADSRegressor(**TINY))
    with config_context(enable_metadata_routing=True):
        found = nested_cross_validate(model, X, X[:, 0], outer=2, verbose=0)
    assert "y_std" in found.predictions


def test_equal_formulas__stay_in_one_fold():
    X, y = load_band_gaps()
    formulas, gaps = pd.concat([X[:40]] * 3), pd.concat([y[:40]] * 3)
    model = make_pipeline(MagpieFeaturizer(), RandomForestRegressor(10, random_state=0))
    found = nested_cross_validate(model, formulas, gaps, outer=4, verbose=0)
    once = nested_cross_validate(model, X[:40], y[:40], outer=4, verbose=0)
    assert found.folds["mae"].mean() > 0.5 * once.folds["mae"].mean()
    # What is neither formulas nor structures nor numbers has rows of its own.
    assert material_labels(np.zeros((3, 2, 2))).tolist() == [0, 1, 2]
    texts = [f"sample-{k % 10}!" for k in range(40)]
    assert material_labels(texts).tolist() == list(range(40))

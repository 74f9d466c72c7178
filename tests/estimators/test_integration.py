"""HybridTRIADS inside scikit-learn's own machinery, on formulas of real compounds."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from nested import make
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor, StackingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from trisk.datasets import load_band_gaps
from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.featurizers import MagpieFeaturizer


@pytest.fixture
def pipeline(small):
    return make_pipeline(MagpieFeaturizer(), make(HybridTRIADSRegressor, **small))


def _is_better_than_the_median(prediction, gaps):
    baseline = mean_absolute_error(gaps, np.full(len(gaps), np.median(gaps)))
    return mean_absolute_error(gaps, prediction) < 0.8 * baseline


def test_pipeline_learns_from_formulas(pipeline, formulas, gaps):
    pipeline.fit(formulas, gaps)
    assert _is_better_than_the_median(pipeline.predict(formulas), gaps)
    mean, std = pipeline.predict(formulas[:5], return_std=True)
    assert mean.shape == std.shape == (5,)
    # A list of strings is as good as a Series.
    np.testing.assert_array_equal(pipeline.predict(list(formulas[:5])), mean)


def test_cross_validate(pipeline, formulas, gaps):
    results = cross_validate(
        pipeline,
        formulas,
        gaps,
        cv=3,
        scoring=("neg_mean_absolute_error", "r2"),
        return_estimator=True,
        error_score="raise",
    )
    assert len(results["estimator"]) == 3
    assert np.isfinite(results["test_r2"]).all()
    assert (results["test_neg_mean_absolute_error"] < 0).all()


def test_grid_search(pipeline, formulas, gaps):
    n_steps = "hybridtriadsregressor__network__n_steps"
    grid = {n_steps: [1, 2], "magpiefeaturizer__missing": ["mean"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(formulas, gaps)
    assert search.best_params_[n_steps] in (1, 2)
    assert search.predict(formulas).shape == (len(formulas),)


def test_stacking_beside_a_forest(pipeline, formulas, gaps):
    forest = make_pipeline(
        MagpieFeaturizer(), RandomForestRegressor(n_estimators=20, random_state=0)
    )
    stack = StackingRegressor(
        [("triads", pipeline), ("forest", forest)], final_estimator=RidgeCV(), cv=2
    )
    stack.fit(formulas, gaps)
    assert stack.transform(formulas).shape == (len(formulas), 2)
    assert _is_better_than_the_median(stack.predict(formulas), gaps)


def test_bagging(features, gaps, small):
    bagging = BaggingRegressor(
        make(HybridTRIADSRegressor, **small), n_estimators=2, max_features=0.5, random_state=0
    ).fit(features, gaps)
    assert len(bagging.estimators_) == 2
    assert _is_better_than_the_median(bagging.predict(features), gaps)


def test_calibration_of_metals(formulas, gaps, small):
    is_metal = gaps == 0
    pipeline = make_pipeline(MagpieFeaturizer(), make(HybridTRIADSClassifier, **small))
    calibrated = CalibratedClassifierCV(pipeline, cv=2).fit(formulas, is_metal)
    probabilities = calibrated.predict_proba(formulas)
    assert probabilities.shape == (len(formulas), 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert calibrated.score(formulas, is_metal) > max(is_metal.mean(), 1 - is_metal.mean())


def test_transformed_target(pipeline, formulas, gaps):
    model = TransformedTargetRegressor(pipeline, func=np.log1p, inverse_func=np.expm1)
    model.fit(formulas, gaps)
    assert _is_better_than_the_median(model.predict(formulas), gaps)


def test_permutation_importance(features, gaps, small):
    used = features[["MagpieData mean Electronegativity", "MagpieData range MeltingT"]].assign(
        constant=1.0
    )
    model = make(HybridTRIADSRegressor, **small).fit(used, gaps)
    importance = permutation_importance(model, used, gaps, n_repeats=2, random_state=0)
    assert importance.importances.shape == (3, 2)
    assert (importance.importances[2] == 0).all()
    assert importance.importances_mean[:2].max() > 0


@pytest.mark.usefixtures("one_thread")
def test_joblib_workers_give_what_one_process_gives(pipeline, formulas, gaps):
    serial = cross_val_predict(pipeline, formulas, gaps, cv=2)
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = cross_val_predict(pipeline, formulas, gaps, cv=2, n_jobs=2)
    np.testing.assert_array_equal(parallel, serial)


def test_copies_predict_the_same(pipeline, formulas, gaps, tmp_path):
    expected = pipeline.fit(formulas, gaps).predict(formulas)
    joblib.dump(pipeline, tmp_path / "model.joblib")
    copies = {
        "clone": clone(pipeline).fit(formulas, gaps),
        "deepcopy": copy.deepcopy(pipeline),
        "pickle": pickle.loads(pickle.dumps(pipeline)),
        "joblib": joblib.load(tmp_path / "model.joblib"),
    }
    for name, model in copies.items():
        np.testing.assert_array_equal(model.predict(formulas), expected, err_msg=name)


def test_sample_weight_reaches_the_network(pipeline, formulas, features, gaps, small):
    weight = np.where(gaps > 3, 5.0, 1.0)
    expected = make(HybridTRIADSRegressor, **small).fit(features, gaps, weight).predict(features)
    named = clone(pipeline).fit(formulas, gaps, hybridtriadsregressor__sample_weight=weight)
    np.testing.assert_array_equal(named.predict(formulas), expected)
    with config_context(enable_metadata_routing=True):
        routed = clone(pipeline)
        routed[-1].set_fit_request(sample_weight=True)
        routed.fit(formulas, gaps, sample_weight=weight)
        np.testing.assert_array_equal(routed.predict(formulas), expected)
    unweighted = pipeline.fit(formulas, gaps).predict(formulas)
    assert not np.allclose(unweighted, expected)


def test_column_transformer_beside_process_variables(small):
    table = load_band_gaps(as_frame=True)[::3].fillna({"temperature": 300.0})
    columns = ColumnTransformer(
        [
            ("composition", MagpieFeaturizer(), "formula"),
            ("process", StandardScaler(), ["temperature"]),
        ]
    ).set_output(transform="pandas")
    settings = {**small, "max_epochs": 25}
    regressor = make(HybridTRIADSRegressor, n_attention_layers=1, attention_dim=8, **settings)
    model = Pipeline([("columns", columns), ("model", regressor)])
    model.fit(table, table["band_gap"])
    assert "process__temperature" in regressor.feature_names_in_
    assert regressor.layout_.n_tokens == 22
    assert regressor.layout_.n_rest >= 1
    assert _is_better_than_the_median(model.predict(table), table["band_gap"])


def test_pandas_output_upstream_keeps_the_names(formulas, gaps, small):
    regressor = make(HybridTRIADSRegressor, n_attention_layers=1, attention_dim=8, **small)
    model = make_pipeline(MagpieFeaturizer(), StandardScaler(), regressor)
    model.set_output(transform="pandas").fit(formulas, gaps)
    assert list(regressor.feature_names_in_) == list(model[:-1].get_feature_names_out())
    assert regressor.layout_.n_tokens == 22
    # Without pandas the scaler gives a bare array.
    nameless = make_pipeline(
        MagpieFeaturizer(), StandardScaler(), make(HybridTRIADSRegressor, **small)
    )
    nameless.fit(formulas, gaps)
    assert not hasattr(nameless[-1], "feature_names_in_")


def test_index_of_the_table_does_not_matter(features, gaps, small):
    expected = make(HybridTRIADSRegressor, **small).fit(features, gaps).predict(features)
    relabelled = features.set_axis(pd.Index([f"row {i}" for i in range(len(features))]))
    model = make(HybridTRIADSRegressor, **small).fit(relabelled, list(gaps))
    np.testing.assert_array_equal(model.predict(relabelled), expected)

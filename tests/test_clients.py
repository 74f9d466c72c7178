"""trisk inside its clients: scikit-learn and packages around it, each where it is installed.

``python -m tools.clients`` runs these and writes the table of docs/reliability.md.
"""

import importlib
import pickle
import re
import warnings
from functools import partial
from importlib import metadata

import joblib
import numpy as np
import pandas as pd
import pytest
from nested import make
from optuna.distributions import IntDistribution
from sklearn import ensemble, inspection, model_selection, multioutput
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer
from sklearn.linear_model import RANSACRegressor, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import estimator_html_repr

from reliability import models
from tools import clients
from trisk.estimators import (
    GraphTRIADSRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSRegressor,
    TriForcesRegressor,
)
from trisk.featurizers import CrystalGraphFeaturizer, MagpieFeaturizer, StoichiometryFeaturizer

_BRIEF = {"n_members": 2, "max_epochs": 4, "batch_size": 16, "random_state": 0, "device": "cpu"}
_TABLE = {"hidden_dim": 8, "feedforward_dim": 8, "n_frequencies": 4, "n_steps": 1}
_GRAPH = {"hidden_dim": 8, "bond_dim": 8, "angle_dim": 4, "feedforward_dim": 8, "max_cycles": 4}
_STREAMS = {"hidden_dim": 8, "n_layers": 1, "cutoff": 4.0, "n_members": 1}
_N_STEPS = "hybridtriadsregressor__network__n_steps"

regressor = partial(make, HybridTRIADSRegressor, **_BRIEF | _TABLE)
classifier = partial(make, HybridTRIADSClassifier, **_BRIEF | _TABLE)
X = models.table()
Y = X[:, 0] - 0.1 * X[:, 1] + np.random.default_rng(0).normal(scale=0.1, size=len(X))
CLASSES = np.where(np.median(Y) < Y, "high", "low")
FORMULAS = np.array(models.formulas(), dtype=object)
GAPS = np.random.default_rng(1).gamma(2.0, size=len(FORMULAS))
TABLE = pd.DataFrame(X, columns=["a", "b", "c", "d"])

CLIENTS = {}


def client(package, name=None, *, module=None):
    """Register the check of a client, which is skipped where its package is not installed."""

    def register(check):
        CLIENTS[name or package] = (package, module or package.replace("-", "_"), check)
        return check

    return register


def version_of(package):
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def identifier(name):
    """Of a client's test: its name and the version of its package."""
    return f"{name}-{version_of(CLIENTS[name][0])}"


def of_formulas(last=None):
    """A pipeline that takes formulas."""
    return make_pipeline(MagpieFeaturizer(), regressor() if last is None else last)


# ------------------------------------------------------------------------------- scikit-learn


@client("scikit-learn", "RandomizedSearchCV")
def random_search():
    search = model_selection.RandomizedSearchCV(
        of_formulas(), {_N_STEPS: [1, 2]}, n_iter=2, cv=2, error_score="raise", random_state=0
    )
    assert search.fit(FORMULAS, GAPS).predict(FORMULAS[:3]).shape == (3,)


@client("scikit-learn", "HalvingGridSearchCV")
def halving_search():
    search = model_selection.HalvingGridSearchCV(
        clone(regressor()).set_params(max_epochs=4),
        {"network__n_steps": [1, 2]},
        resource="max_epochs",
        min_resources=2,
        max_resources=4,
        factor=2,
        cv=2,
        error_score="raise",
    )
    assert search.fit(X, Y).best_estimator_.max_epochs == 4


@client("scikit-learn", "VotingRegressor")
def voting():
    members = [("network", of_formulas()), ("ridge", of_formulas(Ridge()))]
    vote = ensemble.VotingRegressor(members).fit(FORMULAS, GAPS)
    parts = [m.fit(FORMULAS, GAPS).predict(FORMULAS) for _, m in members]
    np.testing.assert_allclose(vote.predict(FORMULAS), np.mean(parts, axis=0))


@client("scikit-learn", "StackingClassifier")
def stacking():
    stack = ensemble.StackingClassifier(
        [("network", classifier()), ("trees", ensemble.ExtraTreesClassifier(5))], cv=2
    )
    assert stack.fit(X, CLASSES).score(X, CLASSES) > 0.7


@client("scikit-learn", "AdaBoostRegressor")
def boosting():
    boosted = ensemble.AdaBoostRegressor(regressor(), n_estimators=2, random_state=0)
    assert np.isfinite(boosted.fit(X, Y).predict(X)).all()


@client("scikit-learn", "MultiOutputRegressor")
def several_targets():
    both = np.column_stack([Y, -Y])
    for meta in (multioutput.MultiOutputRegressor, multioutput.RegressorChain):
        found = meta(regressor()).fit(X, both).predict(X)
        np.testing.assert_allclose(found[:, 0], regressor().fit(X, Y).predict(X))


@client("scikit-learn", "OneVsRestClassifier")
def one_versus_rest():
    thirds = np.digitize(Y, np.quantile(Y, [1 / 3, 2 / 3]))
    model = OneVsRestClassifier(classifier()).fit(X, thirds)
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


@client("scikit-learn", "SelfTrainingClassifier")
def self_training():
    labels = (CLASSES == "high").astype(int)
    labels[::2] = -1
    model = SelfTrainingClassifier(classifier(), max_iter=2).fit(X, labels)
    assert set(model.predict(X)) <= {0, 1}


@client("scikit-learn", "SequentialFeatureSelector")
def selection():
    selector = SequentialFeatureSelector(
        regressor(max_epochs=1), n_features_to_select=1, direction="forward", cv=2
    )
    assert selector.fit(TABLE, Y).transform(TABLE).shape == (len(X), 1)


@client("scikit-learn", "partial_dependence")
def dependence():
    model = regressor().fit(TABLE, Y)
    found = inspection.partial_dependence(model, TABLE, ["a"], grid_resolution=5)
    assert found["average"].shape == (1, 5)
    assert np.ptp(found["average"]) > 0


@client("scikit-learn", "learning_curve")
def curves():
    settings = {"cv": 2, "error_score": "raise"}
    _, _, scores = model_selection.learning_curve(
        of_formulas(), FORMULAS, GAPS, train_sizes=[0.5, 1.0], **settings
    )
    assert np.isfinite(scores).all()
    _, scores = model_selection.validation_curve(
        regressor(), X, Y, param_name="network__n_steps", param_range=[1, 2], **settings
    )
    assert np.isfinite(scores).all()


@client("scikit-learn", "permutation_test_score")
def permuted_targets():
    score, others, _ = model_selection.permutation_test_score(
        regressor(), X, Y, n_permutations=3, cv=2, random_state=0
    )
    assert np.isfinite([score, *others]).all()


@client("scikit-learn", "TunedThresholdClassifierCV")
def threshold():
    model = model_selection.TunedThresholdClassifierCV(classifier(), cv=2, random_state=0)
    assert set(model.fit(X, CLASSES).predict(X)) <= {"high", "low"}


@client("scikit-learn", "FrozenEstimator")
def frozen():
    model = classifier().fit(X[:20], CLASSES[:20])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(X[20:], CLASSES[20:])
    assert calibrated.predict_proba(X).shape == (len(X), 2)


@client("scikit-learn", "IterativeImputer")
def imputation():
    holes = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    found = IterativeImputer(regressor(max_epochs=1), max_iter=1, tol=1e9).fit_transform(holes)
    assert np.isfinite(found).all()


@client("scikit-learn", "cross_val_predict")
def out_of_fold():
    found = {
        method: model_selection.cross_val_predict(classifier(), X, CLASSES, cv=2, method=method)
        for method in ("predict_proba", "predict_log_proba")
    }
    np.testing.assert_allclose(np.exp(found["predict_log_proba"]), found["predict_proba"])


@client("scikit-learn", "RANSACRegressor")
def outliers():
    model = RANSACRegressor(regressor(), min_samples=20, max_trials=2, random_state=0)
    assert np.isfinite(model.fit(X, Y).predict(X)).all()


@client("scikit-learn", "FeatureUnion")
def union():
    both = make_union(MagpieFeaturizer(), StoichiometryFeaturizer())
    both.set_output(transform="pandas")
    model = make_pipeline(both, regressor()).fit(FORMULAS, GAPS)
    assert len(model[-1].feature_names_in_) == model[0].transform(FORMULAS).shape[1]


@client("scikit-learn", "estimator_html_repr")
def diagram():
    text = estimator_html_repr(of_formulas())
    assert "MagpieFeaturizer" in text
    assert "HybridTRIADSRegressor" in text


# ------------------------------------------------------------------------- conformal prediction


@client("MAPIE", module="mapie")
def mapie():
    from mapie.classification import SplitConformalClassifier
    from mapie.regression import CrossConformalRegressor, SplitConformalRegressor

    warnings.simplefilter("error", UserWarning)  # that an estimator does not appear fitted
    cross = CrossConformalRegressor(regressor(), confidence_level=0.8, cv=2)
    assert cross.fit_conformalize(X, Y).predict_interval(X)[1].shape == (len(X), 2, 1)
    split = SplitConformalClassifier(classifier(), prefit=False).fit(X[:20], CLASSES[:20])
    assert split.conformalize(X[20:], CLASSES[20:]).predict_set(X)[1].shape == (len(X), 2, 1)
    crystals = models.structures()
    graphs = CrystalGraphFeaturizer(composition=None).fit_transform(crystals)
    network = make(GraphTRIADSRegressor, unknown_elements="ignore", **_BRIEF | _GRAPH)
    streams = make(TriForcesRegressor, unknown_elements="ignore", **_BRIEF | _STREAMS)
    pipeline = make_pipeline(CrystalGraphFeaturizer(composition=None), clone(network))
    for model, rows in ((network, graphs), (streams, crystals), (pipeline, crystals)):
        split = SplitConformalRegressor(model, confidence_level=0.5, prefit=False)
        split.fit(rows[:8], Y[:8]).conformalize(rows[8:], Y[8:16])
        assert split.predict_interval(rows)[1].shape == (16, 2, 1)


@client("crepes")
def crepes():
    from crepes import WrapRegressor

    model = WrapRegressor(of_formulas())
    model.fit(FORMULAS[:20], GAPS[:20])
    model.calibrate(FORMULAS[20:], GAPS[20:])
    low, high = model.predict_int(FORMULAS, confidence=0.8).T
    assert (low <= high).all()


# ----------------------------------------------------------------------------------- searches


@client("optuna-integration", "OptunaSearchCV", module="optuna_integration")
def optuna_search():
    from optuna_integration import OptunaSearchCV

    search = OptunaSearchCV(
        of_formulas(), {_N_STEPS: IntDistribution(1, 2)}, n_trials=2, cv=2, error_score="raise"
    )
    assert search.fit(FORMULAS, GAPS).best_params_[_N_STEPS] in (1, 2)


@client("scikit-optimize", "BayesSearchCV", module="skopt")
def bayes_search():
    from skopt import BayesSearchCV

    search = BayesSearchCV(regressor(), {"learning_rate": (1e-3, 1e-2)}, n_iter=2, cv=2)
    assert 1e-3 <= search.fit(X, Y).best_params_["learning_rate"] <= 1e-2


def _score(learning_rate):
    model = regressor(learning_rate=learning_rate)
    return model_selection.cross_val_score(model, X, Y, cv=2, error_score="raise").mean()


@client("hyperopt")
def hyperopt():
    from hyperopt import fmin, hp, rand

    rate = hp.uniform("rate", 1e-3, 1e-2)
    best = fmin(lambda rate: -_score(rate), rate, rand.suggest, max_evals=2, verbose=False)
    assert 1e-3 <= best["rate"] <= 1e-2


@client("bayesian-optimization", module="bayes_opt")
def bayesian_optimization():
    from bayes_opt import BayesianOptimization

    search = BayesianOptimization(_score, {"learning_rate": (1e-3, 1e-2)}, verbose=0)
    search.maximize(init_points=2, n_iter=1)
    assert 1e-3 <= search.max["params"]["learning_rate"] <= 1e-2


@client("flaml")
def flaml():
    from flaml import tune

    found = tune.run(
        lambda config: {"score": _score(config["rate"])},
        config={"rate": tune.uniform(1e-3, 1e-2)},
        metric="score",
        mode="max",
        num_samples=2,
        verbose=0,
    )
    assert 1e-3 <= found.best_config["rate"] <= 1e-2


@client("sklearn-genetic-opt", module="sklearn_genetic")
def genetic_search():
    from sklearn_genetic import GASearchCV
    from sklearn_genetic.space import Continuous

    search = GASearchCV(
        regressor(),
        param_grid={"learning_rate": Continuous(1e-3, 1e-2)},
        population_size=3,
        generations=1,
        cv=2,
        verbose=False,
        error_score="raise",
    )
    assert 1e-3 <= search.fit(X, Y).best_params_["learning_rate"] <= 1e-2


@client("dask-ml", module="dask_ml.model_selection")
def dask_ml():
    from dask_ml.model_selection import GridSearchCV
    from dask_ml.wrappers import ParallelPostFit

    search = GridSearchCV(of_formulas(), {_N_STEPS: [1, 2]}, cv=2, scheduler="sync")
    assert search.fit(FORMULAS, GAPS).best_params_[_N_STEPS] in (1, 2)
    import dask.array as da

    model = ParallelPostFit(regressor().fit(X, Y))
    found = model.predict(da.from_array(X, chunks=(10, 4))).compute(scheduler="sync")
    np.testing.assert_allclose(found, model.estimator.predict(X), rtol=1e-9)


# -------------------------------------------------------------------------------- explanations


@client("shap")
def shap():
    import shap

    model = regressor().fit(X, Y)
    found = shap.Explainer(model.predict, X, algorithm="permutation", seed=0)(X[:3])
    total = found.values.sum(1) + found.base_values
    np.testing.assert_allclose(total, model.predict(X[:3]), atol=1e-6)


@client("lime")
def lime():
    from lime.lime_tabular import LimeTabularExplainer

    explainer = LimeTabularExplainer(X, mode="regression", random_state=0)
    model = regressor().fit(X, Y)
    assert len(explainer.explain_instance(X[0], model.predict, num_features=2).as_list()) == 2


@client("dalex")
def dalex():
    from dalex import Explainer

    explainer = Explainer(regressor().fit(TABLE, Y), TABLE, Y, verbose=False)
    assert np.isfinite(explainer.model_performance().result["r2"].iloc[0])
    assert set(TABLE) <= set(explainer.model_parts(B=1).result["variable"])


@client("PyALE")
def accumulated_effects():
    from PyALE import ale

    model = regressor().fit(TABLE, Y)
    effect = ale(TABLE, model, ["a"], grid_size=5, include_CI=False, plot=False)
    assert np.ptp(effect["eff"]) > 0


@client("interpret-core", module="interpret.blackbox")
def interpret():
    from interpret.blackbox import PartialDependence

    found = PartialDependence(regressor().fit(TABLE, Y), TABLE).explain_global()
    assert np.isfinite(found.data(0)["scores"]).all()


@client("yellowbrick", module="yellowbrick.regressor")
def yellowbrick():
    import matplotlib as mpl
    from yellowbrick.regressor import ResidualsPlot

    mpl.use("agg")
    # It asks for an attribute that scikit-learn gave up in 1.8, as of any estimator.
    plot = ResidualsPlot(regressor(), hist=False, force_model=True).fit(X, Y)
    assert np.isfinite(plot.score(X, Y))


# -------------------------------------------------------------------------- around estimators


@client("mlxtend")
def mlxtend():
    from mlxtend.feature_selection import SequentialFeatureSelector as Sequential
    from mlxtend.regressor import StackingCVRegressor

    stack = StackingCVRegressor((regressor(), Ridge()), Ridge(), cv=2, random_state=0)
    assert np.isfinite(stack.fit(X, Y).predict(X)).all()
    selector = Sequential(regressor(max_epochs=1), k_features=1, cv=2)
    assert len(selector.fit(X, Y).k_feature_idx_) == 1


@client("imbalanced-learn", module="imblearn")
def imbalanced():
    from imblearn.ensemble import BalancedBaggingClassifier
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline as make_sampling_pipeline

    rare = np.quantile(Y, 0.8) < Y
    model = make_sampling_pipeline(RandomOverSampler(random_state=0), classifier())
    assert model.fit(X, rare).predict(X).dtype == bool
    sampled = make_sampling_pipeline(
        MagpieFeaturizer(), RandomOverSampler(random_state=0), classifier()
    )
    assert sampled.fit(FORMULAS, GAPS > 2).predict(FORMULAS).dtype == bool
    bagged = BalancedBaggingClassifier(classifier(), n_estimators=2, random_state=0)
    assert bagged.fit(X, rare).predict_proba(X).shape == (len(X), 2)


@client("feature-engine", module="feature_engine")
def feature_engine():
    from feature_engine.imputation import MeanMedianImputer
    from feature_engine.selection import SelectByShuffling

    holes = TABLE.mask(TABLE.index.to_numpy()[:, None] % 9 == [0, 1, 2, 3])
    model = make_pipeline(MeanMedianImputer(), regressor()).fit(holes, Y)
    assert list(model[-1].feature_names_in_) == list(TABLE)
    selector = SelectByShuffling(regressor(), scoring="r2", cv=2, threshold=-9, random_state=0)
    assert list(selector.fit(TABLE, Y).transform(TABLE)) == list(TABLE)


@client("category_encoders")
def encoders():
    from category_encoders import TargetEncoder

    table = TABLE.assign(route=np.tile(["melt", "sinter"], len(X) // 2))
    model = make_pipeline(TargetEncoder(), regressor()).fit(table, Y)
    assert np.isfinite(model.predict(table)).all()


@client("skrub")
def skrub():
    from skrub import ApplyToCols, TableVectorizer, tabular_pipeline

    table = pd.DataFrame({"formula": FORMULAS, "route": np.tile(["melt", "sinter"], 17)})
    vectorizer = TableVectorizer(specific_transformers=[(MagpieFeaturizer(), ["formula"])])
    model = tabular_pipeline(regressor()).fit(TABLE, Y)
    assert np.isfinite(model.predict(TABLE)).all()
    for first in (vectorizer, ApplyToCols(MagpieFeaturizer(), cols="formula")):
        columns = first.fit_transform(table)
        assert len(columns) == len(table)
        assert any("Electronegativity" in name for name in columns)


@client("scikit-lego", module="sklego")
def lego():
    from sklego.meta import GroupedPredictor, ZeroInflatedRegressor

    table = TABLE.assign(group=np.tile(["melt", "sinter"], len(X) // 2))
    grouped = GroupedPredictor(regressor(), groups=["group"]).fit(table, Y)
    assert np.isfinite(grouped.predict(table)).all()
    zeros = np.maximum(Y, 0)
    hurdle = ZeroInflatedRegressor(classifier(), regressor()).fit(X, zeros)
    assert np.isfinite(hurdle.predict(X)).all()


@client("fairlearn")
def fairlearn():
    from fairlearn.postprocessing import ThresholdOptimizer
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient

    target, group = (CLASSES == "high").astype(int), (X[:, 3] > 0).astype(int)
    fair = ExponentiatedGradient(classifier(max_epochs=1), DemographicParity(), max_iter=2)
    fair.fit(X, target, sensitive_features=group)
    assert set(fair.predict(X, random_state=0)) <= {0, 1}
    optimizer = ThresholdOptimizer(estimator=classifier(), predict_method="predict_proba")
    optimizer.fit(X, target, sensitive_features=group)
    assert set(optimizer.predict(X, sensitive_features=group, random_state=0)) <= {0, 1}


@client("cleanlab")
def cleanlab():
    from cleanlab.classification import CleanLearning

    labels = (CLASSES == "high").astype(int)
    issues = CleanLearning(classifier(), cv_n_folds=2, seed=0).find_label_issues(X, labels)
    assert issues["label_quality"].between(0, 1).all()


@client("modAL-python", module="modAL")
def active_learning():
    from modAL.models import ActiveLearner

    def most_uncertain(learner, pool):
        return np.argsort(learner.predict(pool, return_std=True)[1])[-2:]

    # Its `teach` calls scikit-learn by a keyword that 1.8 gave up.
    learner = ActiveLearner(regressor(), most_uncertain, X_training=X[:20], y_training=Y[:20])
    assert len(learner.query(X[20:])[0]) == 2
    learner = ActiveLearner(classifier(), X_training=X[:20], y_training=CLASSES[:20])
    assert len(learner.query(X[20:])[0]) == 1


@client("econml", module="econml.dml")
def econml():
    from econml.dml import LinearDML

    effect = LinearDML(model_y=regressor(), model_t=regressor(), cv=2, random_state=0)
    effect.fit(Y, X[:, 0], X=X[:, 1:2], W=X[:, 2:])
    assert np.isfinite(effect.effect(X[:, 1:2])).all()


# ----------------------------------------------------------------------------- data and files


@client("polars")
def polars():
    import polars as pl

    table = pl.DataFrame(X, schema=list(TABLE))
    expected = regressor().fit(TABLE, Y).predict(TABLE)
    model = regressor().fit(table, pl.Series(Y))
    np.testing.assert_array_equal(model.predict(table), expected)
    assert list(model.feature_names_in_) == list(TABLE)
    magpie = MagpieFeaturizer().fit_transform(FORMULAS)
    found = MagpieFeaturizer().fit_transform(pl.Series("formula", FORMULAS.tolist()))
    np.testing.assert_array_equal(found, magpie)
    formulas = pl.DataFrame({"formula": FORMULAS.tolist(), "t": GAPS})
    columns = ColumnTransformer([("c", MagpieFeaturizer(), "formula")], remainder="passthrough")
    found = columns.set_output(transform="polars").fit_transform(formulas)
    assert found.shape == (len(FORMULAS), magpie.shape[1] + 1)


@client("cloudpickle")
def cloudpickle():
    import cloudpickle

    model = of_formulas().fit(FORMULAS, GAPS)
    again = pickle.loads(cloudpickle.dumps(model))
    np.testing.assert_array_equal(again.predict(FORMULAS), model.predict(FORMULAS))


@client("joblib", "joblib.Memory")
def memory():
    kept = make_pipeline(MagpieFeaturizer(), regressor(), memory=joblib.Memory("kept", verbose=0))
    first = kept.fit(FORMULAS, GAPS).predict(FORMULAS)
    np.testing.assert_array_equal(clone(kept).fit(FORMULAS, GAPS).predict(FORMULAS), first)


@client("mlflow-skinny", module="mlflow.sklearn")
def mlflow():
    import mlflow

    model = regressor().fit(TABLE, Y)
    settings = {"serialization_format": "cloudpickle", "pip_requirements": []}
    mlflow.sklearn.save_model(model, "model", **settings)
    loaded = mlflow.sklearn.load_model("model"), mlflow.pyfunc.load_model("model")
    for again in loaded:
        np.testing.assert_array_equal(again.predict(TABLE), model.predict(TABLE))


@pytest.mark.parametrize("name", CLIENTS, ids=identifier)
def test_client(name, tmp_path, monkeypatch):
    package, module, check = CLIENTS[name]
    if version_of(package) is None:
        pytest.skip(f"{package} is absent: pip install {package}")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        if package != "scikit-learn":
            warnings.simplefilter("ignore")  # of the client's own
            importlib.import_module(module)
        check()


# ------------------------------------------------------------------------------------ the matrix


def test_page__has_every_client_and_no_failure():
    text = clients.PAGE.read_text()
    for package, tests in clients.tests_of_clients().items():
        row = re.search(rf"^\| {re.escape(package)} \| \S+ \| (\d+) \| (\d+) \|$", text, re.M)
        assert row, f"{package} is not in the page: install it, and run python -m tools.clients"
        assert row[1] == row[2]
        assert int(row[1]) >= len([test for test in tests if "::" in test])


def test_matrix__names_tests_that_exist():
    for test in (test for tests in clients.ELSEWHERE.values() for test in tests):
        path, _, name = test.partition("::")
        text = (clients.ROOT / path).read_text()
        assert not name or f"def {name.partition('[')[0]}(" in text, test


def test_command__counts_what_held():
    outcomes = clients.Outcomes()
    outcomes.by_test = {"a.py::test": "passed", "a.py::other[x]": "failed", "b.py::t": "skipped"}
    tests = {"A": ["a.py"], "b": ["b.py"], "c": ["a.py::other"]}
    lines = list(clients.table(tests, outcomes, {"A": "1.0", "c": "2.0"}.get))
    assert lines[2:] == ["| A | 1.0 | 2 | 1 |", "| c | 2.0 | 1 | 0 |"]


def test_command__one_package__keeps_the_other_rows(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    head = ["<!-- clients -->", "", "| client | version | tests | held |", "|---|---|---:|---:|"]
    rows, tail = ["| ase | 1 | 2 | 2 |", "| gone | 3 | 1 | 1 |"], ["", "<!-- end of clients -->"]
    page.write_text("\n".join([*head, *rows, *tail, ""]))
    monkeypatch.setattr(clients, "PAGE", page)
    monkeypatch.setattr(clients, "tests_of_clients", lambda: {"ase": ["a.py"], "numpy": ["n.py"]})

    def run(arguments, plugins):
        assert arguments[-1] == "n.py"
        assert "a.py" not in arguments
        plugins[0].by_test = {"n.py::test": "passed"}
        return 0

    monkeypatch.setattr(pytest, "main", run)
    with pytest.raises(SystemExit) as caught:
        clients.main(["numpy"])
    assert caught.value.code == 0
    rows.append(f"| numpy | {np.__version__} | 1 | 1 |")
    assert page.read_text().splitlines() == [*head, *rows, *tail]
    with pytest.raises(SystemExit) as caught:
        clients.main(["nunpy"])
    assert caught.value.code == 2

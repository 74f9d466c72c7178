"""Δ-learning: what is learned, what is predicted, what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsRegressor

import trisk
from trisk.estimators import DeltaRegressor, GraphTRIADSRegressor
from trisk.featurizers import CrystalGraphFeaturizer, SpringModelFeaturizer
from trisk.testing import make_structures


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
        {"kind": ["ratio", "difference"], "regressor__hidden_dim": [8]},
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
    network = GraphTRIADSRegressor(
        n_members=1, max_epochs=2, hidden_dim=8, bond_dim=8, order=1, random_state=0
    )
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
    network = GraphTRIADSRegressor(
        n_members=1, max_epochs=1, hidden_dim=8, bond_dim=8, order=1, random_state=0
    )
    model = DeltaRegressor(network, reference="SpringModel highest pair frequency (1/cm)")
    model.fit(featurizer.fit_transform(structures), frequency)
    with pytest.warns(UserWarning, match="predictions are NaN"):
        predicted = model.predict(featurizer.transform([structures[0], None]))
    assert np.isnan(predicted).tolist() == [False, True]

"""What every composition featurizer owes its users, checked for all that are exported."""

import inspect
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from backends import BACKENDS, two_workers
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags

import trisk.featurizers
from trisk.featurizers import FeaturizationError, MagpieFeaturizer
from trisk.featurizers.composition.base import BaseCompositionFeaturizer
from trisk.structures.rows import RowError

FEATURIZERS = [
    exported
    for exported in vars(trisk.featurizers).values()
    if inspect.isclass(exported) and issubclass(exported, BaseCompositionFeaturizer)
]

# matminer sums the weights of the formula as it is written.
EXTENSIVE_COLUMNS = ["WenAlloys Total weight"]

# These read the amounts alone, or know something of every element.
NO_ELEMENT_DATA = {
    *("ElementFractionFeaturizer", "StoichiometryFeaturizer", "TransitionMetalFractionFeaturizer"),
    *("Mat2VecFeaturizer", "PretrainedFeaturizer"),
}
ELEMENT_BLOCKS = {
    *("MagpieData", "ValenceOrbital", "IonProperty", "BandCenter", "AtomicOrbitals"),
    *("Miedema", "YangSolidSolution", "WenAlloys"),
}

FORMULAS = ["Fe2O3", "NaCl", "CaTiO3", "Al2O3", "ZnS", "MgO", "Cu0.5Ni0.5", "Ca(OH)2"]


def check_featurizer(featurizer_class):
    """Run every common check on a featurizer class, as a third party would on theirs."""
    for check in COMMON_CHECKS:
        check(featurizer_class)


def check_parameters_are_keyword_only_and_untouched(cls):
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    assert {"on_error", "missing", "n_jobs"} <= {p.name for p in parameters}
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
    featurizer = cls()
    assert vars(featurizer) == {p.name: p.default for p in parameters}
    assert featurizer.get_params() == vars(featurizer)
    assert set(cls._parameter_constraints) == set(vars(featurizer))


def check_clone_and_pickle_give_the_same_values(cls):
    featurizer = cls(n_jobs=1)
    assert clone(featurizer).get_params() == featurizer.get_params()
    X = featurizer.fit_transform(FORMULAS)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(featurizer)).transform(FORMULAS), X)
    assert joblib.hash(clone(featurizer)) == joblib.hash(cls(n_jobs=1))


def check_transform_before_fit_raises(cls):
    with pytest.raises(NotFittedError):
        cls().transform(FORMULAS)
    with pytest.raises(NotFittedError):
        cls().get_feature_names_out()


def check_bad_parameters_raise_in_fit(cls):
    for name in ("on_error", "missing", "n_jobs"):
        with pytest.raises(ValueError, match=name):
            cls(**{name: "nonsense"}).fit(FORMULAS)


def check_fit_returns_self_and_sets_only_fitted_attributes(cls):
    featurizer = cls()
    before = set(vars(featurizer))
    assert featurizer.fit(FORMULAS) is featurizer
    added = set(vars(featurizer)) - before
    assert all(name.endswith("_") or name.startswith("_") for name in added)
    assert featurizer.n_features_in_ == 1
    assert not hasattr(featurizer, "feature_names_in_")


def check_output_is_a_named_finite_float_frame(cls):
    featurizer = cls()
    X = featurizer.fit_transform(FORMULAS)
    assert isinstance(X, pd.DataFrame)
    assert X.shape == (len(FORMULAS), featurizer.n_features_out_)
    assert X.columns.tolist() == featurizer.get_feature_names_out().tolist()
    assert featurizer.get_feature_names_out().dtype == object
    assert X.columns.is_unique
    assert (X.dtypes == np.float64).all()
    assert np.isfinite(X.to_numpy()).all()


def check_index_and_column_name_are_kept(cls):
    index = [f"sample {i}" for i in range(len(FORMULAS))]
    frame = pd.DataFrame({"composition": FORMULAS}, index=index)
    featurizer = cls().fit(frame)
    assert featurizer.feature_names_in_.tolist() == ["composition"]
    assert featurizer.transform(frame).index.tolist() == index
    assert cls().fit_transform(frame["composition"]).index.tolist() == index
    names = featurizer.get_feature_names_out(["composition"])
    assert names.tolist() == featurizer.get_feature_names_out().tolist()
    with pytest.raises(ValueError, match="input_features"):
        featurizer.get_feature_names_out(["formula"])
    with pytest.raises(ValueError, match="feature names"):
        featurizer.transform(frame.rename(columns={"composition": "formula"}))


def check_set_output_is_honoured(cls):
    for container in ("default", "pandas"):
        featurizer = cls().set_output(transform=container)
        X = featurizer.fit_transform(pd.Series(FORMULAS, index=range(5, 5 + len(FORMULAS))))
        assert isinstance(X, pd.DataFrame)
        assert X.index[0] == 5


def check_rows_do_not_depend_on_each_other(cls):
    featurizer = cls().fit(FORMULAS)
    X = featurizer.transform(FORMULAS).to_numpy()
    backwards = featurizer.transform(FORMULAS[::-1]).to_numpy()
    alone = np.vstack([featurizer.transform([formula]).to_numpy() for formula in FORMULAS])
    np.testing.assert_allclose(backwards[::-1], X, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(alone, X, rtol=1e-12, atol=1e-12)


def check_scaled_formulas_give_the_same_intensive_values(cls):
    doubled = ["Fe4O6", "Na2Cl2", "Ca2Ti2O6", "Al4O6", "Zn2S2", "Mg2O2", "CuNi", "(Ca(OH)2)2"]
    featurizer = cls().fit(FORMULAS)
    once, twice = featurizer.transform(FORMULAS), featurizer.transform(doubled)
    for name in once.columns.difference(EXTENSIVE_COLUMNS):
        np.testing.assert_allclose(once[name], twice[name], rtol=1e-9, atol=1e-9, err_msg=name)


def check_every_kind_of_input_gives_the_same_values(cls):
    from pymatgen.core import Composition

    featurizer = cls().fit(FORMULAS)
    X = featurizer.transform(FORMULAS).to_numpy()
    objects = [Composition(formula) for formula in FORMULAS]
    dicts = [{str(e): amount for e, amount in c.items()} for c in objects]
    columns = [np.array(FORMULAS, dtype=object)[:, None], pd.DataFrame({"composition": FORMULAS})]
    mixed = [*FORMULAS[:3], *objects[3:5], *dicts[5:]]
    for same in (objects, dicts, mixed, tuple(FORMULAS), pd.Series(FORMULAS)):
        np.testing.assert_allclose(featurizer.transform(same).to_numpy(), X, rtol=1e-12)
    np.testing.assert_allclose(featurizer.transform(columns[0]).to_numpy(), X, rtol=1e-12)
    np.testing.assert_allclose(cls().fit_transform(columns[1]).to_numpy(), X, rtol=1e-12)


def check_chunks_and_workers_change_nothing(cls):
    formulas = FORMULAS * 3
    X = cls().fit_transform(formulas)
    with pytest.MonkeyPatch.context() as patch, joblib.parallel_config(backend="threading"):
        patch.setattr("trisk.featurizers.composition.base._CHUNK_ROWS", 5)
        pd.testing.assert_frame_equal(cls().fit_transform(formulas), X)
        pd.testing.assert_frame_equal(cls(n_jobs=2).fit_transform(formulas), X)


def check_unreadable_rows_raise_or_become_nan(cls):
    formulas = ["Fe2O3", "Fo2O3", "NaCl", None]
    featurizer = cls().fit(formulas)
    with pytest.raises(FeaturizationError, match=r"row 1: 'Fo2O3': unknown element 'Fo'") as info:
        featurizer.transform(formulas)
    assert [error.row for error in info.value.errors] == [1, 3]
    assert 'on_error="nan"' in str(info.value)
    lenient = cls(on_error="nan").fit(formulas)
    with pytest.warns(UserWarning, match="2 of 4 rows hold NaN") as caught:
        X = lenient.transform(formulas)
    assert len(caught) == 1
    assert X.isna().all(axis=1).tolist() == [False, True, False, True]
    np.testing.assert_allclose(
        X.iloc[[0, 2]].to_numpy(), featurizer.transform(["Fe2O3", "NaCl"]).to_numpy()
    )
    for explained in (featurizer.explain_errors(formulas), lenient.explain_errors(formulas)):
        assert explained.columns.tolist() == ["row", "formula", "featurizer", "cause"]
        assert explained["row"].tolist() == [1, 3]
        assert (explained["featurizer"] == cls.__name__).all()
    assert lenient.explain_errors(["Fe2O3"]).empty


def check_transform_changes_nothing(cls):
    featurizer = cls(on_error="nan").fit(FORMULAS)
    before = dict(vars(featurizer))
    with pytest.warns(UserWarning, match="1 of 1 rows"):
        featurizer.transform(["Fo"])
    featurizer.explain_errors(["Fo"])
    assert vars(featurizer).keys() == before.keys()
    assert all(vars(featurizer)[name] is value for name, value in before.items())


def check_values_read_once_are_not_lost(cls):
    X = cls().fit_transform(FORMULAS)
    pd.testing.assert_frame_equal(cls().fit_transform(iter(FORMULAS)), X)
    pd.testing.assert_frame_equal(cls().fit_transform(f for f in FORMULAS), X)


def check_elements_without_data_are_named_or_nan(cls):
    """Og and its like never get the statistics of other elements."""
    table = cls().fit(FORMULAS)
    explained = table.explain_errors(["TiZr", "TiOg", "LvTi"])
    if cls.__name__ in NO_ELEMENT_DATA:
        assert explained.empty
        return
    assert explained["row"].drop_duplicates().tolist() == [1, 2]
    assert explained["cause"].str.contains("Og|Lv").all()
    with pytest.raises(FeaturizationError, match="row 1: 'TiOg'"):
        table.transform(["TiZr", "TiOg"])
    own = [name for name in table.get_feature_names_out() if name.split()[0] in ELEMENT_BLOCKS]
    values = cls(on_error="nan").fit(FORMULAS)
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        assert values.transform(["TiZr", "TiOg"])[own].isna().all(axis=1).tolist() == [False, True]
    values = cls(missing="nan").fit_transform(["TiZr", "TiOg"])[own]
    assert values.isna().any(axis=1).tolist() == [False, True]


def check_no_rows_give_an_empty_frame(cls):
    featurizer = cls().fit(FORMULAS)
    assert featurizer.transform([]).shape == (0, featurizer.n_features_out_)


def check_input_is_not_changed(cls):
    from pymatgen.core import Composition

    values = ["Fe2O3", {"Na": 1, "Cl": 1}, Composition("MgO")]
    before = [repr(value) for value in values]
    frame = pd.DataFrame({"composition": values})
    cls().fit_transform(frame)
    assert [repr(value) for value in frame["composition"]] == before


def check_tags_say_strings_in_one_dimension(cls):
    tags = get_tags(cls())
    assert tags.input_tags.one_d_array
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.requires_fit
    assert tags.transformer_tags.preserves_dtype == []


COMMON_CHECKS = [
    check
    for name, check in list(globals().items())
    if name.startswith("check_") and name != "check_featurizer"
]


def test_common_checks__cover_something():
    assert len(FEATURIZERS) >= 3
    assert len(COMMON_CHECKS) >= 15
    assert all(issubclass(cls, BaseEstimator) for cls in FEATURIZERS)
    assert {cls.__name__ for cls in FEATURIZERS} <= set(trisk.featurizers.__all__)


@pytest.mark.parametrize("check", COMMON_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("cls", FEATURIZERS, ids=lambda cls: cls.__name__)
def test_every_featurizer__passes(cls, check):
    check(cls)


# scikit-learn's checks that need no data; the others feed numbers, which are no formulas.
SKLEARN_CHECKS = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.mark.parametrize("check", SKLEARN_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("cls", FEATURIZERS, ids=lambda cls: cls.__name__)
def test_every_featurizer__passes_sklearns_data_free(cls, check):
    check(cls.__name__, cls())


class HalfFeaturizer(BaseCompositionFeaturizer):
    """Gives one number, and up on oxides: a third party's subclass in full."""

    def _feature_names(self):
        return ["Half n_elements"]

    def _compute(self, table):
        values = table.lengths[:, None] / 2
        oxides = np.unique(table.rows[table.elements == 8])
        return values, [
            RowError(int(row), table.formulas[row], "HalfFeaturizer", "it is an oxide")
            for row in oxides
        ]


def test_subclass__errors_of_compute__carry_the_inputs_row(monkeypatch):
    monkeypatch.setattr("trisk.featurizers.composition.base._CHUNK_ROWS", 2)
    formulas = ["NaCl", "??", "Si", "GaAs", "MgO", "ZnS", "SiO2"]
    featurizer = HalfFeaturizer(on_error="nan").fit(formulas)
    with pytest.warns(UserWarning, match="3 of 7 rows hold NaN"):
        X = featurizer.transform(formulas)
    np.testing.assert_array_equal(X.to_numpy()[:, 0], [1, np.nan, 0.5, 1, np.nan, 1, np.nan])
    explained = featurizer.explain_errors(formulas)
    assert explained["row"].tolist() == [1, 4, 6]
    assert explained["formula"].tolist() == ["??", "MgO", "SiO2"]
    with pytest.raises(FeaturizationError, match="row 2: 'MgO': it is an oxide"):
        HalfFeaturizer().fit_transform(["NaCl", "Si", "MgO"])


def test_error__many_rows__shows_five_and_pickles():
    with pytest.raises(FeaturizationError, match=r"(?s)8 row.*row 4: .*\n  and 3 more") as info:
        MagpieFeaturizer().fit_transform(["??"] * 8)
    again = pickle.loads(pickle.dumps(info.value))
    assert str(again) == str(info.value)
    assert again.errors == info.value.errors
    assert isinstance(again, ValueError)


# joblib warns where writing its file took half a second: on a busy machine.
@pytest.mark.filterwarnings("ignore:Persisting input arguments took:UserWarning")
def test_pipeline__with_memory__computes_once_and_equals_the_bare_featurizer(tmp_path):
    y = np.arange(len(FORMULAS), dtype=float)
    steps = [("featurize", MagpieFeaturizer()), ("scale", StandardScaler()),
             ("forest", RandomForestRegressor(5, random_state=0))]  # fmt: skip
    cached = Pipeline(steps, memory=str(tmp_path)).fit(FORMULAS, y)
    bare = clone(Pipeline(steps)).fit(FORMULAS, y)
    again = clone(cached).fit(FORMULAS, y)
    assert np.array_equal(cached.predict(FORMULAS), bare.predict(FORMULAS))
    assert np.array_equal(again.predict(FORMULAS), bare.predict(FORMULAS))
    assert cached[:-1].get_feature_names_out()[0] == "MagpieData minimum Number"
    assert cross_val_score(bare, np.array(FORMULAS), y, cv=2).shape == (2,)


@pytest.mark.parametrize("selection", ["composition", ["composition"]])
@pytest.mark.parametrize("container", ["default", "pandas"])
def test_column_transformer__beside_process_variables__joins_both(selection, container):
    frame = pd.DataFrame(
        {"composition": FORMULAS, "temperature": np.linspace(300, 900, len(FORMULAS))},
        index=[f"batch {i}" for i in range(len(FORMULAS))],
    )
    joint = make_column_transformer(
        (MagpieFeaturizer(), selection), (StandardScaler(), ["temperature"])
    ).set_output(transform=container)
    X = joint.fit_transform(frame)
    assert X.shape == (len(FORMULAS), 133)
    names = joint.get_feature_names_out()
    assert names[0] == "magpiefeaturizer__MagpieData minimum Number"
    assert names[-1] == "standardscaler__temperature"
    np.testing.assert_allclose(
        np.asarray(X)[:, :132], MagpieFeaturizer().fit_transform(FORMULAS).to_numpy()
    )
    if container == "pandas":
        assert X.index.tolist() == frame.index.tolist()


def test_column_transformer__two_formula_columns__are_kept_apart():
    frame = pd.DataFrame({"film": FORMULAS, "substrate": FORMULAS[::-1]})
    both = ColumnTransformer([(c, MagpieFeaturizer(), c) for c in frame])
    X = make_pipeline(both).fit_transform(frame)
    np.testing.assert_array_equal(X[:, :132], X[::-1, 132:])


@BACKENDS
def test_n_jobs__every_backend__gives_the_same_values(backend):
    X = MagpieFeaturizer().fit_transform(FORMULAS * 10)
    with two_workers(backend):
        pd.testing.assert_frame_equal(MagpieFeaturizer().fit_transform(FORMULAS * 10), X)

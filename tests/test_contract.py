"""Every estimator keeps its contracts: all checks of scikit-learn, and trisk's for structures."""

import re
from collections import Counter
from unittest import SkipTest

import numpy as np
import pytest
from nested import make, small_encoder
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_checks

from tools import contract
from tools.on_tables import (
    on_tables,
    table_to_formulas,
    table_to_graphs,
    table_to_structures,
)
from trisk.estimators import (
    DeltaRegressor,
    GraphTRIADSClassifier,
    GraphTRIADSRegressor,
    TriForcesClassifier,
    TriForcesRegressor,
)
from trisk.featurizers import (
    CrystalGraphFeaturizer,
    MagpieFeaturizer,
    SpringModelFeaturizer,
    StoichiometryFeaturizer,
)
from trisk.structures import read_structures
from trisk.testing import structure_estimator_checks

CASES = contract.cases()
for _case in CASES.values():
    if _case.name.startswith("CompositionEncoder"):
        _case.estimator.set_params(pretrained=small_encoder())


def _of_scikit_learn():
    for case in CASES.values():
        marks = [pytest.mark.slow] * case.slow
        for estimator, check in case.checks():
            name = f"{case.name}-{contract.name_of(check)}".replace(" ", "_")
            yield pytest.param(case, estimator, check, id=name, marks=marks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("case", "estimator", "check"), list(_of_scikit_learn()))
def test_of_scikit_learn(case, estimator, check):
    if contract.is_declared(case, check):
        with pytest.raises((AssertionError, ValueError)):  # else it need not be declared
            check(estimator)
    else:
        check(estimator)


@pytest.mark.parametrize("case", list(CASES.values()), ids=lambda case: case.name.replace(" ", "_"))
def test_nearly_all_checks_run_on_every_class(case):
    checks = list(case.checks())
    assert len(checks) > 40
    names = {contract.name_of(check).partition("-")[0] for _, check in checks}
    assert set(case.declared) <= names
    assert len(case.declared) <= 5


def test_every_class_has_a_case():
    names = set(contract.estimators.__all__) | set(contract.featurizers.__all__)
    classes = {n for n in names if hasattr(_public(n), "fit") and not n.endswith("Options")}
    assert classes <= {name.partition(",")[0] for name in CASES}


def _public(name):
    return getattr(contract.featurizers, name, None) or getattr(contract.estimators, name, None)


def test_page__has_every_class_and_no_failure():
    text = contract.PAGE.read_text()
    for case in CASES.values():
        row = re.search(rf"^\| {re.escape(case.name)} \|.*$", text, re.MULTILINE)
        assert row, f"{case.name} is not in the page: run python -m tools.contract"
        assert row[0].endswith("| 0 |"), row[0]
        for name in case.declared:
            assert f"`{name}`" in text


def test_command__counts_and_says_what_fails(monkeypatch, capsys):
    assert contract.run(CASES["YangFeaturizer"])[0]["failed"] == 0
    lines = list(contract.table([(CASES["YangFeaturizer"], Counter(passed=1200))]))
    assert "| YangFeaturizer | formulas | 1200 | 0 | 0 | 0 |" in lines
    assert "| all | | 1,200 | 0 | 0 | 0 |" in lines


# ------------------------------------------------------------------------------------ the bridge


@pytest.mark.parametrize("convert", [table_to_formulas, table_to_structures, table_to_graphs])
@pytest.mark.parametrize("n_columns", [1, 4, 30])
def test_tables__become_samples_row_by_row(convert, n_columns):
    X = (
        np.random.default_rng(0).normal(size=(40, n_columns))
        * 10.0 ** np.arange(-2, 2).repeat(10)[:, None]
    )

    def numbers(samples):
        if convert is table_to_formulas:
            return MagpieFeaturizer().fit_transform(samples).to_numpy()
        atoms, _ = read_structures(samples)
        starts = atoms.offsets["atom"][:-1]
        sites = np.add.reduceat(atoms.positions, starts, axis=0)
        return np.column_stack([atoms.lattices.reshape(len(atoms), -1), sites])

    whole = numbers(convert(X))
    assert len(np.unique(whole.round(9), axis=0)) == len(X)
    alone = np.concatenate([numbers(convert(X[[row]])) for row in range(len(X))])
    np.testing.assert_array_equal(alone, whole)


def test_on_tables__keeps_class_and_parameters():
    bridged = on_tables(StoichiometryFeaturizer(n_jobs=2), table_to_formulas)
    assert isinstance(bridged, StoichiometryFeaturizer)
    assert type(clone(bridged)) is type(bridged)
    assert bridged.get_params() == StoichiometryFeaturizer(n_jobs=2).get_params()
    assert type(on_tables(MagpieFeaturizer(), table_to_formulas)) is type(
        on_tables(MagpieFeaturizer(missing="nan"), table_to_formulas)
    )
    X = np.random.default_rng(0).normal(size=(5, 3))
    expected = StoichiometryFeaturizer().fit_transform(table_to_formulas(X))
    np.testing.assert_array_equal(bridged.fit_transform(X), expected)
    assert bridged.n_features_in_ == 3


class _Remembers(StoichiometryFeaturizer):
    def transform(self, X):
        self.seen_ = len(X)
        return super().transform(X)


class _Compares(StoichiometryFeaturizer):
    def transform(self, X):
        return super().transform(X) - len(X)


class _Silent(StoichiometryFeaturizer):
    def _set_up(self):
        self.n_jobs = 1
        return super()._set_up()


@pytest.mark.parametrize(
    ("faulty", "check"),
    [
        (_Remembers, "check_dict_unchanged"),
        (_Compares, "check_methods_subset_invariance"),
        (_Silent, "check_dont_overwrite_parameters"),
    ],
)
def test_on_tables__finds_faults_of_the_class(faulty, check):
    check = getattr(estimator_checks, check)
    check("StoichiometryFeaturizer", on_tables(StoichiometryFeaturizer(), table_to_formulas))
    with pytest.raises(AssertionError):
        check(faulty.__name__, on_tables(faulty(), table_to_formulas))


# ------------------------------------------------------------------------------------ structures

_GRAPH = {
    "n_members": 1,
    "max_epochs": 2,
    "hidden_dim": 16,
    "bond_dim": 12,
    "angle_dim": 4,
    "feedforward_dim": 16,
    "max_cycles": 6,
    "batch_size": 8,
    "random_state": 0,
}
_STREAMS = {
    "max_epochs": 2,
    "hidden_dim": 8,
    "n_layers": 2,
    "cutoff": 4.5,
    "batch_size": 8,
    "random_state": 0,
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


def _of_trisk():
    for estimator in OF_STRUCTURES:
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        slow = isinstance(last, GraphTRIADSClassifier | TriForcesClassifier)
        for fresh, check in structure_estimator_checks(estimator):
            name = f"{type(last).__name__}-{contract.name_of(check)}"
            yield pytest.param(fresh, check, id=name, marks=[pytest.mark.slow] * slow)


@pytest.mark.filterwarnings("ignore:.*elements that the training set had not:UserWarning")
@pytest.mark.parametrize(("estimator", "check"), list(_of_trisk()))
def test_of_structure_estimators(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        pytest.skip(str(reason))

"""Models on the same folds: what is compared, how rows are grouped, what is shown."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from trisk import MagpieFeaturizer, compare, load_band_gaps
from trisk.estimators import CalibratedVotingRegressor
from trisk.model_selection._compare import default_models, holds_classes
from trisk.model_selection._materials import grouped_folds, material_labels, rows_of
from trisk.testing import make_structures

mpl.use("agg")
SMALL = {"n_members": 2, "max_epochs": 2, "batch_size": 64}


def small(models):
    """The same models, hardly trained."""
    for name, model in models.items():
        last = model[-1] if hasattr(model, "steps") else model
        given = {"trisk": SMALL, "ExtraTrees": {"n_estimators": 5, "n_jobs": None}}.get(name, {})
        last.set_params(**(given | ({"max_iter": 3} if name == "boosted trees" else {})))
        if name == "trisk" and "stack_with" in last.get_params():
            last.set_params(stack_with=None, calibrate=False)
    return models


def test_formulas__default_models_in_one_table():
    X, y = (values[:80] for values in load_band_gaps())
    models = small(default_models(X, classification=False, random_state=0))
    found = compare(X, y, models=models, cv=2)
    assert found.table.index.tolist() == ["trisk", "ExtraTrees", "boosted trees", "guess"]
    assert found.table.loc["trisk", "difference"] == 0
    scores = {name: r.folds["mae"] for name, r in found.results.items()}
    gap = scores["guess"] - scores["trisk"]
    assert found.table.loc["guess", "difference"] == pytest.approx(gap.mean())
    assert found.table.loc["guess", "difference_std"] == pytest.approx(gap.std(ddof=0))
    assert (found.table["seconds"] > 0).all()
    assert repr(found).startswith("mae (eV), 2 shuffled folds\n")
    assert "<table" in found._repr_html_()
    display = found.parity()
    assert len(display.legend_.get_texts()) == 2
    assert found.parity(["guess"]).text_.startswith("guess: MAE")


def test_equal_formulas__stay_in_one_fold_and_it_is_said():
    X, y = (values[:30] for values in load_band_gaps())
    X, y = pd.concat([X] * 3, ignore_index=True), pd.concat([y] * 3, ignore_index=True)
    found = compare(X, y, models={"guess": DummyRegressor()})
    assert "rows of each of 30 distinct materials in one fold" in repr(found)
    fold = found.results["guess"].predictions["fold"]
    assert (fold.groupby(X).nunique() == 1).all()
    assert material_labels(["Fe2O3", "O6Fe4", "FeO"]).tolist() == [0, 0, 1]
    labels = np.arange(90) % 9
    folds, note = grouped_folds(X, y, 3, groups=labels)
    assert all(not set(labels[train]) & set(labels[test]) for train, test in folds)
    assert "9 groups" in note
    folds, note = grouped_folds(X, y, KFold(4))
    assert note == "4 folds"
    folds, _ = grouped_folds(X, y > 1, 3, classification=True)
    assert len(folds) == 3


def test_formulas__are_found_beside_sample_numbers_and_one_that_is_wrong():
    formulas = ["Fe2O3", "NaCl", "MgO", "CuO"] * 5
    table = pd.DataFrame({"sample": [f"S{k}" for k in range(1, 21)], "alloy": formulas})
    assert rows_of(table) == ("formulas", "alloy")
    assert rows_of(["Xx2", *formulas]) == ("formulas", None)
    assert rows_of(np.array(formulas, dtype=object)[:, None]) == ("formulas", None)


def test_equal_rows_of_a_table__share_a_label_at_any_scale():
    X = np.array([[1, np.nan], [1, np.nan], [2, 3], [4, 3]])
    first, again, *others = material_labels(1e-9 * X)
    assert first == again
    assert len({first, *others}) == 3


def test_process_columns_beside_formulas():
    X, y = (values[:60] for values in load_band_gaps())
    table = pd.DataFrame({"T (K)": np.arange(60.0), "dry": ["N", "Y"] * 30, "material": X})
    assert rows_of(table) == ("formulas", "material")
    models = small(default_models(table, classification=False, random_state=0))
    found = compare(table, y, models=models, cv=2)
    names = found.results["ExtraTrees"].estimators[0][:-1].get_feature_names_out()
    assert {"T (K)", "dry_N", "dry_Y"} < set(names)


def test_process_columns_beside_structures(tmp_path):
    structures, frequency, _ = make_structures(16)
    table = pd.DataFrame({"T (K)": np.arange(16.0), "dry": ["N", "Y"] * 8, "crystal": structures})
    assert rows_of(table) == ("structures", "crystal")
    assert len(set(material_labels(table))) > 8
    models = default_models(table, classification=False, random_state=0)
    assert models.pop("trisk").estimators[1][1]["graphs"].process == ["T (K)", "dry"]
    found = compare(table, frequency, models=small(models), cv=2)
    graphs = found.results["ExtraTrees"].estimators[0][0]
    assert graphs.transform(table).names["process"] == ("T (K)", "dry_N", "dry_Y")
    structures[0].to(filename=str(tmp_path / "a.cif"))
    files = table.assign(crystal=str(tmp_path / "a.cif"), formula="NaCl")
    assert rows_of(files) == ("structures", "crystal")


def test_folds_in_processes_are_the_same():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40.0)
    models = {"line": Ridge(), "guess": DummyRegressor()}
    one, two = (compare(X, y, models=models, cv=3, n_jobs=n).table for n in (None, 2))
    columns = ["mean", "std", "difference", "difference_std"]
    pd.testing.assert_frame_equal(one[columns], two[columns])


def test_files_and_texts_of_structures_are_no_formulas(tmp_path):
    structures, _, _ = make_structures(2)
    path = tmp_path / "a.cif"
    structures[0].to(filename=str(path))
    for value in (path, str(path), path.read_text(), structures[0].as_dict(), structures[0]):
        assert rows_of(pd.Series([value] * 2)) == ("structures", None)
        models = default_models([value], classification=False, random_state=0)
        assert isinstance(models["trisk"], CalibratedVotingRegressor)


@pytest.mark.parametrize("classification", [False, True])
def test_structures__get_networks_and_trees(classification):
    structures, frequency, kind = make_structures(16)
    models = default_models(structures, classification=classification, random_state=0)
    expected = VotingClassifier if classification else CalibratedVotingRegressor
    assert type(models.pop("trisk")) is expected
    y = kind == "fluorite" if classification else frequency
    found = compare(structures, y, models=small(models), cv=2, classification=classification)
    assert is_classifier(found.results["ExtraTrees"].estimators[0]) == classification
    assert found.metric == ("roc_auc" if classification else "mae")
    assert rows_of(pd.DataFrame({"structure": structures}))[0] == "structures"
    if classification:
        with pytest.raises(ValueError, match="for numbers"):
            found.parity()


def test_tables__and_classes_by_the_looks_of_targets():
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    models = small(default_models(X, classification=True, random_state=0))
    found = compare(X, y, models=models, cv=2)
    assert found.metric == "roc_auc"
    assert "Zeros and ones are classes" in repr(found)
    found = compare(X, y, models={"line": Ridge()}, cv=2, classification=False)
    assert found.metric == "mae"
    assert [holds_classes(v) for v in (["a", "b"], [True, False], [0, 2, 1], [0.5, 1.0])] == [
        *(True, True, False, False)
    ]
    assert rows_of(MagpieFeaturizer().fit_transform(["Fe", "Al"]))[0] == "table"


def test_equal_rows_of_any_table_are_one_material():
    table = pd.DataFrame({"a": [1.0, np.nan, 1.0, np.nan], "route": ["x", "y", "x", "y"]})
    assert material_labels(table).tolist() == [0, 1, 0, 1]
    assert not holds_classes(np.array([1.5, 2, 3], dtype=object))


def test_groups_and_targets_that_do_not_fit__are_refused():
    X, y = load_band_gaps()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare(X[:40], y[:40], groups=[1, 2])
    with pytest.raises(ValueError, match="Of several targets"):
        compare(X[:40], np.column_stack([y[:40]] * 2))
    few = ["Fe2O3"] * 9
    folds, note = grouped_folds(few, np.arange(9.0), 3)
    assert len(folds) == 3
    assert "of 1 materials, too few to stay together" in note

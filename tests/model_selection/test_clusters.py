"""Folds that leave families of materials out."""

import numpy as np
import pandas as pd
import pytest
from ase.build import molecule
from pymatgen.core import Composition, Lattice, Structure
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

from trisk.datasets import load_band_gaps
from trisk.model_selection import LeaveClusterOut
from trisk.testing import make_structures


@pytest.fixture(scope="module")
def formulas():
    return load_band_gaps()[0]


def check_partition(folds, n_rows):
    for train, test in folds:
        assert len(test) > 0
        assert len(train) > 0
        assert sorted([*train, *test]) == list(range(n_rows))


def test_chemical_system__test_systems_are_unseen(formulas):
    cv = LeaveClusterOut("chemical_system", n_splits=5, random_state=0)
    systems = np.array([Composition(f).chemical_system for f in formulas])
    folds = list(cv.split(formulas))
    assert cv.get_n_splits() == len(folds) == 5
    check_partition(folds, len(formulas))
    for train, test in folds:
        assert not set(systems[train]) & set(systems[test])
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(formulas)))


def test_chemical_system__one_fold_each__large_ones_only(formulas):
    folds = list(LeaveClusterOut("chemical_system", min_test_size=3).split(formulas))
    assert folds
    assert all(len(test) >= 3 for _, test in folds)


def test_element__training_rows_lack_it(formulas):
    cv = LeaveClusterOut("element", min_test_size=20)
    folds = list(cv.split(formulas))
    assert cv.get_n_splits(formulas) == len(folds) > 5
    check_partition(folds, len(formulas))
    for train, test in folds:
        shared = set.intersection(*({str(e) for e in Composition(formulas[i])} for i in test))
        held_out = [s for s in shared if not any(s in Composition(formulas[i]) for i in train)]
        assert held_out


def test_prototype__formulas_by_their_pattern():
    folds = LeaveClusterOut("prototype").split(["NaCl", "TiO2", "MgO", "SiO2", "Al2O3"])
    assert [test.tolist() for _, test in folds] == [[4], [0, 2], [1, 3]]


def test_prototype__structures_by_their_space_group_too():
    lattice = Lattice.cubic(4.2)
    rock_salt = Structure.from_spacegroup("Fm-3m", lattice, ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
    oxide = rock_salt.copy()
    oxide.replace_species({"Mg": "Ca"})
    cesium = Structure(lattice, ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    folds = LeaveClusterOut("prototype").split([rock_salt, cesium, oxide])
    assert sorted(test.tolist() for _, test in folds) == [[0, 2], [1]]


@pytest.mark.parametrize("by", ["chemical_system", "prototype", "kmeans"])
def test_structures_of_every_kind__make_the_same_folds(by, tmp_path):
    structures = make_structures(12)[0]
    files = [tmp_path / f"{row}.cif" for row in range(12)]
    for structure, file in zip(structures, files, strict=True):
        structure.to(filename=str(file))
    cv = LeaveClusterOut(by, n_splits=3, random_state=0)
    folds = [test.tolist() for _, test in cv.split(structures)]
    kinds = [
        files,
        pd.Series([str(file) for file in files]),
        [file.read_text() for file in files],
        [structure.as_dict() for structure in structures],
        [structure.to_ase_atoms() for structure in structures],
    ]
    for X in kinds:
        assert [test.tolist() for _, test in cv.split(X)] == folds
    molecules = [*kinds[-1][:2], molecule("H2O"), molecule("SH2")]
    folds = LeaveClusterOut("prototype").split(molecules)
    assert sorted(test.tolist() for _, test in folds) == [[0], [1], [2, 3]]


def test_kmeans__columns_and_formulas(formulas):
    X = np.r_[np.zeros((5, 2)), np.ones((4, 2)), [[9, 9]]]
    folds = list(LeaveClusterOut("kmeans", n_splits=3, random_state=0).split(X))
    assert sorted(test.tolist() for _, test in folds) == [[0, 1, 2, 3, 4], [5, 6, 7, 8], [9]]
    folds = list(LeaveClusterOut("kmeans", n_splits=4, random_state=0).split(formulas[:40]))
    check_partition(folds, 40)
    assert len(folds) == 4


def test_repeats__differ_and_seeds_repeat(formulas):
    cv = LeaveClusterOut("prototype", n_splits=3, n_repeats=2, random_state=0)
    first, again = ([t.tolist() for _, t in cv.split(formulas)] for _ in range(2))
    assert first == again
    assert cv.get_n_splits() == len(first) == 6
    assert first[:3] != first[3:]


def test_columns_with_materials_beside_them__work_in_scikit_learn(formulas):
    X = np.arange(len(formulas), dtype=float)[:, None]
    cv = LeaveClusterOut("chemical_system", n_splits=4, materials=formulas)
    assert len(cross_val_score(LinearRegression(), X, X[:, 0], cv=cv)) == 4
    frame = pd.DataFrame({"composition": formulas})
    assert len(list(LeaveClusterOut(n_splits=4).split(frame))) == 4


@pytest.mark.parametrize(
    ("settings", "X", "message"),
    [
        ({"by": "colour"}, None, "by='colour' is none of 'chemical_system'"),
        ({"by": "element", "n_splits": 3}, None, "one fold per element"),
        ({"n_splits": 3, "min_test_size": 2}, None, "leave n_splits=None"),
        ({"n_repeats": 2}, None, "the same folds 2 times"),
        ({}, None, "pass X"),
        ({}, np.zeros((3, 2)), "Pass the formulas or structures of the rows as materials"),
        ({}, ["NaCl", "not a formula"], "Row 1 is no material: 'not a formula'"),
        ({}, ["NaCl", "NaCl"], "makes no family of at least 1 rows that leaves others"),
        ({"materials": ["NaCl"]}, ["a", "b"], "1 materials for 2 rows"),
        ({"by": "kmeans"}, np.zeros((3, 2)), "1 different rows make no 10 clusters"),
    ],
)
def test_mistakes__are_explained(settings, X, message):
    with pytest.raises(ValueError, match=message):
        LeaveClusterOut(**settings).get_n_splits(X)


def test_one_column_of_numbers_is_a_table():
    folds = list(LeaveClusterOut("kmeans", n_splits=2).split(np.arange(10.0)[:, None]))
    assert sorted(len(test) for _, test in folds) == [5, 5]
    with pytest.raises(ValueError, match="2 different rows make no 5 clusters"):
        list(LeaveClusterOut("kmeans", n_splits=5).split(["NaCl"] * 6 + ["KCl"] * 6))

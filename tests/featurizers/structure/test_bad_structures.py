"""What is wrong with a structure is said, with its row; on_error="nan" carries on without it."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal as ase_crystal
from pymatgen.core import DummySpecies, Lattice, Molecule, Structure

from trisk.featurizers import CrystalGraphFeaturizer, FeaturizationError

GOOD = Structure(Lattice.cubic(4.11), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CUBE = Lattice.cubic(4.0)


def not_finite(where):
    atoms = bulk("Cu", cubic=True)
    if where == "cell":
        atoms.cell[0, 0] = math.inf
    else:
        atoms.positions[2, 1] = math.nan
    return atoms


def without(key):
    content = GOOD.as_dict()
    del content[key]
    return content


def damaged_dict():
    content = GOOD.as_dict()
    content["sites"][0]["abc"] = "nonsense"
    return content


def unknown_element():
    atoms = bulk("Cu")
    atoms.numbers[0] = 0
    return atoms


BAD = {
    "coincident atoms": (
        Structure(CUBE, ["Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]),
        "atoms 1 and 2 are 0 Å apart",
    ),
    "overlapping across the border": (
        Structure(CUBE, ["Na", "Cl"], [[0.01, 0, 0], [0.96, 0, 0]]),
        "atoms 0 and 1 are 0.2 Å apart",
    ),
    "image too close": (
        Structure(Lattice.orthorhombic(0.4, 9, 9), ["Na"], [[0, 0, 0]]),
        "atom 0 and its own image are 0.4 Å apart",
    ),
    "coincident atoms of a molecule": (
        Molecule(["O", "H"], [[0, 0, 0], [0, 0, 1e-3]]), "atoms 0 and 1 are 0.001 Å apart",
    ),
    "Atoms with a flat cell": (Atoms("H", cell=[3, 3, 0], pbc=True), "span no volume"),
    "no volume": (
        Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["Na"], [[0, 0, 0]]),
        "span no volume",
    ),
    "lengths not in Å": (
        Structure(Lattice.cubic(0.41), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "0.0345 Å³ per atom",
    ),
    "partial occupancy": (
        Structure(CUBE, [{"Na": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "site 0 is shared or partly occupied",
    ),
    "shared site": (
        Structure(CUBE, ["Cl", {"Na": 0.5, "K": 0.5}], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "site 1 is shared or partly occupied",
    ),
    "shared site of Atoms": (
        ase_crystal(["Na"], [(0, 0, 0)], spacegroup=225, cellpar=[5, 5, 5, 90, 90, 90],
                    occupancies=[0.5]),
        "partly occupied",
    ),
    "dummy species": (
        Structure(CUBE, [DummySpecies("X"), "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "site 0 is 'X', which is not an element",
    ),
    "atomic number 0": (unknown_element(), "atom 0 has the atomic number 0"),
    "coordinates not finite": (not_finite("positions"), "coordinates of atom 2 are not finite"),
    "lattice not finite": (not_finite("cell"), "lattice is not finite"),
    "lone atom": (
        Structure(Lattice.cubic(9.0), ["Na"], [[0, 0, 0]]),
        "atom 0 has no neighbour within 8 Å; use a larger cutoff",
    ),
    "no atoms": (Atoms(cell=[3, 3, 3], pbc=True), "it has no atoms"),
    "no file": ("nowhere/quartz.cif", "there is no such file"),
    "formula": ("NaCl", "there is no such file; a string is the path"),
    "text": ("data_x\nloop_\nnonsense", "cannot be read"),
    "dict without sites": (without("sites"), 'has no "lattice" and "sites"'),
    "damaged dict": (damaged_dict(), "it cannot be read (ValueError"),
    "missing": (None, "the value is missing"),
    "NaN": (math.nan, "the value is missing"),
    "number": (3, "it is of type int"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_structure__raises_with_its_row_and_cause(name):
    value, cause = BAD[name]
    with pytest.raises(FeaturizationError) as caught:
        CrystalGraphFeaturizer(composition=None).fit_transform([GOOD, value, GOOD])
    assert [error.row for error in caught.value.errors] == [1]
    assert cause in str(caught.value)
    assert "row 1" in str(caught.value)
    assert 'on_error="nan"' in str(caught.value)


def test_unreadable_files__raise_with_the_path(tmp_path):
    for name, content in (("empty.cif", b""), ("binary.cif", bytes(range(256))), ("x.xyzw", b"1")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FeaturizationError, match=rf"row 0: .*{name}.*cannot be read"):
            CrystalGraphFeaturizer().fit_transform([path])


def test_on_error_nan__bad_rows_are_empty_and_reported():
    values = [value for pair in BAD.values() for value in (GOOD, pair[0])]
    featurizer = CrystalGraphFeaturizer(on_error="nan").fit(values)
    with pytest.warns(UserWarning, match=f"{len(BAD)} of {len(values)} rows are graphs"):
        graphs = featurizer.transform(values)
    errors = featurizer.explain_errors(values)
    assert errors["row"].tolist() == list(range(1, len(values), 2))
    assert errors["formula"][0] == "Na1 Cl2"
    assert len(graphs) == len(values)
    empty = graphs.counts("atom") == 0
    np.testing.assert_array_equal(np.flatnonzero(empty), errors["row"])
    assert np.isnan(graphs.lattices[empty]).all()
    assert np.isnan(graphs.context[empty]).all()
    assert np.isfinite(graphs.context[~empty]).all()
    alone = CrystalGraphFeaturizer().fit_transform([GOOD])
    for row in np.flatnonzero(~empty):
        np.testing.assert_array_equal(graphs[row].bond_lengths, alone.bond_lengths)


def test_errors_of_both_kinds__stand_in_order_of_the_rows():
    values = [BAD["lone atom"][0], None, GOOD, BAD["coincident atoms"][0]]
    with pytest.raises(FeaturizationError) as caught:
        CrystalGraphFeaturizer().fit_transform(values)
    assert [error.row for error in caught.value.errors] == [0, 1, 3]


@pytest.mark.parametrize("X", [GOOD, GOOD.as_dict(), "quartz.cif", bulk("Cu")])
def test_single_structure__says_to_put_it_into_a_list(X):
    with pytest.raises(ValueError, match=r"collection of structures.*put it into a list"):
        CrystalGraphFeaturizer().fit(X)


def test_transform_of_frame_with_other_column__is_refused():
    import pandas as pd

    featurizer = CrystalGraphFeaturizer().fit(pd.DataFrame({"structure": [GOOD]}))
    with pytest.raises(ValueError, match="feature names"):
        featurizer.transform(pd.DataFrame({"other": [GOOD]}))

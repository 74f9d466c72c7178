"""Calculated properties joined by reduced formula."""

import numpy as np
import pytest

from tools.train_composition_encoder import held_out_rows, read_formula_targets, reduced_formulas


@pytest.fixture
def tables(tmp_path):
    """A table of formation energies and one of band gaps, with polymorphs."""
    energies = tmp_path / "energies.csv"
    energies.write_text(
        "formula,e_form_per_atom_eV\nTi4O8,-3.4\nTi1O2,-3.3\nNaN,1.0\nFe2,0.0\nK1Cl1,-2.2\n"
    )
    gaps = tmp_path / "gaps.csv"
    gaps.write_text("formula,gap_pbe_eV\nTi1O2,1.8\nTi4O8,2.1\nTi4O8,2.3\nO4Ti2,2.9\nFe2,0.0\n")
    return energies, gaps


def test_equal_ratios_are_one_formula():
    keys = reduced_formulas(["Fe4O6", "O3Fe2", "Fe0.4O0.6", "Fe2O3", {"Fe": 2, "O": 3}])
    assert set(keys) == {"O3Fe2"}
    assert reduced_formulas(["Ca(OH)2", "Ag0.5GePb1.75S4"]).tolist() == ["H2O2Ca1", "S16Ge4Ag2Pb7"]


def test_amounts_without_a_ratio_keep_their_fractions():
    assert reduced_formulas(["Fe1C0.00000001234567"]).tolist() == ["C0Fe1"]


def test_unreadable_formula_names_its_row():
    with pytest.raises(ValueError, match=r"row 1: 'Xx2'"):
        reduced_formulas(["Fe", "Xx2"])


def test_the_most_stable_polymorph_gives_energy_and_gap(tables):
    data = read_formula_targets(*tables)
    assert data.table.formulas.tolist() == ["Cl1K1", "Fe1", "N1Na1", "O2Ti1"]
    # Ti4O8 is lowest; its two gaps count by their median. No gap is known of KCl and NaN.
    np.testing.assert_allclose(
        data.values,
        [
            [-2.2, np.nan, np.nan, np.nan],
            [0.0, 0.0, 0.0, 1.0],
            [1.0, np.nan, np.nan, np.nan],
            [-3.4, 2.2, 2.9, 0.0],
        ],
    )


def test_rows_held_out_are_always_the_same():
    rows = held_out_rows(1000)
    assert len(set(rows.tolist())) == 30
    assert rows.tolist() == sorted(held_out_rows(1000).tolist())

"""Valence orbitals, band centre and filled atomic orbitals where something is unknown."""

import numpy as np
import pytest

from trisk import load_band_gaps
from trisk.featurizers import (
    AtomicOrbitalFeaturizer,
    BandCenterFeaturizer,
    FeaturizationError,
    ValenceOrbitalFeaturizer,
)
from trisk.featurizers.composition.formulas import parse_compositions
from trisk.featurizers.composition.orbitals import integer_formula, mean_levels

FULL_SHELLS = ["He", "Mg", "CaZn5", "Ca7.5Mg82.5Zn10", "BePd2"]
BEYOND_URANIUM = ["Np", "PuO2", "RfFe"]


def test_valence__missing_raise__names_row_element_and_property():
    with pytest.raises(FeaturizationError, match=r"row 1: 'NhO': Nh has no NsValence"):
        ValenceOrbitalFeaturizer(missing="raise").fit_transform(["Fe", "NhO"])


def test_band_center__missing_raise__names_row_and_property():
    with pytest.raises(FeaturizationError, match=r"row 0: 'UO2': U has no first_ionization_energy"):
        BandCenterFeaturizer(missing="raise").fit_transform(["UO2"])


def test_orbitals__full_shells__have_a_homo_and_no_lumo():
    values = AtomicOrbitalFeaturizer(missing="nan").fit_transform(FULL_SHELLS).to_numpy()
    assert np.isfinite(values[:, 0]).all()
    assert np.isnan(values[:, 1:]).all()


def test_orbitals__beyond_uranium__are_unknown():
    values = AtomicOrbitalFeaturizer(missing="nan").fit_transform([*BEYOND_URANIUM, "U"])
    assert values.isna().to_numpy().tolist() == [[True] * 3] * 3 + [[False] * 3]


def test_orbitals__missing_mean__gives_mean_levels_and_no_negative_gap():
    homo, lumo = mean_levels()
    X = AtomicOrbitalFeaturizer(missing="mean").fit_transform(FULL_SHELLS + BEYOND_URANIUM)
    assert np.isfinite(X).all(axis=None)
    assert (X["AtomicOrbitals gap_AO"] >= 0).all()
    assert X.iloc[-1, 0] == homo
    assert X.iloc[-1, 1] == lumo


@pytest.mark.parametrize(
    ("formula", "cause"),
    [("CaZn5", "so there is no LUMO"), ("PuO2", "no orbital energies are tabulated for Pu")],
)
def test_orbitals__missing_raise__says_what_is_unknown(formula, cause):
    with pytest.raises(FeaturizationError, match=rf"row 1: '{formula}': .*{cause}"):
        AtomicOrbitalFeaturizer(missing="raise").fit_transform(["Fe", formula])


def test_integer_formula__equals_pymatgens():
    from pymatgen.core import Composition, Element

    steels = [
        "Fe0.62C0.000953Mn0.000521Si0.00102Cr0.00011Ni0.192Mo0.0176",
        "Fe0.7005C0.0179Cr0.281",
    ]
    formulas = [*steels, "Fe0.3333Ni0.6667", "Li0.9Fe0.1PO4", *load_band_gaps()[0][::2]]
    table, _ = parse_compositions(formulas)
    counts = integer_formula(table)
    for row, formula in enumerate(formulas):
        own = slice(table.offsets[row], table.offsets[row + 1])
        reduced = Composition(Composition(formula).get_integer_formula_and_factor()[0])
        expected = np.array([reduced[Element.from_Z(z)] for z in table.elements[own]])
        assert np.array_equal(counts[own] * expected.sum(), expected * counts[own].sum())

"""Band centre and atomic orbitals against matminer."""

import numpy as np
import pytest
from matminer_oracle import all_formulas, matminer_values, numeric_labels, sample_formulas

from trisk.featurizers import (
    AtomicOrbitalFeaturizer,
    BandCenterFeaturizer,
    FeaturizationError,
)
from trisk.featurizers.composition.formulas import parse_compositions
from trisk.featurizers.composition.orbitals import integer_formula, mean_levels

FULL_SHELLS = ["He", "Mg", "CaZn5", "Ca7.5Mg82.5Zn10", "BePd2"]
BEYOND_URANIUM = ["Np", "PuO2", "OgFe"]


@pytest.fixture(scope="module")
def orbitals():
    from matminer.featurizers.composition import AtomicOrbitals

    return AtomicOrbitals()


@pytest.mark.parametrize("missing", ["mean", "nan"])
def test_band_center__equals_matminers(matbench_formulas, missing):
    from matminer.featurizers.composition import BandCenter

    peer = BandCenter(impute_nan=missing == "mean")
    formulas = [*all_formulas(matbench_formulas), "He", "UO2", "FrRa", "OgTs", "D2O"]
    X = BandCenterFeaturizer(missing=missing).fit_transform(formulas)
    assert X.columns.tolist() == [f"BandCenter {label}" for label in numeric_labels(peer)]
    np.testing.assert_allclose(X, matminer_values(peer, formulas), rtol=0, atol=1e-9)


def test_band_center__missing_raise__names_row_and_property():
    with pytest.raises(FeaturizationError, match=r"row 0: 'UO2': U has no first_ionization_energy"):
        BandCenterFeaturizer(missing="raise").fit_transform(["UO2"])


def test_orbitals__names__are_block_and_matminers_numeric_labels(orbitals):
    names = AtomicOrbitalFeaturizer().fit(["Fe"]).get_feature_names_out().tolist()
    assert names == [f"AtomicOrbitals {label}" for label in numeric_labels(orbitals)]


def test_orbitals__matbench_formulas__equal_matminers(matbench_formulas, orbitals):
    formulas = sample_formulas(matbench_formulas, 150)
    values = AtomicOrbitalFeaturizer(missing="nan").fit_transform(formulas).to_numpy()
    expected = matminer_values(orbitals, formulas)
    full = np.isnan(expected).any(axis=1)
    assert full.sum() < 5
    assert np.isnan(values[full, 1:]).all()
    np.testing.assert_allclose(values[~full], expected[~full], rtol=0, atol=1e-9)


def test_orbitals__edge_cases__equal_matminers(orbitals):
    formulas = ["H", "O", "D2O", "SrTiO3", "U", "Fe0.3333Ni0.6667", "FeC0.000001", "Fe5000Ni4999",
                "LiBeBCNOFNaMgAlSiPSClKCaScTiVCrMnFe"]  # fmt: skip
    values = AtomicOrbitalFeaturizer().fit_transform(formulas)
    np.testing.assert_allclose(values, matminer_values(orbitals, formulas), rtol=0, atol=1e-9)


def test_orbitals__full_shells__have_a_homo_and_no_lumo(orbitals):
    values = AtomicOrbitalFeaturizer(missing="nan").fit_transform(FULL_SHELLS).to_numpy()
    assert np.isnan(matminer_values(orbitals, FULL_SHELLS)).all()
    assert np.isfinite(values[:, 0]).all()
    assert np.isnan(values[:, 1:]).all()


def test_orbitals__beyond_uranium__are_unknown(orbitals):
    assert np.isnan(matminer_values(orbitals, BEYOND_URANIUM)).all()
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


def test_integer_formula__equals_pymatgens(matbench_formulas):
    from pymatgen.core import Composition, Element

    formulas = matbench_formulas("steels")[:100] + sample_formulas(matbench_formulas, 100)
    table, _ = parse_compositions(formulas)
    counts = integer_formula(table)
    for row, formula in enumerate(formulas):
        own = slice(table.offsets[row], table.offsets[row + 1])
        reduced = Composition(Composition(formula).get_integer_formula_and_factor()[0])
        expected = np.array([reduced[Element.from_Z(z)] for z in table.elements[own]])
        assert np.array_equal(counts[own] * expected.sum(), expected * counts[own].sum())

"""Magpie statistics against matminer."""

from functools import cache

import numpy as np
import pytest

from trisk.featurizers import FeaturizationError, MagpieFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS, read_element_table

EDGE_CASES = [
    "Fe", "FeO", "OFe", "NaCl", "Fe2O3", "HHe", "He", "XeF2", "RnF2", "Og2", "Bk2Og", "Fe0.5Ni0.5",
    "Fe0.3333333Ni0.3333334Cr0.3333333", "Fe1000000Ni1000001", "AtCl", "Cf2O3", "D2O", "U3O8",
]  # fmt: skip


@pytest.fixture(scope="module")
def matminer_magpie():
    from matminer.featurizers.composition import ElementProperty

    return {
        "mean": ElementProperty.from_preset("magpie"),
        "nan": ElementProperty.from_preset("magpie", impute_nan=False),
    }


@cache  # the tasks share formulas, and matminer takes a millisecond for each
def matminer_row(featurizer, formula):
    from pymatgen.core import Composition

    return featurizer.featurize(Composition(formula))


def matminer_values(featurizer, formulas):
    return np.array([matminer_row(featurizer, formula) for formula in formulas], dtype=float)


def test_element_symbols__agree_with_pymatgen():
    from pymatgen.core import Element

    assert [Element.from_Z(z).symbol for z in range(1, 119)] == list(ELEMENT_SYMBOLS)


def test_element_table__equals_matminers_own_files(matminer_magpie):
    names, values = read_element_table("magpie_elements.csv")
    source = matminer_magpie["nan"].data_source.all_elemental_props
    expected = [[source[name][symbol] for name in names] for symbol in ELEMENT_SYMBOLS]
    assert np.array_equal(values[1:], expected, equal_nan=True)
    assert np.isnan(values[0]).all()


def test_names__equal_matminers_in_order(matminer_magpie):
    featurizer = MagpieFeaturizer().fit(["Fe"])
    assert featurizer.n_features_out_ == 132
    assert featurizer.get_feature_names_out().tolist() == matminer_magpie["mean"].feature_labels()


@pytest.mark.parametrize("task", ["steels", "expt_gap", "expt_is_metal", "glass"])
def test_values__matbench_formulas__equal_matminers(matbench_formulas, matminer_magpie, task):
    formulas = matbench_formulas(task)
    values = MagpieFeaturizer().fit_transform(formulas).to_numpy()
    expected = matminer_values(matminer_magpie["mean"], formulas)
    assert values.shape == (len(formulas), 132)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("missing", ["mean", "nan"])
def test_values__elements_without_data__equal_matminers(matminer_magpie, missing):
    values = MagpieFeaturizer(missing=missing).fit_transform(EDGE_CASES).to_numpy()
    expected = matminer_values(matminer_magpie[missing], EDGE_CASES)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-6)
    assert np.isnan(values).any() == (missing == "nan")


def test_missing_raise__names_row_and_elements():
    featurizer = MagpieFeaturizer(missing="raise").fit(EDGE_CASES)
    with pytest.raises(FeaturizationError, match=r"row 1: 'HeNe': no Magpie data.*He, Ne"):
        featurizer.transform(["Fe", "HeNe", "NaCl"])
    featurizer.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 rows hold NaN"):
        X = featurizer.transform(["Fe", "HeNe", "NaCl"])
    assert X.isna().all(axis=1).tolist() == [False, True, False]
    assert featurizer.errors_["row"].tolist() == [1]


def test_values__row_alone_or_among_many__are_the_same():
    formulas = ["Fe2O3", "Si", "CaTiO3", "Li7La3Zr2O12", "NaCl"]
    together = MagpieFeaturizer().fit_transform(formulas).to_numpy()
    alone = [MagpieFeaturizer().fit_transform([f]).to_numpy()[0] for f in formulas]
    assert np.array_equal(together, alone)

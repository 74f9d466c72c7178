"""Valence orbitals against matminer."""

import numpy as np
import pytest
from matminer_oracle import all_formulas, matminer_values, numeric_labels

from trisk.featurizers import FeaturizationError, ValenceOrbitalFeaturizer

EDGE_CASES = ["H", "He", "D2O", "Lu2O3", "UO2", "Fe0.25Ni0.75", "NhO", "Og", "OgTs2Fe", "CnPd"]


@pytest.fixture(scope="module")
def peer():
    from matminer.featurizers.composition import ValenceOrbital

    return ValenceOrbital()


def test_names__are_block_and_matminers_label(peer):
    names = ValenceOrbitalFeaturizer().fit(["Fe"]).get_feature_names_out().tolist()
    assert names == [f"ValenceOrbital {label}" for label in numeric_labels(peer)]


def test_values__all_matbench_formulas__equal_matminers(matbench_formulas, peer):
    formulas = all_formulas(matbench_formulas)
    expected = matminer_values(peer, formulas)
    np.testing.assert_allclose(
        ValenceOrbitalFeaturizer().fit_transform(formulas), expected, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("missing", ["mean", "nan"])
def test_values__elements_without_data__equal_matminers(missing):
    from matminer.featurizers.composition import ValenceOrbital

    expected = matminer_values(ValenceOrbital(impute_nan=missing == "mean"), EDGE_CASES)
    values = ValenceOrbitalFeaturizer(missing=missing).fit_transform(EDGE_CASES)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


def test_missing_raise__names_row_element_and_property():
    with pytest.raises(FeaturizationError, match=r"row 1: 'NhO': Nh has no NsValence"):
        ValenceOrbitalFeaturizer(missing="raise").fit_transform(["Fe", "NhO"])

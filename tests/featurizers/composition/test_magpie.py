"""Magpie statistics; test_matminer.py compares them with matminer's."""

import numpy as np
import pytest

from trisk.featurizers import FeaturizationError, MagpieFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS


def test_element_symbols__agree_with_pymatgen():
    from pymatgen.core import Element

    assert [Element.from_Z(z).symbol for z in range(1, 119)] == list(ELEMENT_SYMBOLS)


def test_missing_raise__names_row_and_elements():
    featurizer = MagpieFeaturizer(missing="raise").fit(["Fe"])
    with pytest.raises(
        FeaturizationError, match=r"row 1: 'HeNe': He has no .*; Ne has no Electronegativity"
    ):
        featurizer.transform(["Fe", "HeNe", "NaCl"])
    featurizer.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 rows hold NaN"):
        X = featurizer.transform(["Fe", "HeNe", "NaCl"])
    assert X.isna().all(axis=1).tolist() == [False, True, False]
    assert featurizer.explain_errors(["Fe", "HeNe", "NaCl"])["row"].tolist() == [1]


def test_values__row_alone_or_among_many__are_the_same():
    formulas = ["Fe2O3", "Si", "CaTiO3", "Li7La3Zr2O12", "NaCl"]
    together = MagpieFeaturizer().fit_transform(formulas).to_numpy()
    alone = [MagpieFeaturizer().fit_transform([f]).to_numpy()[0] for f in formulas]
    assert np.array_equal(together, alone)

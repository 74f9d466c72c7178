"""Alloy descriptors where data lack or rounding tells; test_matminer.py compares the values."""

import numpy as np
import pytest

from trisk.featurizers import (
    FeaturizationError,
    MiedemaFeaturizer,
    WenFeaturizer,
    YangFeaturizer,
)

PAIRS = {
    "Miedema": MiedemaFeaturizer,
    "YangSolidSolution": YangFeaturizer,
    "WenAlloys": WenFeaturizer,
}


@pytest.mark.parametrize("name", PAIRS)
def test_missing_nan__no_made_up_value(name):
    formulas = ["Fe2O3", "NaCl"]
    missing = PAIRS[name](missing="nan").fit_transform(formulas)
    imputed = PAIRS[name](missing="mean").fit_transform(formulas)
    assert missing.isna().any(axis=1).all()
    known = missing.notna().to_numpy()
    assert np.array_equal(missing.to_numpy()[known], imputed.to_numpy()[known])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("Miedema", "O has no miedema_molar_volume"),
        ("YangSolidSolution", "no enthalpy of mixing is tabulated for Fe and O"),
        ("WenAlloys", "O has no miedema_electronegativity"),
    ],
)
def test_missing_raise__names_row_and_what_is_missing(name, cause):
    with pytest.raises(FeaturizationError, match=rf"row 1: 'Fe2O3': {cause}"):
        PAIRS[name](missing="raise").fit_transform(["Fe", "Fe2O3"])


def test_missing_raise__tabulated_alloy__is_no_error():
    for featurizer in PAIRS.values():
        assert np.isfinite(featurizer(missing="raise").fit_transform(["TiZr", "Fe"])).all(axis=None)


def test_yang__high_entropy_alloy__near_the_published_value():
    omega, delta = YangFeaturizer().fit_transform(["CoCrFeMnNi"]).iloc[0]
    assert omega == pytest.approx(5.8, abs=0.3)
    radii = np.array([125, 130, 125, 132, 126])
    assert delta == pytest.approx(radii.std() / radii.mean())


def test_wen__equal_radii__have_no_mismatch_rather_than_rounding_error():
    X = WenFeaturizer().fit_transform(["Cr3Rh7", "AlPt"])
    assert X["WenAlloys Yang delta"].iloc[0] > 0
    X = WenFeaturizer().fit_transform(["Fe3Co7", "Ni1Cu2"])  # 125 and 125 pm, 126 and 126 pm
    assert (X["WenAlloys Yang delta"] == 0).all()
    assert (X["WenAlloys Lambda entropy"] == 0).all()


def test_wen__hydrogen_and_nitrogen__have_no_mismatch_of_moduli():
    X = WenFeaturizer().fit_transform(["NH3"])
    assert (X.filter(like="Shear") == 0).all(axis=None)
    assert np.isfinite(X).all(axis=None)


def test_wen__total_weight__is_of_the_formula_as_written():
    X = WenFeaturizer().fit_transform(["Fe", "Fe2"])
    assert X["WenAlloys Total weight"].tolist() == pytest.approx([55.845, 111.69])
    assert X["WenAlloys Atomic weight mean"].tolist() == pytest.approx([55.845, 55.845])

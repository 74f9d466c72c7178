"""Miedema's, Yang's and Wen's alloy descriptors against matminer."""

import warnings

import numpy as np
import pytest
from matminer_oracle import all_formulas, matminer_values, numeric_labels, parse, sample_formulas

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
EDGE_CASES = [
    "Fe", "Mg", "H", "N", "TiZr", "ZrHfTiCuNi", "CoCrFeMnNi", "Fe0.5Ni0.5", "YbTm", "CuZn", "LiH",
    "TiN", "Fe0.99C0.01", "AlSiTiVCrMnFeCoNiCuZrNbMoHfTaW",
]  # fmt: skip
WITHOUT_DATA = ["O", "Fe2O3", "NaCl", "XeF2", "OgFe", "UPo2", "He"]


@pytest.fixture(scope="module")
def peers():
    import matminer.featurizers.composition as composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it fills pandas columns of objects
        return {
            (name, missing): getattr(composition, name)(impute_nan=missing == "mean")
            for name in PAIRS
            for missing in ("mean", "nan")
        }


@pytest.mark.parametrize("name", PAIRS)
def test_names__are_block_and_matminers_numeric_labels(name, peers):
    names = PAIRS[name]().fit(["Fe"]).get_feature_names_out().tolist()
    assert names == [f"{name} {label}" for label in numeric_labels(peers[name, "mean"])]


@pytest.mark.parametrize("name", PAIRS)
def test_values__matbench_formulas__equal_matminers(name, matbench_formulas, peers):
    # matminer manages some twenty rows a second of two of them
    formulas = (
        all_formulas(matbench_formulas)
        if name == "YangSolidSolution"
        else sample_formulas(matbench_formulas, 30)
    )
    expected = matminer_values(peers[name, "mean"], formulas)
    np.testing.assert_allclose(
        PAIRS[name]().fit_transform(formulas), expected, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("missing", ["mean", "nan"])
@pytest.mark.parametrize("name", PAIRS)
def test_values__alloys__equal_matminers(name, missing, peers):
    # without imputation matminer's WenAlloys raises for H, which has no radius
    formulas = [formula for formula in EDGE_CASES if missing == "mean" or "H" not in parse(formula)]
    expected = matminer_values(peers[name, missing], formulas)
    values = PAIRS[name](missing=missing).fit_transform(formulas)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


def test_missing_nan__untabulated_pair__is_not_taken_for_no_enthalpy(peers):
    # matminer's max(1e-6, nan) is 1e-6, which makes an omega of millions
    assert matminer_values(peers["YangSolidSolution", "nan"], ["PuTh"])[0, 0] > 1e6
    assert np.isnan(YangFeaturizer(missing="nan").fit_transform(["PuTh"]).iloc[0, 0])
    assert np.isnan(WenFeaturizer(missing="nan").fit_transform(["PuTh"])["WenAlloys Yang omega"][0])


@pytest.mark.parametrize("name", PAIRS)
def test_values__elements_without_data__equal_matminers_means(name, peers):
    expected = matminer_values(peers[name, "mean"], WITHOUT_DATA)
    values = PAIRS[name](missing="mean").fit_transform(WITHOUT_DATA)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


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

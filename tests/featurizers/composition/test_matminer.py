"""Every block that matminer has, against matminer: names, and values formula by formula.

The formulas that ship with trisk are compared everywhere, those of Matbench where they lie.
"""

import random
import warnings
from functools import cache

import numpy as np
import pytest

from trisk import featurizers, load_band_gaps

#: Prefix of the columns → featurizer, and matminer's class.
BLOCKS = {
    "MagpieData": ("MagpieFeaturizer", "ElementProperty"),
    "ElementFraction": ("ElementFractionFeaturizer", "ElementFraction"),
    "Stoichiometry": ("StoichiometryFeaturizer", "Stoichiometry"),
    "TMetalFraction": ("TransitionMetalFractionFeaturizer", "TMetalFraction"),
    "ValenceOrbital": ("ValenceOrbitalFeaturizer", "ValenceOrbital"),
    "BandCenter": ("BandCenterFeaturizer", "BandCenter"),
    "AtomicOrbitals": ("AtomicOrbitalFeaturizer", "AtomicOrbitals"),
    "IonProperty": ("IonPropertyFeaturizer", "IonProperty"),
    "Miedema": ("MiedemaFeaturizer", "Miedema"),
    "YangSolidSolution": ("YangFeaturizer", "YangSolidSolution"),
    "WenAlloys": ("WenFeaturizer", "WenAlloys"),
}
TASKS = ("steels", "expt_gap", "expt_is_metal", "glass")
#: Formulas per task, where matminer is too slow for more: down to twenty a second.
N_PER_TASK = {"AtomicOrbitals": 150, "IonProperty": 300, "Miedema": 15, "WenAlloys": 15}
TEXT_LABELS = {
    *("HOMO_character", "HOMO_element", "LUMO_character", "LUMO_element"),
    *("Weight Fraction", "Atomic Fraction"),
}
ALLOYS = [
    "Fe", "Mg", "H", "N", "TiZr", "ZrHfTiCuNi", "CoCrFeMnNi", "Fe0.5Ni0.5", "YbTm", "CuZn", "LiH",
    "TiN", "Fe0.99C0.01", "AlSiTiVCrMnFeCoNiCuZrNbMoHfTaW",
]  # fmt: skip
WITHOUT_ALLOY_DATA = ["O", "Fe2O3", "NaCl", "XeF2", "UPo2", "He"]
EDGE_CASES = {
    "MagpieData": [
        "Fe", "FeO", "OFe", "NaCl", "HHe", "He", "XeF2", "RnF2", "Fe0.5Ni0.5", "AtCl", "Cf2O3",
        "Fe0.3333333Ni0.3333334Cr0.3333333", "Fe1000000Ni1000001", "U3O8", "CnPd",
    ],
    "ElementFraction": [
        "Fe", "OFe", "He", "Og2Ts", "Fe0.3333333Ni0.6666667", "Fe1000000C1", "ZrHfYTi",
        "LiBeBCNOFNaMgAlSiPSClKCaScTiVCrMnFe",
    ],
    "ValenceOrbital": ["H", "He", "Lu2O3", "UO2", "Fe0.25Ni0.75", "CnPd"],
    "BandCenter": ["He", "UO2", "FrRa", "RfO2", "CnO"],
    "AtomicOrbitals": [
        "H", "O", "SrTiO3", "U", "Fe0.3333Ni0.6667", "FeC0.000001", "Fe5000Ni4999",
        "LiBeBCNOFNaMgAlSiPSClKCaScTiVCrMnFe",
    ],
    "IonProperty": [
        "Fe", "He", "HeNa", "RfO2", "RnF2", "Fe3O4", "FeO", "FeN", "Fe2N2", "H2O", "NH4NO3", "C60",
        "KrF2", "CO", "CH4",
    ],
    "Miedema": ALLOYS + WITHOUT_ALLOY_DATA,
    "YangSolidSolution": ALLOYS + WITHOUT_ALLOY_DATA,
    "WenAlloys": ALLOYS + WITHOUT_ALLOY_DATA,
}  # fmt: skip
EDGE_CASES |= dict.fromkeys(["Stoichiometry", "TMetalFraction"], EDGE_CASES["ElementFraction"])
#: What matminer gives NaN as we do, not a value made up from a missing one, or raises.
WITHOUT_IMPUTATION = {
    "MagpieData": [*EDGE_CASES["MagpieData"], "Og2", "Bk2Og"],
    "ValenceOrbital": [*EDGE_CASES["ValenceOrbital"], "NhO", "Og", "OgTs2Fe"],
    "BandCenter": [*EDGE_CASES["BandCenter"], "OgTs"],
    "Miedema": ALLOYS,
    "YangSolidSolution": ALLOYS,
    "WenAlloys": [formula for formula in ALLOYS if formula not in ("H", "LiH")],
}


@cache
def peer(block, missing="mean"):
    from matminer.featurizers import composition

    made = getattr(composition, BLOCKS[block][1])
    made = made.from_preset if block == "MagpieData" else made
    arguments = ["magpie"] if block == "MagpieData" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it fills pandas columns of objects
        imputes = block in {*WITHOUT_IMPUTATION, "IonProperty"}
        return made(*arguments, **({"impute_nan": missing == "mean"} if imputes else {}))


@cache
def peer_row(block, formula, missing="mean"):
    """matminer's numeric columns; NaN where it raises."""
    from pymatgen.core import Composition

    featurizer = peer(block, missing)
    composition = Composition(formula) if isinstance(formula, str) else formula
    labels = featurizer.feature_labels()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides by zero and misses data noisily
        try:
            values = featurizer.featurize(composition)
        except (ValueError, TypeError, AttributeError, KeyError):
            values = [np.nan] * len(labels)
    return [v for label, v in zip(labels, values, strict=True) if label not in TEXT_LABELS]


def ours(block, **parameters):
    return getattr(featurizers, BLOCKS[block][0])(**parameters)


@cache
def has_same_states(formula):
    """Whether matminer takes the oxidation states that trisk does: pymatgen 2025 holds others."""
    from pymatgen.core import Composition, Element

    others = {} if Element("Xe").common_oxidation_states else {"C", "Br", "Kr", "Xe", "Re", "Rf"}
    return not any(element.symbol in others for element in Composition(formula))


def assert_equal(block, formulas, missing="mean"):
    if block == "IonProperty":
        formulas = [formula for formula in formulas if has_same_states(formula)]
    expected = np.array([peer_row(block, f, missing) for f in formulas], dtype=float)
    if block == "AtomicOrbitals":  # matminer raises where a level is unknown
        known = np.isfinite(expected).all(axis=1)
        assert known.mean() > 0.9
        formulas, expected = np.array(formulas)[known], expected[known]
    values = ours(block, missing=missing).fit_transform(formulas).to_numpy()
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


def decidable(formulas):
    """Formulas whose charge balance matminer decides in a bearable time."""
    from pymatgen.core import Composition

    read = [(formula, Composition(formula)) for formula in formulas]
    return [
        formula
        for formula, composition in read
        if composition.num_atoms <= 24 and all(n == int(n) for n in composition.values())
    ]


@pytest.mark.parametrize("block", BLOCKS)
def test_names__are_block_and_matminers_labels(block):
    labels = [label for label in peer(block).feature_labels() if label not in TEXT_LABELS]
    prefix = "" if block == "MagpieData" else f"{block} "
    names = ours(block).fit(["Fe"]).get_feature_names_out().tolist()
    assert names == [f"{prefix}{label}" for label in labels]


@pytest.mark.parametrize("block", BLOCKS)
def test_values__formulas_that_ship__equal_matminers(block):
    formulas = load_band_gaps()[0].tolist()
    formulas = decidable(formulas) if block == "IonProperty" else formulas
    assert len(formulas) > 350
    assert_equal(block, formulas[:: 8 if block in ("Miedema", "WenAlloys") else 1])


@pytest.mark.parametrize("block", BLOCKS)
def test_values__some_matbench_formulas__equal_matminers(block, matbench_formulas):
    rng, n = random.Random(0), N_PER_TASK.get(block, 300)
    formulas = sorted({f for task in TASKS for f in rng.sample(matbench_formulas(task), n)})
    formulas = decidable(formulas) if block == "IonProperty" else formulas
    assert_equal(block, formulas)


@pytest.mark.slow
@pytest.mark.parametrize("block", sorted(set(BLOCKS) - set(N_PER_TASK)))
def test_values__all_matbench_formulas__equal_matminers(block, matbench_formulas):
    assert_equal(block, sorted({f for task in TASKS for f in matbench_formulas(task)}))


@pytest.mark.parametrize("block", BLOCKS)
def test_values__edge_cases__equal_matminers(block):
    assert_equal(block, EDGE_CASES[block])


@pytest.mark.parametrize("block", WITHOUT_IMPUTATION)
def test_values__missing_nan__equal_matminers_without_imputation(block):
    assert_equal(block, WITHOUT_IMPUTATION[block], missing="nan")


def test_values__pairs_without_enthalpy__are_not_taken_for_no_enthalpy():
    # matminer's max(1e-6, nan) is 1e-6, which makes an omega of millions
    assert peer_row("YangSolidSolution", "PuTh", "nan")[0] > 1e6
    for block in ("YangSolidSolution", "WenAlloys"):
        X = ours(block, missing="nan").fit_transform(["PuTh"])
        assert np.isnan(X[f"{block} Yang omega"][0])


def test_values__charged_input__equals_matminers():
    from pymatgen.core import Composition

    charged = [
        Composition({"Na+": 1, "Cl-": 1}),
        Composition({"Fe3+": 2, "O2-": 3}),
        Composition({"Fe2+": 2, "O2-": 3}),
        Composition({"Fe2.5+": 4, "O2-": 5}),
        Composition({"Pd4+": 3, "N3-": 4}),
        Composition({"Na+": 1, "O-": 1}),
        Composition({"Fe0+": 1, "Al0+": 1}),
        Composition({"He0+": 1, "Na0+": 1}),
    ]
    expected = np.array([peer_row("IonProperty", composition) for composition in charged])
    assert expected[:, 0].tolist() == [1, 1, 0, 1, 1, 1, 1, 1]
    for missing in ("mean", "raise"):
        rows = slice(None) if missing == "mean" else slice(-1)  # He has no electronegativity
        X = ours("IonProperty", missing=missing).fit_transform(charged[rows])
        np.testing.assert_allclose(X, expected[rows], rtol=0, atol=1e-9)
    as_dicts = [{str(k): n for k, n in composition.items()} for composition in charged]
    X = ours("IonProperty").fit_transform(as_dicts)
    np.testing.assert_allclose(X, expected, rtol=0, atol=1e-9)
    # Two states of one element: the sum counts, and fractions are those of the elements.
    mixed = Composition({"Fe2+": 1, "Fe3+": 2, "O2-": 4})
    X = ours("IonProperty").fit_transform([mixed, "Fe3O4", Composition({"Fe2+": 3, "O2-": 4})])
    assert X["IonProperty compound possible"].tolist() == [1, 1, 0]
    assert X["IonProperty avg ionic char"].nunique() == 1

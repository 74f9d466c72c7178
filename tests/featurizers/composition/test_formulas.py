"""Reading compositions: equal to pymatgen's, from any kind of input, with errors that explain."""

import time

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Element

from trisk import load_band_gaps
from trisk.featurizers import formulas_from_amounts
from trisk.featurizers.composition.formulas import (
    FormulaError,
    parse_compositions,
    parse_formula,
    parse_plain_formulas,
)

READABLE = """
Fe2O3 Fe2.O Fe.5O Fe1e-3O Fe1e3 Ca(OH)2 Ca[(OH)2]3 Y3N@C80 Fe0O2 Fe1e-9O (Fe) CO Co NaN
((Fe2)3O)2 (Fe0.5Ni0.5)3Al Li2(CO3)0.0000001 Fe{O}2 Fe2O3Fe2 (FeO)(FeO) Fe12(Fe1)2 Cn2 Og HOsO
CH3NH3PbI3 K0.5H2O Fe0.333333333333333333O Fe12345678901234567890 (Fe2(OH)3)0.25 HfO2
""".split()  # noqa: SIM905
WITH_SPACES = ["Li1 Fe1 P1 O4", " Fe", "Fe 2 O", "(Fe) 2", "Fe\n", "Fe \t O"]

UNREADABLE = [
    ("Fo2O3", "unknown element 'Fo'.*'Po'"),
    ("FE2O3", "unknown element 'E'.*'Fe'"),
    ("fe2o3", "unknown element 'fe'.*'Fe'.*capital letter"),
    ("Femur", "unknown element 'Femur'"),
    ("X2", "unknown element 'X'"),
    ("Fe1E3", "unknown element 'E'"),
    ("", "empty"),
    ("  ", "empty"),
    ("()", "empty pair of brackets"),
    ("Fe()2", "empty pair of brackets"),
    ("Fe(O", "never closed"),
    ("Fe)O", "never opened"),
    ("Fe0", "every amount is zero"),
    ("Fe1e999O", "not finite"),
    ("FeO-1", "charges and negative amounts"),
    ("Fe2+", "charges and negative amounts"),
    ("Fe^3+", "charges and negative amounts"),
    ("D2O", r"deuterium \(D\) has no data of its own; write H"),
    ("HDO", "deuterium"),
    ("LiT", r"tritium \(T\)"),
    ("CuSO4·", "parts between its dots is empty"),
    ("·5H2O", "parts between its dots is empty"),
    ("Fe0.98O1.5H2O", "may be a decimal point or separate the water of a hydrate"),
    ("Fe0.98O3.2SiO2.2H2O", "may be a decimal point"),
    ("CuSO4·5HxO", "unknown element 'Hx'"),
    ('{"lattice": {"a": 3.0}}' * 20, "does not belong in a formula"),
    ("~unknown/NaCl.cif", "there is no such file"),
    ("data/" * 80, "unknown element 'data'"),
    ("Fe₂O₃", "subscript.*plain digits"),
    ("2Fe", "the number '2' does not follow"),
    (".5Fe", "the number '.5' does not follow"),
    ("Fe1.2.3", "the number '.3' does not follow"),
    ("Fe2,O3", "',' at character 4 does not belong"),
    ("Fe\x00", "does not belong"),
    ("Fe🧪", "'🧪' at character 3 does not belong"),
    ("H" * 20_000, "20000 characters; the limit is 10000"),
    ("(" * 50 + "Fe" + ")" * 50, "nested deeper than 32"),
    (None, "missing"),
    (float("nan"), "missing"),
    (np.float32("nan"), "missing"),
    (pd.NA, "missing"),
    (pd.NaT, "missing"),
    (3.5, "of type float; expected a formula string"),
    (True, "of type bool"),
    (b"Fe", "of type bytes"),
    ([1, 2], "of type list"),
    (np.array([1, 2]), "of type ndarray"),
    ({}, "every amount is zero"),
    ({"Fe": -1}, "amount of Fe is -1; amounts cannot be negative"),
    ({"Fe": float("nan")}, "not finite"),
    ({"Fe": "much"}, "'much' is not a number"),
    ({"Zz": 1}, "unknown element 'Zz'"),
    ({0: 1}, "'0' is not an element"),
    ({119: 1}, "'119' is not an element"),
    ({("Fe",): 1}, "is not an element"),
    ({"D": 2, "O": 1}, "deuterium"),
    ({"T+": 1}, "tritium"),
]


def entries(table, row):
    owned = slice(*table.offsets[row : row + 2])
    return list(zip(table.elements[owned].tolist(), table.amounts[owned].tolist(), strict=True))


def assert_equals_pymatgen(formulas):
    from pymatgen.core import Composition

    table, errors = parse_compositions(formulas)
    assert errors == []
    for row, formula in enumerate(formulas):
        expected = Composition(formula).element_composition
        assert entries(table, row) == [(e.Z, a) for e, a in expected.items()], formula


@pytest.mark.parametrize(
    ("task", "n_rows"),
    [("steels", 312), ("expt_gap", 4604), ("expt_is_metal", 4921), ("glass", 5680)],
)
def test_parse__matbench_formulas__equals_pymatgen_exactly(matbench_formulas, task, n_rows):
    formulas = matbench_formulas(task)
    assert len(formulas) == n_rows
    assert_equals_pymatgen(formulas)


def test_parse__formulas_that_ship__equals_pymatgen_exactly():
    assert_equals_pymatgen(load_band_gaps()[0].tolist())


def test_parse__materials_project_formulas__equals_pymatgen_exactly(shared_data):
    formulas = pd.read_csv(shared_data / "mp_formulas_e_form.csv.gz")["formula"]
    assert len(formulas) == 132_752
    assert_equals_pymatgen(formulas.drop_duplicates().tolist()[::10])


def test_parse__materials_project_formulas__all_are_plain_and_fast(shared_data):
    formulas = pd.read_csv(shared_data / "mp_formulas_e_form.csv.gz")["formula"].tolist()
    start = time.perf_counter()
    *_, plain = parse_plain_formulas(formulas)
    assert plain.all()
    assert time.perf_counter() - start < 2  # 0.1 s on a quiet core


@pytest.mark.parametrize("formula", READABLE + WITH_SPACES)
def test_parse__brackets_decimals_spaces__equals_pymatgen_exactly(formula):
    assert_equals_pymatgen([formula])


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        ("CuSO4.5H2O", {29: 1, 16: 1, 8: 9, 1: 10}),
        ("CuSO4·5H2O", {29: 1, 16: 1, 8: 9, 1: 10}),
        ("CuSO4 • 5 H2O", {29: 1, 16: 1, 8: 9, 1: 10}),
        ("CuSO4*5(H2O)", {29: 1, 16: 1, 8: 9, 1: 10}),
        ("NaCl.2H2O", {11: 1, 17: 1, 1: 4, 8: 2}),
        ("MgSO4.H2O", {12: 1, 16: 1, 8: 5, 1: 2}),
        ("(NH4)2SO4.6 H2O", {7: 2, 1: 20, 16: 1, 8: 10}),
        ("CaSO4·0.5H2O", {20: 1, 16: 1, 8: 4.5, 1: 1}),
        ("CaSO4.0.5H2O", {20: 1, 16: 1, 8: 4.5, 1: 1}),
        ("Na0.5CoO2·1.5H2O", {11: 0.5, 27: 1, 8: 3.5, 1: 3}),
        ("3CdSO4·8H2O", {48: 3, 16: 3, 8: 20, 1: 16}),
        ("Al2O3·2SiO2·2H2O", {13: 2, 8: 9, 14: 2, 1: 4}),
        ("Na0.5Cl0.5(H2O)", {11: 0.5, 17: 0.5, 1: 2, 8: 1}),
        ("Fe0.5H2O", {26: 0.5, 1: 2, 8: 1}),
        ("Al2O3.2SiO2.2H2O", {13: 2, 8: 9, 14: 2, 1: 4}),
        ("CaO.2SiO2", {20: 1, 8: 5, 14: 2}),
        ("BaO.6Fe2O3", {56: 1, 8: 19, 26: 12}),
        ("MgO.Al2O3", {12: 1, 8: 4, 13: 2}),
        ("CaCl2.8NH3", {20: 1, 17: 2, 7: 8, 1: 24}),
        ("YBa2Cu3O6.5", {39: 1, 56: 2, 29: 3, 8: 6.5}),
        ("SmFeAsO0.8F0.2", {62: 1, 26: 1, 33: 1, 8: 0.8, 9: 0.2}),
        ("LaO.9F.1FeAs", {57: 1, 8: 0.9, 9: 0.1, 26: 1, 33: 1}),
        ("Sr2CrO3.5Os", {38: 2, 24: 1, 8: 3.5, 76: 1}),
    ],
)
def test_parse__adducts__are_not_read_as_decimals(formula, amounts):
    table, errors = parse_compositions(["Fe2O3", formula, "NaCl"])
    assert errors == []
    assert dict(entries(table, 1)) == amounts


def test_parse__deuterium_of_pymatgen__is_refused():
    from pymatgen.core import Composition, Lattice, Species, Structure

    heavy = Structure(Lattice.cubic(3), ["Li", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    values = [Composition("D2O"), Composition({Species("D", 1): 2, "O2-": 1}), heavy]
    table, errors = parse_compositions(values)
    assert [error.row for error in errors] == [0, 1, 2]
    assert all("deuterium" in error.cause for error in errors)
    assert table.lengths.tolist() == [0, 0, 0]


def test_parse__bulk_and_single_rows_mixed__keeps_order():
    assert_equals_pymatgen([*READABLE, "NaCl", *WITH_SPACES, "NaCl", "Ca(OH)2"] * 3)


def test_parse__amounts_with_many_digits__are_the_floats_python_reads():
    rng = np.random.default_rng(0)
    texts = [f"{x:.{d}f}" for d in range(14) for x in rng.uniform(0.001, 9, 50)]
    texts = [text for text in texts if float(text) > 0]
    table, errors = parse_compositions([f"Fe{text}" for text in texts])
    assert errors == []
    assert table.amounts.tolist() == [float(text) for text in texts]


@pytest.mark.parametrize(("value", "cause"), UNREADABLE)
def test_parse__unreadable_value__is_reported_with_row_and_cause(value, cause):
    table, errors = parse_compositions(["Fe2O3", value, "NaCl"])
    (error,) = errors
    assert error.row == 1
    assert pd.Series([error.cause]).str.contains(cause, regex=True).all(), error.cause
    assert isinstance(error.formula, str)
    assert len(error.formula) <= 200
    assert table.lengths.tolist() == [2, 0, 2]
    assert table.elements.tolist() == [26, 8, 11, 17]


@pytest.mark.parametrize(
    "text", ["Fe" * 4_999, "(" * 9_999, "Fe1" * 3_333, "1" * 9_999, "(Fe)" * 2_499, "F e" * 3_333]
)
def test_parse__hostile_text__takes_no_time(text):
    start = time.perf_counter()
    parse_compositions([text] * 20)
    assert time.perf_counter() - start < 5


def test_parse__every_kind_of_object__gives_the_same_table():
    from ase.build import bulk
    from pymatgen.core import Composition, Element, Lattice, Species, Structure

    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    values = [
        "NaCl",
        Composition("NaCl"),
        Composition({"Na+": 1, "Cl-": 1}),
        {"Na": 1, "Cl": 1.0},
        {"Na+": 1, "Cl-": 1, "Fe": 0},
        {11: 1, 17: 1},
        {np.int64(11): np.float32(1), "Cl": 1},
        {Element("Na"): 1, Species("Cl", -1): 1},
        structure,
        bulk("NaCl", "rocksalt", a=5.64),
        np.str_("NaCl"),
    ]
    table, errors = parse_compositions(values)
    assert errors == []
    assert table.elements.reshape(-1, 2).tolist() == [[11, 17]] * len(values)
    assert np.allclose(table.fractions, 0.5)
    assert entries(table, 8) == [(11, 4.0), (17, 4.0)]
    assert all(isinstance(formula, str) for formula in table.formulas)


def test_parse__disordered_structure_and_mixed_valence__merges_per_element():
    from pymatgen.core import Composition, Lattice, Structure

    alloy = Structure(Lattice.cubic(3), [{"Fe": 0.25, "Ni": 0.75}], [[0, 0, 0]])
    table, errors = parse_compositions([alloy, Composition({"Fe2+": 1, "O2-": 4, "Fe3+": 2})])
    assert errors == []
    assert entries(table, 0) == [(26, 0.25), (28, 0.75)]
    assert entries(table, 1) == [(26, 3.0), (8, 4.0)]


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        np.array,
        lambda v: np.array(v, dtype=object),
        lambda v: np.array(v, dtype=object)[:, None],
        lambda v: [[value] for value in v],
        pd.Series,
        lambda v: pd.Series(v, dtype="string"),
        lambda v: pd.Series(v, dtype="category"),
        lambda v: pd.DataFrame({"composition": v}),
        pd.Index,
        lambda v: (value for value in v),
        iter,
    ],
)
def test_parse__every_container__gives_the_same_table(container):
    table, errors = parse_compositions(container(["Fe2O3", "Ca(OH)2"]))
    assert errors == []
    assert table.elements.tolist() == [26, 8, 20, 8, 1]
    assert table.amounts.tolist() == [2, 3, 1, 2, 2]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("Fe2O3", r"a single str; put it into a list"),
        ({"Fe": 1}, "a single dict"),
        (5, "got int"),
        (None, "got NoneType"),
        (np.array("Fe"), "shape"),
        (np.zeros((3, 2)), r"one column of compositions, got an array of shape \(3, 2\)"),
        (pd.DataFrame({"a": ["Fe"], "b": ["O"]}), r"shape \(1, 2\)"),
        (np.zeros((3, 1, 1)), r"shape \(3, 1, 1\)"),
    ],
)
def test_parse__not_a_collection__raises(X, message):
    with pytest.raises(ValueError, match=message):
        parse_compositions(X)


def test_parse__single_structure_or_atoms__raises():
    from ase.build import bulk
    from pymatgen.core import Composition, Lattice, Structure

    structure = Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]])
    for single in (bulk("Fe"), structure, Composition("Fe")):
        with pytest.raises(ValueError, match="put it into a list"):
            parse_compositions(single)


def test_parse__no_rows__gives_an_empty_table():
    table, errors = parse_compositions([])
    assert (table.n_rows, errors) == (0, [])
    assert table.fractions.shape == (0,)


def test_parse__readable_and_unreadable_rows__keep_their_numbers():
    formulas = ["Fe", "NaCl", "Fo", "Ca(OH)2", "O2", "??", "Si", "SiO2", "GaAs"]
    table, errors = parse_compositions(formulas)
    assert [error.row for error in errors] == [2, 5]
    assert table.lengths.tolist() == [1, 2, 0, 3, 1, 0, 1, 2, 2]
    assert table.formulas.tolist() == formulas


def test_table__take__equals_parsing_the_selection():
    formulas = ["Fe2O3", "NaCl", "Ca(OH)2", "Si", "GaAs"]
    table, _ = parse_compositions(formulas)
    for selection in (slice(1, 4), slice(None, None, 2), [4, 0, 0], [], np.array([2])):
        taken = table.take(selection)
        expected, _ = parse_compositions(np.array(formulas, dtype=object)[selection])
        for field in ("offsets", "elements", "amounts", "formulas", "rows", "fractions"):
            assert np.array_equal(getattr(taken, field), getattr(expected, field)), field


def test_parse__charges__are_summed_where_every_species_has_one():
    from pymatgen.core import Composition

    values = [
        "NaCl",
        {"Na+": 1, "Cl-": 1},
        Composition({"Fe2+": 1, "Fe3+": 2, "O2-": 4}),
        Composition({"Fe3+": 1, "O2-": 1}),
        {"Na+": 1, "Cl": 1},
        Composition("NaCl"),
    ]
    table, _ = parse_compositions(values)
    np.testing.assert_array_equal(table.charges, [np.nan, 0, 0, 1, np.nan, np.nan])
    np.testing.assert_array_equal(table.take([3, 0]).charges, [1, np.nan])


def test_table__fractions__sum_to_one_in_every_row():
    table, _ = parse_compositions(["Fe2O3", "Ca(OH)2", "Si"])
    assert table.rows.tolist() == [0, 0, 1, 1, 1, 2]
    assert np.allclose(np.bincount(table.rows, weights=table.fractions), 1)
    assert table.sum(table.amounts).tolist() == [5, 5, 1]


@pytest.mark.parametrize(
    ("alloy", "by_weight"),
    [
        ("Ti-6Al-4V", {"Ti": 90, "Al": 6, "V": 4}),
        ("Fe-18Cr-8Ni", {"Fe": 74, "Cr": 18, "Ni": 8}),
        (" Al-4.5Cu-.6Mn (wt.%)", {"Al": 94.9, "Cu": 4.5, "Mn": 0.6}),
    ],
)
def test_alloys_are_read_by_weight(alloy, by_weight):
    expected = Composition.from_weight_dict(by_weight).fractional_composition
    amounts = parse_formula(alloy)
    total = sum(amounts.values())
    found = {Element.from_Z(z).symbol: amount / total for z, amount in amounts.items()}
    assert found == pytest.approx({e.symbol: expected[e] for e in expected}, rel=1e-3)


def test_alloys__atoms_and_mistakes():
    assert parse_formula("Ti-48Al-2Cr-2Nb (at.%)") == {22: 48, 13: 48, 24: 2, 41: 2}
    with pytest.raises(FormulaError, match="sum to 110 %, which leaves no Fe"):
        parse_formula("Fe-60Cr-50Ni")
    with pytest.raises(FormulaError, match="unknown element 'Xx'"):
        parse_formula("Fe-3Xx")
    with pytest.raises(FormulaError, match="an alloy as Ti-6Al-4V"):
        parse_formula("Fe-Cr-Ni")


def test_formulas_from_amounts__are_those_of_the_row():
    table = pd.DataFrame({"Ti": [90.0, 50], "Al": [6, None], "V": [4, 50.0], "T": [300, 400]})
    table.index = ["a", "b"]
    found = formulas_from_amounts(table, "wt%")
    assert found.index.tolist() == ["a", "b"]
    assert parse_formula(found["a"]) == pytest.approx(parse_formula("Ti-6Al-4V"), rel=1e-6)
    assert formulas_from_amounts(table)["b"] == "Ti50V50"
    with pytest.raises(ValueError, match="neither"):
        formulas_from_amounts(table, "vol%")
    with pytest.raises(ValueError, match="No column is named by an element"):
        formulas_from_amounts(table[["T"]])
    with pytest.raises(ValueError, match="Row 1 has the amounts"):
        formulas_from_amounts(table.assign(V=[4, -1.0]))

"""Charge balance against brute force; test_matminer.py compares the columns with matminer's."""

import random
import time

import numpy as np
import pytest

from trisk.featurizers import FeaturizationError, IonPropertyFeaturizer
from trisk.featurizers.composition.formulas import parse_compositions
from trisk.featurizers.composition.ions import (
    _reachable,
    balance_possible,
    integer_counts,
    oxidation_states,
)
from trisk.structures.elements import ELEMENT_SYMBOLS

POSSIBLE = "IonProperty compound possible"
# Undecided by matminer within a second each, out of expt_gap, expt_is_metal and glass.
TOO_LONG = {
    "Cs39Ga53(Se16Cl)6": True,
    "Ba23Ga8(SbS19)2": True,
    "Cs5Mo21Se23": False,
    "Cu25Se26": False,
    "Fe85B8C7": False,
    "KC60": True,
    "Dy12C6I17": True,
}


def reachable_charges(element, count):
    """All sums of the states of some atoms of one element, one atom at a time."""
    lowest, increments, _ = oxidation_states()
    states = {int(lowest[element] + increment) for increment in increments[element]}
    sums = {0}
    for _ in range(count):
        sums = {charge + state for charge in sums for state in states}
    return sums


def balances(elements, counts):
    """Charge balance by exhaustion."""
    sums = {0}
    for element, count in zip(elements, counts, strict=True):
        charges = reachable_charges(element, count)
        sums = {a + b for a in sums for b in charges}
    return 0 in sums


def random_problem(rng, known):
    n_elements = rng.randint(1, 4)
    elements = rng.sample(known, n_elements)
    return elements, [rng.choice([1, 2, 3, rng.randint(1, 45)]) for _ in elements]


def test_balance__random_formulas__equals_exhaustion():
    rng = random.Random(0)
    known = np.flatnonzero(oxidation_states()[2]).tolist()
    mixed = [z for z in known if oxidation_states()[1][z, -1] > 0]
    problems = [random_problem(rng, rng.choice([known, mixed])) for _ in range(600)]
    formulas = [
        "".join(f"{ELEMENT_SYMBOLS[z - 1]}{n}" for z, n in zip(*problem, strict=True))
        for problem in problems
    ]
    table, _ = parse_compositions(formulas)
    possible = balance_possible(table, table.amounts.astype(np.int64))
    expected = [balances(*problem) for problem in problems]
    assert 100 < sum(expected) < 500
    assert possible.tolist() == expected


@pytest.mark.parametrize("formula", TOO_LONG)
def test_balance__formulas_beyond_enumeration__are_decided(formula):
    table, _ = parse_compositions([formula])
    counts, _ = integer_counts(table)
    assert balances(table.elements, counts) == TOO_LONG[formula]
    assert balance_possible(table, counts)[0] == TOO_LONG[formula]


def test_balance__millions_of_atoms__is_exact():
    # 2 a + 3 b = 2 n, a + b = m needs 2 m <= 2 n <= 3 m
    formulas = ["Fe2000000O3000000", "Fe2000000O3000001", "Fe2000001O2000001", "Fe2000001O2000000"]
    X = IonPropertyFeaturizer().fit_transform(formulas)
    assert X[POSSIBLE].tolist() == [1, 0, 1, 0]


def test_balance__whole_amounts__are_taken_as_written():
    X = IonPropertyFeaturizer().fit_transform(["PdN", "Pd2N2"])  # Pd of +2 and +4
    assert X[POSSIBLE].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("formula", "counts"),
    [
        ("Ag0.5GeS1.5", [1, 2, 3]),
        ("Al0.333333O0.5", [2, 3]),
        ("Fe2.5O5", [5, 10]),
        ("Fe0.005O0.01", [1, 2]),
        ("Fe0.333Ni0.667", [333, 667]),
        ("Fe0.620C0.000953Nb0.0000616", [6200000, 9530, 616]),
        ("Fe4O4", [4, 4]),
    ],
)
def test_integer_counts__smallest_whole_ratio(formula, counts):
    table, _ = parse_compositions([formula])
    found, decided = integer_counts(table)
    divisor = np.gcd.reduce(counts) if "." in formula and len(counts) == 3 else 1
    assert decided.all()
    assert found.tolist() == [count // divisor for count in counts]


def test_fractional_amounts__equal_the_whole_formula():
    X = IonPropertyFeaturizer().fit_transform([{"Al": 0.4, "O": 0.6}, "Al2O3", "Al0.4O0.6"])
    assert (X.to_numpy() == X.to_numpy()[1]).all()
    assert X[POSSIBLE].iloc[0] == 1


def test_undecidable_amounts__are_reported_and_never_guessed():
    formulas = ["NaCl", {"H": 3e9 + 0.5, "O": 1.7e-7}]
    with pytest.raises(FeaturizationError, match=r"row 1.*orders of magnitude"):
        IonPropertyFeaturizer().fit_transform(formulas)
    featurizer = IonPropertyFeaturizer(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        X = featurizer.fit_transform(formulas)
    assert X[POSSIBLE].isna().tolist() == [False, True]
    explained = featurizer.explain_errors(formulas)
    assert explained["row"].tolist() == [1]
    assert "drop the traces" in explained["cause"].iloc[0]


def test_missing_nan__unknown_states_and_electronegativities():
    X = IonPropertyFeaturizer(missing="nan").fit_transform(["OgNa", "RnF2", "RfO2", "He", "NaCl"])
    assert X.isna().to_numpy().tolist() == [
        [True, True, True],
        [True, False, False],
        [False, True, True],
        [False, False, False],
        [False, False, False],
    ]


def test_missing_raise__names_what_is_missing():
    featurizer = IonPropertyFeaturizer(missing="raise")
    with pytest.raises(FeaturizationError, match="'RnF2': Rn has no common oxidation state"):
        featurizer.fit_transform(["NaCl", "RnF2"])
    with pytest.raises(FeaturizationError, match="'RfO2': Rf has no pauling_electronegativity"):
        featurizer.fit_transform(["NaCl", "RfO2"])


def test_time__expt_gap__under_a_minute_and_bounded_per_row(matbench_formulas):
    formulas = matbench_formulas("expt_gap")
    start = time.perf_counter()
    X = IonPropertyFeaturizer().fit_transform(formulas)
    assert time.perf_counter() - start < 5  # measured: 0.02 s
    assert np.isfinite(X).all(axis=None)


def test_time__worst_formulas__few_milliseconds_each():
    rng = random.Random(0)
    known = np.flatnonzero(oxidation_states()[2]).tolist()
    slowest = []
    for n_oxygen in (10**6, 10**7, 5 * 10**7, 10**8):
        atoms = "".join(f"{ELEMENT_SYMBOLS[z - 1]}{rng.randint(1, 10**6)}" for z in known)
        table, _ = parse_compositions([f"{atoms}O{n_oxygen}"])
        start = time.perf_counter()
        balance_possible(table, integer_counts(table)[0])
        slowest.append(time.perf_counter() - start)
    assert np.median(slowest) < 0.02  # measured: below 1 ms


def test_large_problems__are_remembered_and_the_memory_is_bounded():
    _reachable.cache_clear()
    IonPropertyFeaturizer().fit_transform(["KC60"] * 3)
    assert _reachable.cache_info().currsize == 1
    assert _reachable.cache_info().hits == 2
    assert _reachable.cache_info().maxsize is not None

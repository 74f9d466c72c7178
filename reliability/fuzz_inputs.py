"""Formulas and structures as nobody should write them: rows fail with a cause, and nothing else.

``python -m reliability.fuzz_inputs`` reads 100,000 inputs (nine in ten formulas, the rest
structures) with ``on_error="nan"`` and counts what came of them. A failure is any exception, any
warning but the featurizers' own, a value that is not finite without an entry in ``errors_``, or a
row that takes longer than it may.

``python -m reliability.fuzz_inputs --coverage 120`` lets atheris search formulas for 120 s that
reach new lines of the parsers (``pip install atheris``; no dependency of trisk).
"""

import argparse
import resource
import sys
import time
import warnings
from collections import Counter

import numpy as np

from reliability import _report
from trisk.featurizers import (
    CompositionFeaturizer,
    CrystalGraphFeaturizer,
    PowerSpectrumFeaturizer,
    SpringModelFeaturizer,
)
from trisk.featurizers.composition._compositions import parse_compositions
from trisk.featurizers.composition._formula import FormulaError, parse_formula

SECONDS_PER_ROW = 2.0
ALL_BLOCKS = [
    "element_fraction", "magpie", "stoichiometry", "valence_orbital", "band_center",
    "transition_metal_fraction", "atomic_orbitals", "ion_property", "mat2vec", "miedema", "yang",
    "wen",
]  # fmt: skip
_PIECES = [
    "H", "C", "O", "Fe", "Na", "Cl", "U", "Og", "D", "T", "Ti", "P", "S", "N", "Xx", "fe", "FE",
    "(", ")", "[", "]", "{", "}", " ", "\t", "\n", "0", "1", "2", "3", ".5", "0.0", "1e3", "1e-9",
    "1e999", "1e30", "1e15", "-1", "+", "3+", "^", "2-", "·", "*", ".", ",", "_", "₂",
    "٢", "２", "é", "\x00", "\ud800", "e", "0.3333", "10000000000000000",
    "1e12", "1e-7", "%", "nan", "inf", "=", "#", "/", "H2O", "x",
]  # fmt: skip
_WHOLE = [
    "", " ", "Fe2O3" * 2_000_000, "H" * 10**6, "(" * 1000 + "Fe" + ")" * 1000, "(" * 10**6,
    "Fe" + "9" * 10**6, "9" * 10**6, "Fe0.0", "Fe0", "D2O", "T2O", "Fe3+", "Na+Cl-", "Fe-1",
    "FeFeFe", " Fe 2 O 3 ", "Fe₂O₃", "Fe٢O٣", "NaCl nan", "nan", "None", "()", "(Fe)0", "((Fe)2)3",
    None, float("nan"), float("inf"), 0, -1, True, b"Fe", [], {}, {"Fe": 0}, {"Fe": -1},
    {"Fe": "x"}, {"Fe": 1e40, "O": 1},
    {"Fe": None}, {"Fe3+": 1, "O2-": 1.5}, {26: 1}, {26.5: 1}, {0: 1}, {119: 1}, {"": 1}, {None: 1},
    {"Fe": float("inf")}, {"Fe": 1e300}, {("Fe",): 1}, object, np.array([1, 2]), 3 + 4j,
]  # fmt: skip


def make_formula(rng):
    """A formula: from pieces, damaged, or something else altogether."""
    kind = rng.random()
    if kind < 0.02:
        return _WHOLE[rng.integers(len(_WHOLE))]
    pieces = [_PIECES[i] for i in rng.integers(len(_PIECES), size=rng.integers(1, 12))]
    if kind < 0.6:
        return "".join(pieces)
    formula = "".join(
        f"{_PIECES[rng.integers(12)]}{rng.choice(['', '2', '0.25', '3.00', '11'])}"
        for _ in range(rng.integers(1, 6))
    )
    if kind < 0.8:
        return formula
    place = int(rng.integers(len(formula) + 1))
    return formula[:place] + pieces[0] + formula[place + int(rng.integers(2)) :]


def make_structure(rng):
    """A structure: a small crystal with one to three things wrong, in one of several forms."""
    from ase import Atoms
    from pymatgen.core import Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    n_atoms = int(rng.integers(1, 7))
    cell = np.eye(3) * rng.uniform(2.5, 6, 3) + rng.uniform(-0.5, 0.5, (3, 3))
    positions = rng.random((n_atoms, 3)) @ cell
    numbers = rng.integers(1, 95, n_atoms)
    extreme = [0.0, -1.0, 1e-300, 1e-9, 1e-3, 1e3, 1e6, 1e12, 1e300, np.nan, np.inf]
    pbc = [True] * 3
    for _ in range(rng.integers(0, 4)):
        kind = rng.integers(9)
        value = extreme[rng.integers(len(extreme))]
        if kind == 0:
            cell[rng.integers(3), rng.integers(3)] = value
        elif kind == 1:
            positions[rng.integers(n_atoms), rng.integers(3)] = value
        elif kind == 2:
            cell *= value
        elif kind == 3:
            positions *= value
        elif kind == 4:
            cell[1] = cell[0] * rng.uniform(-2, 2)
        elif kind == 5:
            numbers[rng.integers(n_atoms)] = rng.choice([0, -1, 119, 200, 118])
        elif kind == 6:
            pbc = rng.random(3) < 0.5
        elif kind == 7:
            positions[-1] = positions[0]
        else:
            cell[2] += 10 ** rng.uniform(0, 5) * cell[0]
    atoms = Atoms(numbers.clip(0), positions=positions, cell=cell, pbc=pbc)
    atoms.numbers[:] = numbers
    form = rng.integers(5)
    if form <= 1:
        return atoms
    try:
        structure = AseAtomsAdaptor.get_structure(atoms)
        if form == 2:
            return structure
        if form == 3:
            return _damage_dict(structure.as_dict(), rng)
        return _damage_text(structure.to(fmt="cif"), rng)
    except Exception:  # pymatgen refuses such a structure itself
        return (
            _damage_dict({"lattice": {"matrix": cell.tolist()}, "sites": []}, rng)
            if rng.random() < 0.5
            else Structure.__name__ + "\n"
        )


def _damage_dict(value, rng):
    for _ in range(rng.integers(0, 3)):
        node, key = value, None
        while isinstance(node, dict | list) and len(node):
            parent = node
            key = (
                list(node)[rng.integers(len(node))]
                if isinstance(node, dict)
                else int(rng.integers(len(node)))
            )
            node = node[key]
            if rng.random() < 0.3:
                break
        if key is not None:
            parent[key] = [None, -1, "x", [], {}, 1e300, float("nan")][rng.integers(7)]
    return value


def _damage_text(text, rng):
    for _ in range(rng.integers(0, 4)):
        place = int(rng.integers(len(text)))
        added = ["", "\n", "?", ".", "-", "1e300", "loop_\n", "'", "\x00"][rng.integers(9)]
        text = text[:place] + added + text[place + int(rng.integers(10)) :]
    return text


class Readers:
    """Featurizers that read whatever comes, and what is wrong with what they give."""

    def __init__(self):
        start = {"on_error": "nan"}
        self.compositions = CompositionFeaturizer(blocks=ALL_BLOCKS, **start).fit(["Fe"])
        self.structures = [
            CrystalGraphFeaturizer(order=3, composition=["magpie"], **start),
            SpringModelFeaturizer(**start),
            PowerSpectrumFeaturizer(n_radial=2, max_degree=1, **start),
        ]
        for featurizer in self.structures:
            featurizer.fit([])

    def read(self, featurizer, values):
        """Outcomes of all rows: "read" or "refused"; raises AssertionError on a failure."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings(
                "ignore", message=".*could not be featurized", category=UserWarning
            )
            result = featurizer.transform(values)
        refused = set(featurizer.errors_["row"])
        assert all(featurizer.errors_["cause"].str.len() > 0)
        assert featurizer.errors_["cause"].str.len().max() < 2000 if refused else True
        if hasattr(result, "bond_lengths"):
            wrong = [np.isfinite(a).all() for a in (result.bond_lengths, result.atom_features)]
            assert all(wrong), "a graph holds values that are not finite"
        else:
            bad = np.flatnonzero(~np.isfinite(result.to_numpy(dtype=float)).all(axis=1))
            assert set(bad) <= refused, f"not finite without an error: row {bad[:1]}"
        return ["refused" if row in refused else "read" for row in range(len(values))]


def run(n_inputs, seed=0, batch=200):
    """Read many inputs in batches; a batch that fails is read again row by row."""
    readers, rng = Readers(), np.random.default_rng([20261122, seed])
    counts, failures, longest = Counter(), [], 0.0
    done = 0
    while done < n_inputs:
        kind = "structure" if rng.random() < 0.1 else "formula"
        make = make_structure if kind == "structure" else make_formula
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pymatgen, while it makes strange structures
            values = [make(rng) for _ in range(min(batch, n_inputs - done))]
        done += len(values)
        featurizers = readers.structures if kind == "structure" else [readers.compositions]
        for featurizer in featurizers:
            name = type(featurizer).__name__
            started = time.monotonic()
            try:
                outcomes = readers.read(featurizer, values)
                longest = max(longest, (time.monotonic() - started) / len(values))
                counts.update(f"{name}: {outcome}" for outcome in outcomes)
                continue
            except Exception as error:
                failures_before = len(failures)
                whole = f"{type(error).__name__}: {error}"[:300]
            for value in values:
                started = time.monotonic()
                try:
                    readers.read(featurizer, [value])
                except Exception as error:
                    text = f"{type(error).__name__}: {error}"[:300]
                    failures.append([name, _describe(value), text])
                if time.monotonic() - started > SECONDS_PER_ROW:
                    failures.append([name, _describe(value), "too slow"])
            if len(failures) == failures_before:
                failures.append([name, "a batch of them", whole])
        if kind == "formula":
            _compare_parsers([v for v in values if isinstance(v, str)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "inputs": n_inputs,
        "failures": failures[:50],
        "n_failures": len(failures),
        "slowest_batch_s_per_row": round(longest, 4),
        "peak_memory_MB": round(peak),
        "outcomes": dict(sorted(counts.items())),
    }


def _describe(value):
    """Enough to build a value again."""
    if hasattr(value, "get_positions"):
        return repr([value.numbers.tolist(), value.positions.tolist(), value.cell.tolist(),
                     value.pbc.tolist()])  # fmt: skip
    return repr(value)[:3000]


def _compare_parsers(formulas):
    """The parser of many formulas at once and that of one agree on each."""
    table, _ = parse_compositions(formulas, on_error="nan")
    for row, formula in enumerate(formulas):
        try:
            expected = parse_formula(formula)
        except FormulaError:
            expected = {}
        part = slice(table.offsets[row], table.offsets[row + 1])
        found = dict(zip(table.elements[part].tolist(), table.amounts[part].tolist(), strict=True))
        assert found == expected, f"{formula[:200]!r}: {found} in bulk, {expected} alone"


def search_coverage(seconds):
    """Let atheris look for formulas that reach new lines; it ends the process on a failure."""
    import atheris

    atheris.instrument_func(parse_formula)
    from trisk.featurizers.composition import _formula

    for name in ("_close_group", "_explain", "_atomic_number", "clean_amounts", "unknown_element"):
        setattr(_formula, name, atheris.instrument_func(getattr(_formula, name)))
    _formula.parse_formula = atheris.instrument_func(_formula.parse_formula)

    def one(content):
        provider = atheris.FuzzedDataProvider(content)
        _compare_parsers([provider.ConsumeUnicode(300)])

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-print_final_stats=1"], one)
    atheris.Fuzz()


def main():
    """Run the campaign."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--coverage", type=int, metavar="SECONDS")
    options = parser.parse_args()
    if options.coverage:
        search_coverage(options.coverage)
        return
    started = time.monotonic()
    result = run(options.inputs)
    _report.write("fuzz_inputs", result | {"seconds": round(time.monotonic() - started)})


if __name__ == "__main__":
    main()

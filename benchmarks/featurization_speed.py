"""Magpie descriptors: trisk against matminer on the same formulas, then a million formulas.

    python benchmarks/featurization_speed.py

Both start from formula strings; matminer is also timed from ready Composition objects. One
process, one thread. Writes benchmarks/results/featurization_speed.json; exits with an error if
trisk is less than 100 times as fast or the values differ by more than 1e-6.
"""

import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition

from trisk.featurizers import MagpieFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS

HERE = Path(__file__).resolve().parent
REAL_FORMULAS = HERE.parents[1] / "shared" / "data" / "mp_formulas_e_form.csv.gz"
N_COMPARED, N_MANY, N_REPEATS = 5_000, 1_000_000, 7


def make_formulas(n_formulas, seed=0):
    """Random alloys and compounds of one to six of the first 94 elements."""
    rng = np.random.default_rng(seed)
    symbols = np.array(ELEMENT_SYMBOLS[:94])
    formulas = []
    while (
        len(formulas) < n_formulas
    ):  # by blocks, so that the generator needs no memory to speak of
        order = rng.random((10_000, len(symbols))).argsort(axis=1)[:, :6]
        amounts = rng.integers(1, 1000, order.shape) / 1000
        n_elements = rng.integers(1, 7, len(order))
        for n, row, row_amounts in zip(n_elements, symbols[order], amounts, strict=True):
            pairs = zip(row[:n], row_amounts[:n], strict=True)
            formulas.append("".join(f"{symbol}{amount:g}" for symbol, amount in pairs))
    return formulas[:n_formulas]


def read_formulas(n_formulas):
    """Distinct formulas of the Materials Project if at hand, else random ones."""
    if REAL_FORMULAS.is_file():
        formulas = pd.read_csv(REAL_FORMULAS)["formula"].drop_duplicates()
        return "Materials Project", formulas.sample(n_formulas, random_state=0).tolist()
    return "random", make_formulas(n_formulas)


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def trisk_from_strings(formulas):
    return MagpieFeaturizer().fit_transform(formulas)


def peak_memory_gb():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def compare_with_matminer():
    source, formulas = read_formulas(N_COMPARED)
    matminer = ElementProperty.from_preset("magpie")
    first_s, X = timed(trisk_from_strings, formulas)
    trisk_s = np.median([timed(trisk_from_strings, formulas)[0] for _ in range(N_REPEATS)])
    strings_s, expected = timed(lambda: [matminer.featurize(Composition(f)) for f in formulas])
    compositions = [Composition(f) for f in formulas]
    objects_s, _ = timed(lambda: [matminer.featurize(c) for c in compositions])
    return {
        "formulas": f"{N_COMPARED} distinct, {source}",
        "trisk_per_s": N_COMPARED / trisk_s,
        "trisk_first_call_per_s": N_COMPARED / first_s,
        "matminer_from_strings_per_s": N_COMPARED / strings_s,
        "matminer_from_compositions_per_s": N_COMPARED / objects_s,
        "ratio_from_strings": strings_s / trisk_s,
        "ratio_to_matminer_from_compositions": objects_s / trisk_s,
        "largest_difference": float(np.abs(X.to_numpy() - np.array(expected, dtype=float)).max()),
    }


def featurize_many():
    formulas = make_formulas(N_MANY)
    before = peak_memory_gb()
    seconds, X = timed(trisk_from_strings, formulas)
    assert X.shape == (N_MANY, 132)
    return {
        "formulas": f"{N_MANY} random",
        "seconds": seconds,
        "trisk_per_s": N_MANY / seconds,
        "output_gb": X.to_numpy().nbytes / 1e9,
        "peak_memory_before_gb": before,
        "peak_memory_gb": peak_memory_gb(),
    }


def main():
    compared = compare_with_matminer()
    many = featurize_many()
    report = {
        "machine": {"processor": platform.processor() or platform.machine(), "threads": 1,
                    "cores": os.cpu_count(), "python": platform.python_version()},
        "magpie_against_matminer": compared,
        "one_million": many,
    }  # fmt: skip
    for title in ("magpie_against_matminer", "one_million"):
        print(title.replace("_", " "))
        for name, value in report[title].items():
            shown = value if isinstance(value, str) else f"{value:,.4g}"
            print(f"  {name.replace('_', ' '):38s} {shown}")
    target = HERE / "results" / "featurization_speed.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if compared["ratio_from_strings"] < 100 or compared["largest_difference"] > 1e-6:
        sys.exit("the aim (100 times matminer, values equal to 1e-6) was missed")


if __name__ == "__main__":
    main()

"""Keep a model of every class, as this release saves it, with inputs and what it answers.

``python -m reliability.save_models`` writes ``tests/data/models_<version>``. Every later release
must load these files and give these answers; `tests/reliability/test_saved_models.py` holds it.
Files that are there stay as they are; while the release is not out, a change of a network that is
meant is followed by ``python -m reliability.save_models NAME ...`` or ``--all``.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import trisk
from reliability.models import cases

FOLDER = Path(__file__).parents[1] / "tests" / "data"
N_ROWS = 4


def as_plain(kind, X):
    """Input as JSON."""
    if kind == "structures":
        X = [s.to_ase_atoms() for s in X]
    if kind in ("structures", "frames", "layers"):
        return [
            {"numbers": a.numbers.tolist(), "positions": a.positions.tolist(),
             "cell": a.cell.tolist()} for a in X
        ]  # fmt: skip
    return np.asarray(X).tolist()


def from_plain(kind, rows):
    """Input from JSON."""
    if kind in ("structures", "frames", "layers"):
        from ase import Atoms

        return [Atoms(**row, pbc=True) for row in rows]
    return np.array(rows, dtype=float) if kind == "table" else rows


def main():
    """Fit, save and ask models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="models to write anew")
    parser.add_argument("--all", action="store_true", help="write all anew")
    options = parser.parse_args()
    release = ".".join(trisk.__version__.split(".")[:2])
    folder = FOLDER / f"models_{release}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "answers.json"
    answers = json.loads(path.read_text()) if path.is_file() else {}
    for case in cases():
        wanted = options.all or case.name in options.names or case.name not in answers
        if not wanted:
            continue
        model = case.fit()
        trisk.save(model, folder / f"{case.name}.trisk")
        rows = as_plain(case.inputs, case.data()[0][:N_ROWS])
        X = from_plain(case.inputs, rows)
        answers[case.name] = {
            "inputs": case.inputs,
            "method": case.method,
            "X": rows,
            "answer": case.ask(model, X).tolist(),
        }
        print(case.name)
    path.write_text(json.dumps(answers, sort_keys=True, indent=0) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{len(answers)} models, {size / 1e3:.0f} kB in {folder}")


if __name__ == "__main__":
    main()

"""Count the formulas of each Matbench task that the encoder's training data hold.

    python benchmarks/pretraining_overlap.py ../shared/data

The folder holds ``mp_formulas_e_form.csv.gz`` and ``mp_formulas_gap.csv.gz``. Formulas count as
equal if they are the same ratio of the same elements; the 3 % of them that pre-training held out
are not counted. Prints rows of each official test fold whose formula has a calculated formation
energy, and a calculated band gap, and writes ``results/pretraining_overlap.json``. The targets
of the tasks are measured, except jdft2d's, and no task's target was used in pre-training. The band
gaps that ship with trisk, which the demo predicts, are counted likewise.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matbench import RECIPES, RESULTS, load

import trisk
from tools.train_composition_encoder import (
    held_out_rows,
    read_formula_targets,
    reduced_formulas,
)


def count(X, y, folds, known, with_gap):
    """Rows of every test fold, and how many of them were seen."""
    keys = reduced_formulas(X)
    seen, gap = np.isin(keys, known), np.isin(keys, with_gap)
    tests = [test for _, test in folds.split(X, y)]
    return {
        "rows": [len(test) for test in tests],
        "formation_energy_seen": [int(seen[test].sum()) for test in tests],
        "band_gap_seen": [int(gap[test].sum()) for test in tests],
    }


def main():
    """Count for all tasks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the two CSV files")
    folder = parser.parse_args().data
    data = read_formula_targets(
        folder / "mp_formulas_e_form.csv.gz", folder / "mp_formulas_gap.csv.gz"
    )
    trained = np.setdiff1d(np.arange(data.table.n_rows), held_out_rows(data.table.n_rows))
    known = data.table.formulas[trained]
    with_gap = known[~np.isnan(data.values[trained, 1])]
    print(f"{len(known)} formulas trained on, {len(with_gap)} of them with a band gap")
    report = {"formulas": len(known), "formulas_with_band_gap": len(with_gap), "tasks": {}}
    tables = {task: (*load(task), trisk.matbench_folds(task)) for task in RECIPES}
    tables["demo"] = (*trisk.load_band_gaps(), trisk.matbench_folds())
    for task, table in tables.items():
        counts = report["tasks"][task] = count(*table, known, with_gap)
        share = sum(counts["band_gap_seen"]) / sum(counts["rows"])
        folds = " ".join(
            f"{s}/{g}/{n}"
            for s, g, n in zip(
                counts["formation_energy_seen"],
                counts["band_gap_seen"],
                counts["rows"],
                strict=True,
            )
        )
        print(f"{task:14s} {share:6.1%} with a gap; energy/gap/rows by test fold: {folds}")
    path = RESULTS / "pretraining_overlap.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What each part of HybridTRIADS is worth, on rows inside official training folds.

    python benchmarks/ablations.py steels jdft2d
    python benchmarks/ablations.py

Every change is made to the recipe of the task with five members: depth of the recursion, deep
supervision, attention over property tokens, mat2vec columns, number of members. Small tasks are
validated on one inner split of each of the five official training folds; tasks above 2,000 rows on
one inner split of the first, with at most ``--rows`` training rows. No test fold is touched.
Prints the scores and adds them to ``results/ablations.json``.
"""

import argparse
import json

import numpy as np
from inner_validation import inner_folds, validate
from matbench import RECIPES, RESULTS, describe_machine, load

import trisk

REPORT = RESULTS / "ablations.json"
#: Change → parameters; "mat2vec" is a block of columns.
CHANGES = {
    "recipe, 5 members": {},
    "recursion depth 1": {"n_steps": 1},
    "recursion depth 4": {"n_steps": 4},
    "depth 4, no deep supervision": {"n_steps": 4, "deep_supervision": False},
    "attention, one layer": {"n_attention_layers": 1},
    "with mat2vec": {"mat2vec": True},
    "1 member": {"n_members": 1},
    "16 members": {"n_members": 16},
}


def make_model(task, mat2vec=False, **changes):
    """The recipe of a task with five members and some changes."""
    model = trisk.composition_pipeline(RECIPES[task], random_state=0, **{"n_members": 5, **changes})
    if mat2vec:
        blocks = [*model["features"].blocks, "mat2vec"]
        model.set_params(features__blocks=blocks)
    return model


def make_folds(task, X, y, rows):
    """Inner splits: five for small tasks, one with few training rows for large ones."""
    outer = list(trisk.matbench_folds(task).split(X, y))
    if len(y) <= 2000:
        return inner_folds(X, y, outer, 1)
    shuffle = np.random.default_rng(0).permutation
    return [
        (shuffle(train)[:rows], held_out) for train, held_out in inner_folds(X, y, outer[:1], 1)
    ]


def main():
    """Score all changes for the tasks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", choices=[[], *RECIPES])
    parser.add_argument("--rows", type=int, default=1500, help="training rows of large tasks")
    arguments = parser.parse_args()
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for task in arguments.tasks or RECIPES:
        X, y = load(task)
        folds = make_folds(task, X, y, arguments.rows)
        report[task] = results = {
            "metric": "roc_auc" if y.dtype == bool else "mae",
            "unit": y.attrs.get("unit"),
            "splits": len(folds),
            "training_rows": len(folds[0][0]),
            "machine": describe_machine(),
            "validation": {},
        }
        print(f"\n{task}: {len(folds)} inner splits, {len(folds[0][0])} training rows")
        for name, changes in CHANGES.items():
            scores = validate(make_model(task, **changes), X, y, folds, batched=True)
            results["validation"][name] = scores
            print(f"{name:32s} {scores['mean']:9.4f} {scores['seconds']:6.0f} s", flush=True)
            REPORT.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

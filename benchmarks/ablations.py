"""What each part of HybridTRIADS is worth, on rows inside official training folds.

    python benchmarks/ablations.py steels jdft2d
    python benchmarks/ablations.py

Every change is made to the recipe of the task with five members: depth of the recursion, deep
supervision, attention over property tokens, mat2vec columns. Ensembles of one, five and sixteen
are the first members of one fit. Small tasks are validated on one inner split of each of the five
official training folds; tasks above 2,000 rows on one inner split of the first, with at most
``--rows`` training rows and ``--epochs`` epochs. No test fold is touched. Prints the scores and
adds them to ``results/ablations.json``.
"""

import argparse
import copy
import json
import time

import numpy as np
from inner_validation import inner_folds
from matbench import RECIPES, RESULTS, describe_machine, fold_scores, load, predict
from sklearn.pipeline import Pipeline

import trisk
from trisk.model_selection import fit_folds

REPORT = RESULTS / "ablations.json"
#: Tasks of at most so many rows are validated in all training folds.
SMALL = 2000
#: Change → parameters; "mat2vec" is a block of columns.
CHANGES = {
    "recursion depth 1": {"n_steps": 1},
    "recursion depth 4": {"n_steps": 4},
    "no deep supervision": {"deep_supervision": False},
    "attention, one layer": {"n_attention_layers": 1},
    "with mat2vec": {"mat2vec": True},
}
#: Sizes of ensembles that are taken from one fit; the changes above are made to the second.
MEMBERS = {"1 member": 1, "recipe, 5 members": 5, "16 members": 16}


def make_model(task, mat2vec=False, n_members=5, **changes):
    """The recipe of a task with five members and some changes."""
    model = trisk.composition_pipeline(
        RECIPES[task], random_state=0, n_members=n_members, **changes
    )
    if mat2vec:
        blocks = [*model["features"].blocks, "mat2vec"]
        model.set_params(features__blocks=blocks)
    return model


def with_first_members(model, n_members):
    """A fitted pipeline whose ensemble is its first members only."""
    network = copy.copy(model[-1])
    network.net_ = network.net_.with_members(slice(n_members))
    return Pipeline([*model.steps[:-1], ("model", network)])


def score(fitted, X, y, folds):
    """Mean and standard deviation of the validation scores of one model per fold."""
    predictions = [
        (b, predict(m, X.iloc[b], y.dtype == bool)) for m, (_, b) in zip(fitted, folds, strict=True)
    ]
    scores = next(iter(fold_scores(y, predictions, y.dtype == bool).values()))
    return {"mean": float(np.mean(scores)), "std": float(np.std(scores))}


def validate(task, X, y, folds, settings):
    """Yield name, scores and seconds of the ensembles, then of every change to the recipe."""
    started = time.perf_counter()
    fitted, _ = fit_folds(make_model(task, n_members=16, **settings), X, y, cv=folds)
    seconds = time.perf_counter() - started
    for name, n_members in MEMBERS.items():
        chosen = [with_first_members(model, n_members) for model in fitted]
        # All members cost alike.
        yield name, score(chosen, X, y, folds) | {"seconds": seconds * n_members / 16}
    for name, changes in CHANGES.items():
        started = time.perf_counter()
        fitted, _ = fit_folds(make_model(task, **settings, **changes), X, y, cv=folds)
        seconds = time.perf_counter() - started
        yield name, score(fitted, X, y, folds) | {"seconds": seconds}


def make_folds(task, X, y, rows):
    """Inner splits: five for small tasks, one with few training rows for large ones."""
    outer = list(trisk.matbench_folds(task).split(X, y))
    if len(y) <= SMALL:
        return inner_folds(X, y, outer, 1)
    shuffle = np.random.default_rng(0).permutation
    return [
        (shuffle(train)[:rows], held_out) for train, held_out in inner_folds(X, y, outer[:1], 1)
    ]


def main():
    """Score all changes for the tasks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", choices=[[], *RECIPES])
    parser.add_argument("--rows", type=int, default=1000, help="training rows of large tasks")
    parser.add_argument("--epochs", type=int, help="of large tasks, instead of the recipe's")
    arguments = parser.parse_args()
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for task in arguments.tasks or RECIPES:
        X, y = load(task)
        folds = make_folds(task, X, y, arguments.rows)
        epochs = arguments.epochs if len(y) > SMALL else None
        report[task] = results = {
            "metric": "roc_auc" if y.dtype == bool else "mae",
            "unit": y.attrs.get("unit"),
            "splits": len(folds),
            "training_rows": len(folds[0][0]),
            "validation_rows": len(folds[0][1]),
            "epochs": epochs,
            "machine": describe_machine(),
            "validation": {},
        }
        print(f"\n{task}: {len(folds)} inner splits, {len(folds[0][0])} training rows")
        settings = {} if epochs is None else {"max_epochs": epochs}
        for name, scores in validate(task, X, y, folds, settings):
            results["validation"][name] = scores
            print(f"{name:32s} {scores['mean']:9.4f} {scores['seconds']:6.0f} s", flush=True)
            REPORT.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

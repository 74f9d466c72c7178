"""How often 90 % intervals hold on the official Matbench test folds.

    python benchmarks/interval_coverage.py steels jdft2d
    python benchmarks/interval_coverage.py --members 2 --epochs 20

Each official training fold is divided once: four fifths train a recipe with its companion, the
rest conforms it through MAPIE (split conformal). For regression, four kinds of intervals are
compared: Gaussian ones from the raw spread of the members, from the calibrated standard deviation,
and conformal ones with absolute errors or errors over the calibrated standard deviation. For
classes, sets of labels that hold the true one. Prints coverage and mean width (eV, MPa, meV/atom;
labels per set), and adds the tasks to ``results/coverage.json``. Needs MAPIE.
"""

import argparse
import copy
import json
import time
import warnings

import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.regression import SplitConformalRegressor
from matbench import RECIPES, RESULTS, describe_machine, load
from scipy.stats import norm
from sklearn.model_selection import train_test_split

import trisk
from trisk.model_selection import fit_folds

LEVEL = 0.9
REPORT = RESULTS / "coverage.json"


def gaussian(model, X):
    """Interval from a standard deviation, as if errors were normal."""
    center, std = model.predict(X, return_std=True)
    half = norm.ppf(0.5 + LEVEL / 2) * std
    return center - half, center + half


def conformal(model, held_out, X, score):
    """Split-conformal interval with a conformity score of MAPIE."""
    mapie = SplitConformalRegressor(model, confidence_level=LEVEL, conformity_score=score)
    intervals = mapie.conformalize(*held_out).predict_interval(X)[1]
    return intervals[:, 0, 0], intervals[:, 1, 0]


def intervals(model, held_out, X):
    """Lower and upper ends by kind of interval."""
    raw = copy.copy(model)
    raw.spread_scale_ = np.array([1.0, 0.0])
    return {
        "Gaussian, spread of members": gaussian(raw, X),
        "Gaussian, calibrated": gaussian(model, X),
        "conformal, absolute": conformal(model, held_out, X, "absolute"),
        "conformal, normalised": conformal(model, held_out, X, "std_normalized"),
    }


def label_sets(model, held_out, X):
    """Split-conformal sets of labels, a column per class."""
    mapie = SplitConformalClassifier(model, confidence_level=LEVEL, conformity_score="lac")
    return mapie.conformalize(*held_out).predict_set(X)[1][:, :, 0]


def run_task(task, members, epochs):
    """Coverage and width of every fold, by kind of interval."""
    X, y = load(task)
    classification = y.dtype == bool
    official = list(trisk.matbench_folds(task).split(X, y))
    divided = [
        train_test_split(
            train,
            test_size=0.2,
            random_state=0,
            stratify=y.iloc[train] if classification else None,
        )
        for train, _ in official
    ]
    settings = {} if classification else {"calibrate": True}
    if epochs is not None:
        settings["max_epochs"] = epochs
    pipeline = trisk.composition_pipeline(
        RECIPES[task], companion="auto", n_members=members, random_state=0, verbose=1, **settings
    )
    started = time.perf_counter()
    fitted, _ = fit_folds(pipeline, X, y, cv=divided)
    coverage, width = {}, {}
    for model, (_, held_out), (_, test) in zip(fitted, divided, official, strict=True):
        tables = [model[:-1].transform(X.iloc[rows]) for rows in (held_out, test)]
        target = y.iloc[test].to_numpy()
        conforming = (tables[0], y.iloc[held_out].to_numpy())
        if classification:
            sets = label_sets(model[-1], conforming, tables[1])
            inside = {"conformal": sets[np.arange(len(test)), target.astype(int)]}
            size = {"conformal": sets.sum(1)}
        else:
            ends = intervals(model[-1], conforming, tables[1])
            inside = {k: (low <= target) & (target <= high) for k, (low, high) in ends.items()}
            size = {k: high - low for k, (low, high) in ends.items()}
        for kind in inside:
            coverage.setdefault(kind, []).append(float(inside[kind].mean()))
            width.setdefault(kind, []).append(float(size[kind].mean()))
    return {
        "n_samples": len(y),
        "unit": y.attrs.get("unit"),
        "members": members,
        "epochs": epochs,
        "seconds": time.perf_counter() - started,
        "machine": describe_machine(),
        "coverage": coverage,
        "width": width,
    }


def main():
    """Measure the tasks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", choices=[[], *RECIPES])
    parser.add_argument("--members", type=int, default=8, help="networks per ensemble")
    parser.add_argument("--epochs", type=int, help="instead of those of the recipe")
    arguments = parser.parse_args()
    # MAPIE takes the names off the columns and leaves their order.
    warnings.filterwarnings("ignore", "X does not have valid feature names")
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for task in arguments.tasks or RECIPES:
        report[task] = results = run_task(task, arguments.members, arguments.epochs)
        print(f"\n{task}, nominal coverage {LEVEL:.0%}, {arguments.members} members")
        for kind, values in results["coverage"].items():
            print(
                f"{kind:28s} covers {np.mean(values):6.1%} ± {np.std(values):5.1%}, "
                f"mean width {np.mean(results['width'][kind]):.3g} {results['unit'] or 'labels'}"
            )
        REPORT.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Official Matbench folds: HybridTRIADS, with and without what helps it, beside forests in one run.

    python benchmarks/matbench.py steels
    python benchmarks/matbench.py all --record

In every fold all models see the same training rows. Prints a table per task, writes
``results/matbench_<task>.json`` and, for regression, a parity plot. ``--record`` writes a
leaderboard file too, which the ``matbench`` package accepts. What a model predicted is kept in
``unfinished/`` beside this script: a run that was stopped goes on there, as long as the package's
code and the settings are the same (``--fresh`` begins anew). Structures (jdft2d) are reduced to
their formulas. Needs the Matbench files: the variable ``MATMINER_DATA`` names their folder.
"""

import argparse
import copy
import hashlib
import json
import os
import platform
import sys
import time
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline

import trisk
from trisk.featurizers import CompositionFeaturizer, ElementFractionFeaturizer, MagpieFeaturizer
from trisk.model_selection import fit_folds, write_matbench_file
from trisk.pipelines import MATBENCH_RECIPES as RECIPES

RESULTS = Path(__file__).parent / "results"
TRISK = "HybridTRIADS"
#: The same recipe with the columns of an encoder that was trained on calculated properties.
PRETRAINED = "HybridTRIADS, pre-trained"
#: The network from scratch, whose companion is the encoder, trained on for the task.
FINE_TUNED = "HybridTRIADS, fine-tuned"
#: Kinds of pipelines by the word of the command line: name, `pretrained=`, companion.
VARIANTS = {
    "scratch": (TRISK, False, "auto"),
    "pretrained": (PRETRAINED, True, "auto"),
    "fine-tuned": (FINE_TUNED, "fine-tuned", None),
}
#: What one fit gives: the network, its recipe's trees stacked with it inside `fit`, these alone.
BOTH, COMPANION = "{} + companion", "companion of {} alone"
#: Untuned forests from scratch, and one that sees what the encoder says.
FORESTS = ("ExtraTrees, element fractions", "ExtraTrees, Magpie", "RandomForest, Magpie")
PRETRAINED_TREES = "ExtraTrees, Magpie and pre-trained"


def forests(classification):
    """Untuned forests of 300 trees, by name."""
    if classification:
        extra, random = ExtraTreesClassifier, RandomForestClassifier
    else:
        extra, random = ExtraTreesRegressor, RandomForestRegressor
    settings = {"n_estimators": 300, "random_state": 0, "n_jobs": -1}
    fractions, magpie = ElementFractionFeaturizer(), MagpieFeaturizer(missing="mean")
    with_encoder = CompositionFeaturizer(blocks=["magpie", "pretrained"])
    models = (
        make_pipeline(fractions, extra(**settings)),
        make_pipeline(magpie, extra(**settings)),
        make_pipeline(magpie, random(**settings)),
        make_pipeline(with_encoder, extra(**settings)),
    )
    return dict(zip((*FORESTS, PRETRAINED_TREES), models, strict=True))


def load(task):
    """Formulas and target."""
    X, y = trisk.load_matbench(task)
    if X.name == "structure":
        X = X.map(lambda structure: structure.composition.formula).rename("composition")
    return X, y


def predict(model, X, classification):
    """Probability of the positive class, or the target."""
    return model.predict_proba(X)[:, 1] if classification else model.predict(X)


def fold_scores(y, predictions, classification):
    """Scores of every fold by name; the first is the one that is compared."""
    if not classification:
        return {"mae": [mean_absolute_error(y.iloc[t], p) for t, p in predictions]}
    return {
        "roc_auc": [roc_auc_score(y.iloc[t], p) for t, p in predictions],
        "balanced_accuracy": [balanced_accuracy_score(y.iloc[t], p >= 0.5) for t, p in predictions],
    }


class KeptRows:
    """What every model of a task has predicted so far, on disk.

    Parameters
    ----------
    path : Path
        The file.
    fresh : bool
        Whether to forget what the file holds.
    """

    def __init__(self, path, fresh):
        self.path = path
        self.rows = joblib.load(path) if path.exists() and not fresh else {}

    def get(self, name, model, compute):
        """What `compute` returns, or returned for an equal model and the same package."""
        key = f"{package_hash()} {joblib.hash(model)}"
        if self.rows.get(name, {}).get("key") != key:
            self.rows[name] = {"key": key, "value": compute()}
            self.path.parent.mkdir(exist_ok=True)
            unfinished = self.path.with_suffix(".part")
            joblib.dump(self.rows, unfinished)
            unfinished.replace(self.path)
        return self.rows[name]["value"]


@cache
def package_hash():
    """Hash of trisk's code and weights."""
    root = Path(trisk.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.safetensors")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run_network(name, pipeline, verbose, X, y, folds, classification):
    """Fit one pipeline on all folds: predictions, seconds and weights of its companion."""
    started = time.perf_counter()
    fitted, _ = fit_folds(clone(pipeline).set_params(model__verbose=verbose), X, y, cv=folds)
    total = time.perf_counter() - started
    networks = training_seconds(fitted)
    both, companion = BOTH.format(name), COMPANION.format(name)
    # Trees and the inner fits that weigh them are not told apart.
    seconds = {both: total, name: networks, companion: total - networks}
    predictions = {
        row: [
            (test, predict(reweighed(model, weight), X.iloc[test], classification))
            for model, (_, test) in zip(fitted, folds, strict=True)
        ]
        for row, weight in ((name, 0.0), (both, None), (companion, 1.0))
    }
    return predictions, seconds, [float(model[-1].companion_weight_) for model in fitted]


def run_forest(name, forest, X, y, folds, classification):
    """Fit one forest on all folds: predictions and seconds."""
    started = time.perf_counter()
    predictions = []
    for train, test in folds:
        model = clone(forest).fit(X.iloc[train], y.iloc[train])
        predictions.append((test, predict(model, X.iloc[test], classification)))
    return {name: predictions}, {name: time.perf_counter() - started}


def run_task(task, members, variants, verbose, fresh=False):
    """Fit all models on the official folds; return the results and the predictions."""
    X, y = load(task)
    classification = y.dtype == bool
    folds = list(trisk.matbench_folds(task).split(X, y))
    settings = {} if members is None else {"n_members": members}
    networks = {
        name: trisk.composition_pipeline(
            RECIPES[task],
            companion=companion,
            pretrained=pretrained,
            random_state=0,
            **settings,
        )
        for name, pretrained, companion in (VARIANTS[variant] for variant in variants)
    }
    data = (X, y, folds, classification)
    kept = KeptRows(RESULTS.parent / "unfinished" / f"{stem(task, members)}.joblib", fresh)
    predictions, seconds, weights = {}, {}, {}
    for name, pipeline in networks.items():
        rows, times, weights[name] = kept.get(
            name, pipeline, partial(run_network, name, pipeline, verbose, *data)
        )
        predictions |= rows
        seconds |= times
    for name, forest in forests(classification).items():
        rows, times = kept.get(name, forest, partial(run_forest, name, forest, *data))
        predictions |= rows
        seconds |= times
    scores = {n: fold_scores(y, p, classification) for n, p in predictions.items()}
    results = {
        "task": f"matbench_{task}",
        "n_samples": len(y),
        "unit": y.attrs.get("unit"),
        "machine": describe_machine(),
        "settings": {
            name: {k: str(v) for k, v in n["model"].get_params(deep=False).items()}
            for name, n in networks.items()
        },
        "companion_weights": weights,
        "scores": scores,
        "seconds": seconds,
    }
    return results, predictions, y


def stem(task, members):
    """Name of a run's files."""
    return f"matbench_{task}_{members}_members" if members else f"matbench_{task}"


def reweighed(model, weight):
    """A fitted pipeline with another weight of the companion; None leaves it as it is."""
    if weight is None:
        return model
    network = copy.copy(model[-1])
    network.companion_weight_ = weight
    return Pipeline([*model.steps[:-1], ("model", network)])


def training_seconds(fitted):
    """Seconds in which the networks themselves were trained; folds of one batch share them."""
    batches = {tuple(model[-1].net_.history[:, "dur"]) for model in fitted}
    return sum(map(sum, batches))


def describe_machine():
    """Where and with what the numbers were measured."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "device": device,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{p: version(p) for p in ("trisk", "torch", "scikit-learn", "numpy")},
    }


def print_table(results):
    """One line per model: mean, fold standard deviation, folds, difference to the best forest."""
    metric = next(iter(results["scores"][TRISK]))
    by_model = {n: np.array(s[metric]) for n, s in results["scores"].items()}
    sign = 1 if metric == "mae" else -1
    best = min(FORESTS, key=lambda n: sign * by_model[n].mean())
    unit = f", {results['unit']}" if results["unit"] else ""
    print(f"\n{results['task']} ({results['n_samples']} rows), {metric}{unit}")
    print(f"{'model':46s} {'mean':>9s} {'std':>8s}  {'folds':50s} {'seconds':>8s}")
    for name, values in sorted(by_model.items(), key=lambda item: sign * item[1].mean()):
        folds = " ".join(f"{v:.4g}" for v in values)
        print(
            f"{name:46s} {values.mean():9.4f} {values.std():8.4f}  {folds:50s} "
            f"{results['seconds'][name]:8.1f}"
        )
    for name in results["settings"]:
        for row in (name, BOTH.format(name)):
            paired = by_model[row] - by_model[best]
            print(f"{row} minus {best}, by fold: {paired.mean():+.4f} ± {paired.std():.4f}")


def write_parity(task, predictions, y):
    """Parity plot of HybridTRIADS with companion and the best forest over all test folds."""
    import matplotlib as mpl

    mpl.use("Agg")
    errors = {n: np.mean([abs(y.iloc[t] - p).mean() for t, p in f]) for n, f in predictions.items()}
    best = min(FORESTS, key=errors.get)
    display = None
    for name in (best, BOTH.format(TRISK)):
        rows = np.concatenate([t for t, _ in predictions[name]])
        values = np.concatenate([p for _, p in predictions[name]])
        fold = np.concatenate([np.full(len(t), i) for i, (t, _) in enumerate(predictions[name])])
        display = trisk.ParityDisplay.from_predictions(
            y.iloc[rows], values, folds=fold, name=name, ax=display.ax_ if display else None
        )
    display.figure_.savefig(
        RESULTS / f"matbench_{task}.png", dpi=120, bbox_inches="tight", metadata={"Software": None}
    )


@contextmanager
def without_this_folder():
    """Let ``import matbench`` find the package and not this script of the same name."""
    paths = list(sys.path)
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in paths if Path(p).resolve() != here]
    try:
        yield
    finally:
        sys.path[:] = paths


def main():
    """Run the tasks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=[*RECIPES, "all"])
    parser.add_argument("--members", type=int, help="networks per ensemble")
    parser.add_argument(
        "--variants",
        nargs="*",
        choices=VARIANTS,
        default=["scratch", "pretrained"],
        help="networks from scratch, on columns of the pre-trained encoder, and beside it",
    )
    parser.add_argument("--record", action="store_true", help="write a leaderboard file too")
    parser.add_argument("--fresh", action="store_true", help="do not go on with an earlier run")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    recorded = {}
    for task in RECIPES if arguments.task == "all" else [arguments.task]:
        results, predictions, y = run_task(
            task,
            arguments.members,
            arguments.variants,
            int(not arguments.quiet),
            arguments.fresh,
        )
        print_table(results)
        if y.dtype != bool and not arguments.members:
            write_parity(task, predictions, y)
        path = RESULTS / f"{stem(task, arguments.members)}.json"
        path.write_text(json.dumps(results, indent=1) + "\n")
        recorded[task] = [p for _, p in predictions[BOTH.format(TRISK)]]
    if arguments.record:
        with without_this_folder():
            write_matbench_file(recorded, RESULTS / "leaderboard.json.gz")
        print(f"matbench accepts {RESULTS / 'leaderboard.json.gz'}")


if __name__ == "__main__":
    main()

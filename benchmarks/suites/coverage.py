"""How often 90 % intervals of the default pipelines hold on the official test folds.

Regression: Gaussian intervals of the members' spread and of the calibrated standard deviation, and
those of ``predict_interval``. Classification: how far probabilities are from frequencies, in ten
bins (expected calibration error), with and without the temperature that held-out rows gave.
"""

import copy

import numpy as np

from benchmarks.measures import cpu_seconds
from benchmarks.runner import Model, Suite
from benchmarks.suites import compositions, structures

LEVEL = 0.9
OF_FORMULAS = [n for n in compositions.TASKS if n not in ("demo", "formation energy")]
STRUCTURES = ", by structure"
OF_STRUCTURES = [f"{name}{STRUCTURES}" for name in structures.TASKS]
TASKS = {name: compositions.TASKS[name] for name in OF_FORMULAS} | {
    name: structures.TASKS[name.removesuffix(STRUCTURES)] for name in OF_STRUCTURES
}


def default_pipeline(task):
    """What a user gets who names nothing."""
    if task in OF_STRUCTURES:
        return structures.default_pipeline(task, calibrate=True)
    return compositions.default_pipeline(task)


def graphs(task, **settings):
    """The network of graphs, calibrated."""
    model = structures.graph_triads(task, **settings)
    return model.set_params(graphtriadsregressor__calibrate=True)


MODELS = {
    "default pipeline": Model(
        default_pipeline, tasks=[task for task in TASKS if not task.startswith("perovskites")]
    ),
    "GraphTRIADS": Model(
        graphs, structures.GRAPHS["perovskites"], tasks=[f"perovskites{STRUCTURES}"]
    ),
}


def of_numbers(model, X, target):
    """Coverage and mean width by kind of interval."""
    from scipy.stats import norm

    raw = copy.copy(model)
    raw.spread_scale_ = np.array([1.0, 0.0])
    ends = {"predict_interval": model.predict_interval(X, coverage=LEVEL)}
    for name, made in (("members' spread", raw), ("calibrated", model)):
        center, std = made.predict(X, return_std=True)
        half = norm.ppf(0.5 + LEVEL / 2) * std
        ends[name] = center - half, center + half
    rows = {}
    for name, (low, high) in ends.items():
        rows[f"coverage, {name}"] = float(((low <= target) & (target <= high)).mean())
        rows[f"width, {name}"] = float((high - low).mean())
    return rows


def of_classes(model, X, target):
    """Expected calibration errors, and logarithmic losses."""
    from sklearn.metrics import log_loss

    raw = copy.copy(model)
    raw.temperature_ = 1.0
    rows = {}
    for name, made in (("members' probabilities", raw), ("calibrated", model)):
        probability = made.predict_proba(X)[:, 1]
        bins = np.minimum((10 * probability).astype(int), 9)
        gaps = [
            abs(probability[bins == k].mean() - target[bins == k].mean()) * np.mean(bins == k)
            for k in np.unique(bins)
        ]
        rows[f"calibration error, {name}"] = float(sum(gaps))
        rows[f"log loss, {name}"] = float(log_loss(target, probability))
    return rows


def measure(task, split, fold, model):
    """Fit on a training fold, and ask the test fold."""
    if task in OF_STRUCTURES:
        X, y, folds = structures.load(task.removesuffix(STRUCTURES))
    else:
        X, y, folds = compositions.load(task, split)
    train, test = folds[fold]
    fitted = MODELS[model].build(task)
    started = cpu_seconds()
    fitted.fit(X.iloc[train], y.iloc[train])
    seconds = cpu_seconds() - started
    rows, last = X.iloc[test], fitted
    if hasattr(fitted, "steps"):
        rows, last = fitted[:-1].transform(rows), fitted[-1]
    ask = of_classes if y.dtype == bool else of_numbers
    return {**ask(last, rows, y.iloc[test].to_numpy()), "seconds": seconds}


SUITE = Suite("coverage", TASKS, MODELS, measure)

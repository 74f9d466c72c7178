"""How often 90 % intervals hold on the official test folds, and how wide they are.

Four fifths of each training fold train HybridTRIADS with its trees, the rest conforms it through
MAPIE. Regression: Gaussian intervals of the members' spread and of the calibrated standard
deviation, conformal ones of absolute errors and of errors over the standard deviation.
Classification: sets of labels that hold the true one, and the expected calibration error. Networks
of structures train on whole folds, and their own `predict_interval` is asked.
"""

import copy
import warnings

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


def calibrated(**settings):
    """Parameters of the recipe with trees, calibrated where there are standard deviations."""

    def parameters(task):
        own = {} if task in compositions.CLASSES else {"calibrate": True}
        return {"recipe": compositions.RECIPES[task], "stack_with": "auto", **own, **settings}

    return parameters


def graphs(task, **settings):
    """The network of graphs, calibrated."""
    model = structures.graph_triads(task, **settings)
    return model.set_params(graphtriadsregressor__calibrate=True)


#: All members and epochs of the recipe, or few of them.
LARGE = ("expt_gap", "expt_is_metal", "glass")
MODELS = {
    "HybridTRIADS + trees": Model(compositions.pipeline, calibrated(), ("mapie",), OF_FORMULAS),
    "HybridTRIADS + trees, two members": Model(
        compositions.pipeline, calibrated(n_members=2), ("mapie",), ("steels", "jdft2d")
    ),
    "HybridTRIADS + trees, two members, eight epochs": Model(
        compositions.pipeline, calibrated(n_members=2, max_epochs=8), ("mapie",), LARGE
    ),
    "GraphTRIADS": Model(
        graphs, lambda task: structures.GRAPHS[task.removesuffix(STRUCTURES)], tasks=OF_STRUCTURES
    ),
}


def intervals(model, conforming, X):
    """Lower and upper ends by kind of interval."""
    from mapie.regression import SplitConformalRegressor
    from scipy.stats import norm

    raw = copy.copy(model)
    raw.spread_scale_ = np.array([1.0, 0.0])
    ends = {}
    for name, made in (("members' spread", raw), ("calibrated", model)):
        center, std = made.predict(X, return_std=True)
        half = norm.ppf(0.5 + LEVEL / 2) * std
        ends[name] = center - half, center + half
    for name, score in (("conformal", "absolute"), ("conformal, normalised", "std_normalized")):
        mapie = SplitConformalRegressor(model, confidence_level=LEVEL, conformity_score=score)
        found = mapie.conformalize(*conforming).predict_interval(X)[1]
        ends[name] = found[:, 0, 0], found[:, 1, 0]
    return ends


def of_classes(model, conforming, X, target):
    """Coverage and size of label sets, and how far probabilities are from frequencies."""
    from mapie.classification import SplitConformalClassifier

    mapie = SplitConformalClassifier(model, confidence_level=LEVEL, conformity_score="lac")
    sets = mapie.conformalize(*conforming).predict_set(X)[1][:, :, 0]
    probability = model.predict_proba(X)[:, 1]
    bins = np.minimum((10 * probability).astype(int), 9)
    gaps = [
        abs(probability[bins == k].mean() - target[bins == k].mean()) * np.mean(bins == k)
        for k in np.unique(bins)
    ]
    return {
        "coverage, conformal": float(sets[np.arange(len(X)), target.astype(int)].mean()),
        "width, conformal": float(sets.sum(1).mean()),
        "expected calibration error": float(sum(gaps)),
    }


def of_structures(task, fold, pipeline):
    """Fit on a training fold, and ask for intervals of the test fold."""
    from scipy.stats import norm

    X, y, folds = structures.load(task.removesuffix(STRUCTURES))
    train, test = folds[fold]
    started = cpu_seconds()
    pipeline.fit(X.iloc[train], y.iloc[train])
    seconds = cpu_seconds() - started
    table, network = pipeline[:-1].transform(X.iloc[test]), pipeline[-1]
    center, std = network.predict(table, return_std=True)
    half = norm.ppf(0.5 + LEVEL / 2) * std
    ends = {"calibrated": (center - half, center + half)}
    ends["conformal, normalised"] = network.predict_interval(table, coverage=LEVEL)
    return {**shares(ends, y.iloc[test].to_numpy()), "seconds": seconds}


def shares(ends, target):
    """Coverage and mean width by kind of interval."""
    rows = {}
    for name, (low, high) in ends.items():
        rows[f"coverage, {name}"] = float(((low <= target) & (target <= high)).mean())
        rows[f"width, {name}"] = float((high - low).mean())
    return rows


def measure(task, split, fold, model):
    """Fit on four fifths of a training fold, conform on the rest, and test."""
    from sklearn.model_selection import train_test_split

    if task in OF_STRUCTURES:
        return of_structures(task, fold, MODELS[model].build(task))
    X, y, folds = compositions.load(task, split)
    train, test = folds[fold]
    classes = y.iloc[train] if y.dtype == bool else None
    fitted, held_out = train_test_split(train, test_size=0.2, random_state=0, stratify=classes)
    pipeline = MODELS[model].build(task)
    started = cpu_seconds()
    pipeline.fit(X.iloc[fitted], y.iloc[fitted])
    seconds = cpu_seconds() - started
    tables = [pipeline[:-1].transform(X.iloc[rows]) for rows in (held_out, test)]
    target, conforming = y.iloc[test].to_numpy(), (tables[0], y.iloc[held_out].to_numpy())
    with warnings.catch_warnings():
        # MAPIE takes the names off the columns and leaves their order.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        if y.dtype == bool:
            return {**of_classes(pipeline[-1], conforming, tables[1], target), "seconds": seconds}
        found = intervals(pipeline[-1], conforming, tables[1])
    return {**shares(found, target), "seconds": seconds}


SUITE = Suite("coverage", TASKS, MODELS, measure)

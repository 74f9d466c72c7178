"""What rows that a fit left out say of its uncertainty: spread, intervals, temperature."""

import math
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from sklearn.base import clone, is_classifier
from sklearn.model_selection import (
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from trisk.estimators.equality import equal_rows
from trisk.training.datasets import draw_seed

_N_FOLDS = 5
#: Rows that fix a weight well; larger tables need not hold out all their folds.
ENOUGH_ROWS = 700
# So many structures scale a spread, and networks of structures take longer.
_ENOUGH_STRUCTURES = 80
#: A smaller ensemble than the final one says nearly the same about its errors.
N_MEMBERS = 3
# With fewer rows a weight cannot be told from chance.
_FEWEST_ROWS = 20
#: In larger tables some rows are kept out of all fits to judge them, in place of inner folds.
MANY_ROWS = 20_000
_N_KEPT_OUT = 1000


def calibrate_structures(estimator, graphs, y, weight):
    """Let smaller ensembles of the same kind predict structures that they left out.

    Their errors scale the spread of a regressor and give its intervals, or temper the
    probabilities of a classifier.
    """
    forget_calibration(estimator)
    if not estimator.calibrate:
        return
    seeds = np.random.SeedSequence([draw_seed(estimator.random_state), 1]).generate_state(2)
    fold_seed, network_seed = (seeds >> 1).tolist()
    folds = structure_folds(y, fold_seed, equal_rows(graphs), stratified=is_classifier(estimator))
    n_inner = min(N_MEMBERS, estimator.n_members)
    network = inner_network(
        estimator, n_members=n_inner, random_state=network_seed, unknown_elements="ignore"
    )

    def ask(index, rows, held_out):
        if estimator.checkpoint is not None:
            path = Path(estimator.checkpoint)
            network.set_params(checkpoint=path.with_name(f"{path.name}.inner-{index}"))
        network.fit(graphs.take(rows), y[rows], weight[rows])
        center, spread = network._answer(graphs.take(held_out))
        return center, spread * spread_ratio(n_inner, estimator.n_members)

    calibrate_by(estimator, folds, ask, y, weight)


def inner_network(estimator, **settings):
    """A clone for inner folds, whose row weights hold those of classes already."""
    settings |= {"callbacks": None, "calibrate": False}
    if is_classifier(estimator):
        settings["class_weight"] = None
    return clone(estimator).set_params(**settings)


def calibrate_by(estimator, folds, ask, y, weight):
    """Calibrate by what fits on inner folds answer for the rows that they leave out.

    ``ask(index, rows, held_out)`` fits on rows and gives center and spread of the others.
    """
    if not folds:
        warn_of_few_rows(len(y))
        return
    answers = [ask(index, *fold) for index, fold in enumerate(folds)]
    center, spread = map(np.concatenate, zip(*answers, strict=True))
    held_out = np.concatenate([rows for _, rows in folds])
    estimator._calibrate(y[held_out], center, spread, weight[held_out])


def forget_calibration(estimator):
    """Leave nothing of what an earlier fit learned from rows that it left out."""
    for name in ("spread_scale_", "interval_factors_", "target_range_", "temperature_"):
        estimator.__dict__.pop(name, None)


def warn_of_few_rows(n_rows):
    """Say that calibration cannot be."""
    warnings.warn(
        f"calibrate=True does nothing for {n_rows} rows: inner folds take at least twenty that "
        "differ, and two of every class. Give more rows, or set calibrate=False.",
        stacklevel=6,
    )


def spread_ratio(n_inner, n_all):
    """What the spread of so many members is to be multiplied by to be that of more."""
    return math.sqrt((1 - 1 / n_all) / (1 - 1 / n_inner)) if n_inner > 1 else 1.0


def structure_folds(y, seed, groups, *, stratified):
    """As :func:`inner_folds`, of three folds where one of five would hold out too few."""
    n_folds = _N_FOLDS if len(y) >= _N_FOLDS * _ENOUGH_STRUCTURES else 3
    return inner_folds(
        y, seed, groups, stratified=stratified, enough=_ENOUGH_STRUCTURES, n_folds=n_folds
    )


def inner_folds(y, seed, groups, *, stratified, enough=ENOUGH_ROWS, n_folds=_N_FOLDS):
    """Pairs of rows to fit on and rows to judge by, rows of a group together.

    Of all folds so many as hold out enough rows; none where there are too few groups; one
    pair of many rows and a thousand where there are many.
    """
    # Whole groups are drawn; of classes, that of the group's first row counts.
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    y = y[first]
    if stratified:
        n_folds = min(n_folds, np.unique(y, return_counts=True)[1].min())
    if len(y) < _FEWEST_ROWS or n_folds < 2:
        return []
    if len(group) > MANY_ROWS:
        kind = StratifiedShuffleSplit if stratified else ShuffleSplit
        n_kept_out, n_used = min(_N_KEPT_OUT, len(y) // 2), 1
        splitter = kind(n_used, test_size=n_kept_out, random_state=seed)
    else:
        kind = StratifiedKFold if stratified else KFold
        splitter = kind(n_folds, shuffle=True, random_state=seed)
        n_used = math.ceil(enough / (len(y) / n_folds))
    folds = list(splitter.split(y, y))[:n_used]
    return [tuple(np.flatnonzero(np.isin(group, part)) for part in fold) for fold in folds]


def fit_spread(error, spread, weight):
    """Factor and floor that scale a spread to the size of errors, by maximum likelihood.

    Errors are taken as Gaussian with the variance (factor · spread)² + floor²; the result has
    the shape (2,) or (2, n_outputs).
    """
    if error.ndim == 2:
        columns = [fit_spread(e, s, weight) for e, s in zip(error.T, spread.T, strict=True)]
        return np.stack(columns, axis=1)
    known = np.isfinite(error)  # of several targets, some may be missing
    error, spread, weight = error[known], spread[known], weight[known]
    unit = np.sqrt(np.average(np.square(error), weights=weight))
    if unit == 0:
        return np.array([1.0, 0.0])
    square, relative = np.square(error / unit), np.square(spread / unit)

    def loss(logarithms):
        factor, floor = np.exp(2 * np.clip(logarithms, -7, 7))
        variance = factor * relative + floor
        return np.average(np.log(variance) + square / variance, weights=weight)

    # From an even start the search would stay where spread and floor are of one size.
    starts = [(0.0, -0.5), (0.7, -2.0)]
    best = min((minimize(loss, s, method="Nelder-Mead") for s in starts), key=lambda r: r.fun)
    factor, floor = np.exp(np.clip(best.x, -7, 7))
    return np.array([factor, floor * unit])


def interval_factors(error, std, weight):
    """Standard deviations that hold shares 0, 0.001, …, 1 of the errors of further rows.

    The n-th smallest of N held-out errors, over their standard deviations, bounds a new one with
    the probability n / (N + 1); what no held-out error can tell is infinite.
    """
    if error.ndim == 2:
        columns = [interval_factors(e, s, weight) for e, s in zip(error.T, std.T, strict=True)]
        return np.stack(columns, axis=1)
    known = np.isfinite(error)
    error, std, weight = np.abs(error[known]), std[known], weight[known]
    ratio = np.divide(error, std, out=np.zeros_like(error), where=std > 0)
    levels = np.linspace(0, 1, 1001) * (1 + 1 / len(weight))
    told = levels <= 1
    factors = np.full(1001, np.inf)
    factors[told] = np.quantile(ratio, levels[told], weights=weight, method="inverted_cdf")
    return factors


def temper(probabilities, temperature):
    """Probabilities whose logarithms are divided by a temperature."""
    if temperature == 1:
        return probabilities
    logarithms = np.log(np.maximum(probabilities, 1e-12)) / temperature
    powers = np.exp(logarithms - logarithms.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def fit_temperature(probabilities, labels, weight):
    """Temperature that makes held-out labels most likely; near one where few rows tell."""
    weight = weight / weight.sum()

    def loss(logarithm):
        tempered = temper(probabilities, math.exp(logarithm))
        of_label = np.take_along_axis(tempered, labels[:, None], axis=1)[:, 0]
        return -weight @ np.log(np.maximum(of_label, 1e-12)) + logarithm**2 / (2 * len(labels))

    return math.exp(minimize_scalar(loss, bounds=(-2, 4), method="bounded").x)

"""What a fit learns from rows it leaves out: a companion's weight, the scale of the spread."""

import math

import numpy as np
from scipy.optimize import minimize
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import _safe_indexing, check_random_state

from trisk.estimators.tables._companion import fit_companion, make_companion, mix

_N_FOLDS = 5
# So many held-out rows fix a weight well; larger tables need not hold out all their folds.
_ENOUGH_ROWS = 700
# A smaller ensemble than the final one says nearly the same about its errors.
_N_MEMBERS = 3
# With fewer rows a weight cannot be told from chance.
_FEWEST_ROWS = 20


class HeldOutFit:
    """Networks and companions fitted on parts of the rows and judged on the others.

    The networks are ordinary jobs of :func:`~trisk.estimators.tables._together.fit_together`,
    so that they train in one batch over all folds of a cross-validation; :meth:`finish` then
    compares.

    Parameters
    ----------
    estimator : BaseHybridTRIADS
        The estimator that is being fitted.
    X : ndarray or DataFrame of shape (n_rows, n_columns)
        Distinct training rows.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Their targets as the user gave them.
    weight : ndarray of shape (n_rows,)
        Their weights.
    """

    def __init__(self, estimator, X, y, weight):
        self.estimator = estimator
        self.X, self.y, self.weight = X, y, weight
        entropy = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
        seeds = np.random.SeedSequence([entropy, 1]).generate_state(3)
        fold_seed, network_seed, self.companion_seed = (seeds >> 1).tolist()
        self.folds = inner_folds(y, fold_seed, stratified=is_classifier(estimator))
        network = clone(estimator).set_params(
            n_members=min(_N_MEMBERS, estimator.n_members),
            random_state=network_seed,
            callbacks=None,
            **estimator._without_held_out,
        )
        self.networks = [clone(network) for _ in self.folds]

    @property
    def jobs(self):
        """Fits of the inner networks: (estimator, X, y, sample_weight)."""
        return [
            (network, *self._rows(rows))
            for network, (rows, _) in zip(self.networks, self.folds, strict=True)
        ]

    def finish(self):
        """Fit the companion; set its weight and the spread's scale from held-out answers."""
        estimator = self.estimator
        if estimator.companion is not None:
            seconds = [self._fit_companion(rows) for rows, _ in self.folds]
            estimator.companion_ = self._fit_companion(np.arange(len(self.y)))
            estimator.companion_weight_ = 0.5
        if not self.folds:
            return
        answers = []
        for index, (_, held_out) in enumerate(self.folds):
            X = _safe_indexing(self.X, held_out)
            answer, spread = self.networks[index]._network_answer(X)
            second = answer
            if estimator.companion is not None:
                second = estimator._ask_companion(seconds[index], X)
            answers.append((answer, spread, second))
        answer, spread, second = map(np.concatenate, zip(*answers, strict=True))
        held_out = np.concatenate([rows for _, rows in self.folds])
        target, weight = self.y[held_out], self.weight[held_out]
        if estimator.companion is not None:
            estimator.companion_weight_ = best_share(
                lambda share: estimator._row_losses(target, (1 - share) * answer + share * second),
                weight,
            )
        if getattr(estimator, "calibrate", False):
            center, spread = mix(estimator.companion_weight_, answer, spread, second)
            estimator.spread_scale_ = fit_spread(target - center, spread, weight)

    def _rows(self, rows):
        return _safe_indexing(self.X, rows), self.y[rows], self.weight[rows]

    def _fit_companion(self, rows):
        companion = make_companion(self.estimator, self.companion_seed)
        X, y, weight = self._rows(rows)
        return fit_companion(companion, X, self.estimator._companion_target(y), weight)


def inner_folds(y, seed, *, stratified):
    """Rows to fit on and rows to judge by.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets.
    seed : int
        Seed of the shuffling.
    stratified : bool
        Whether every part needs all classes.

    Returns
    -------
    folds : list of tuple (rows, held_out)
        Enough of five folds to hold out seven hundred rows; none where there are too few rows.
    """
    n_folds = _N_FOLDS
    if stratified:
        n_folds = min(n_folds, np.unique(y, return_counts=True)[1].min())
    if len(y) < _FEWEST_ROWS or n_folds < 2:
        return []
    splitter = (StratifiedKFold if stratified else KFold)(n_folds, shuffle=True, random_state=seed)
    n_used = math.ceil(_ENOUGH_ROWS / (len(y) / n_folds))
    return list(splitter.split(y, y))[:n_used]


def best_share(row_losses, weight):
    """Choose the companion's share from the losses of held-out rows.

    Parameters
    ----------
    row_losses : callable
        Turns a share into the losses of all rows.
    weight : ndarray of shape (n_rows,)
        Row weights.

    Returns
    -------
    share : float
        The share between 0 and 1, to two digits, that loses least. Few rows cannot tell it from
        chance: below seven hundred it is the share nearest to one half whose loss is within one
        standard error of the least.
    """
    shares = np.linspace(0, 1, 101)
    losses = np.stack([row_losses(share) for share in shares])
    weight = weight / weight.sum()
    least = np.argmin(losses @ weight)
    if len(weight) >= _ENOUGH_ROWS:
        return float(shares[least])
    excess = losses - losses[least]
    mean = excess @ weight
    error = np.sqrt(np.square((excess - mean[:, None]) * weight).sum(1))
    allowed = shares[mean <= error]
    return float(allowed[np.argmin(np.abs(allowed - 0.5))])


def fit_spread(error, spread, weight):
    """Scale a spread so that it tells the size of errors, by maximum likelihood.

    Errors are taken as Gaussian with the variance (factor · spread)² + floor².

    Parameters
    ----------
    error, spread : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Errors of held-out rows and the spreads that were given for them.
    weight : ndarray of shape (n_rows,)
        Row weights.

    Returns
    -------
    scale : ndarray of shape (2,) or (2, n_outputs)
        Factor and floor.
    """
    if error.ndim == 2:
        columns = [fit_spread(e, s, weight) for e, s in zip(error.T, spread.T, strict=True)]
        return np.stack(columns, axis=1)
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

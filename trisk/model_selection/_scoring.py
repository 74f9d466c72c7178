"""Scores of a model on folds, told while it trains, so that a poor one can be given up early."""

from collections import Counter
from contextlib import ExitStack

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from skorch.callbacks import Callback

from trisk.estimators.tables._joint_training import fits_per_batch, member_slices
from trisk.estimators.tables._networks import trains_together
from trisk.estimators.tables._together import Unit, fit_together

# A batch of networks is scored whenever another tenth of its epochs is over.
_TENTHS = 10


def in_one_process(function, *arguments):
    """Call a function that is itself one of several parallel jobs.

    Featurizers and forests inside it would otherwise hand their parts to the same cluster, whose
    workers all wait already.

    Parameters
    ----------
    function : callable
        What to call.
    *arguments
        Its arguments.

    Returns
    -------
    result : object
        What it returns.
    """
    with joblib.parallel_config(backend="threading", n_jobs=1):
        return function(*arguments)


class GivenUp(Exception):  # noqa: N818 - a signal, not an error
    """A model's scores so far are not worth going on."""


class Candidate(Unit):
    """An estimator whose folds are fitted and scored.

    Parameters
    ----------
    estimator : estimator
        Cloned for every fold.
    X, y : array-like of shape (n_samples, ...)
        All rows.
    folds : list of tuple (train, test)
        Row indices.
    scorer : callable
        As from :func:`sklearn.metrics.check_scoring`.
    report : callable, default=None
        Called with the mean score so far and the finished share of the work; may raise
        :class:`GivenUp`.
    """

    def __init__(self, estimator, X, y, folds, scorer, report=None):
        self.estimator = estimator
        self.X, self.y, self.folds = X, y, folds
        self.scorer = scorer
        self.report = report
        self.scores = np.full(len(folds), np.nan)

    def score(self, fold, fitted):
        """Score a model on the rows that a fold leaves out."""
        rows = self.folds[fold][1]
        self.scores[fold] = self.scorer(
            fitted, _safe_indexing(self.X, rows), _safe_indexing(self.y, rows)
        )

    def tell(self, share):
        """Report the mean score so far."""
        if self.report is not None and share < 1:
            self.report(np.nanmean(self.scores), share)

    def judge(self, fitted, share):
        """Score folds while they train together; remember it if they are given up.

        Parameters
        ----------
        fitted : dict of int to estimator
            Models by fold.
        share : float
            Finished share of their training.
        """
        others = np.delete(self.scores, list(fitted))
        n_before = np.count_nonzero(~np.isnan(others))
        for fold, model in fitted.items():
            self.score(fold, model)
        try:
            self.tell((n_before + share * len(fitted)) / len(self.folds))
        except GivenUp as signal:
            self.error = signal

    def fit_one_by_one(self):
        """Fit and score fold after fold."""
        for fold, (train, _) in enumerate(self.folds):
            fitted = clone(self.estimator)
            if self.report is not None and hasattr(last_step(fitted), "lend_net"):
                self._watch(fitted, fold)
            fitted.fit(_safe_indexing(self.X, train), _safe_indexing(self.y, train))
            self.score(fold, fitted)
            self.tell((fold + 1) / len(self.folds))

    def _watch(self, fitted, fold):
        """Have a model judged while it trains on a fold."""
        model = last_step(fitted)

        def judge(share):
            self.score(fold, fitted)
            self.tell((fold + share) / len(self.folds))

        # Networks of crystals train one member after the other, those of a batch all at once.
        watching = Snapshots([(model, self)], judge, getattr(model, "n_trainings", 1))
        model.set_params(callbacks=[*(model.callbacks or ()), watching])


class Snapshots(Callback):
    """Lend estimators the networks that are still training and have them judged.

    Parameters
    ----------
    owners : list of tuple (estimator, unit)
        Owners of the members, in order; those of units that are given up have left.
    judge : callable
        Called with the finished share of the training.
    n_trainings : int, default=1
        Trainings that the estimators need one after the other; the first of them is judged.
    """

    def __init__(self, owners, judge, n_trainings=1):
        self.owners = owners
        self.judge = judge
        self.n_trainings = n_trainings

    def __deepcopy__(self, memo):
        """Stay one: what it holds is no part of a net."""
        return self

    def on_epoch_end(self, net, **kwargs):
        """Judge after every tenth of the epochs but the last, which is the end of the fit."""
        done = len(net.history)
        tenth = done * _TENTHS // net.max_epochs
        judged_before = tenth == (done - 1) * _TENTHS // net.max_epochs
        if judged_before or done == net.max_epochs or not self.owners:
            return
        dict(net.callbacks_)["divergence"].check_weights(net)
        staying = [estimator for estimator, unit in self.owners if unit.error is None]
        with ExitStack() as lent:
            for estimator, members in zip(staying, member_slices(staying), strict=True):
                lent.enter_context(estimator.lend_net(net, members))
            self.judge(done / net.max_epochs / self.n_trainings)

    def on_train_end(self, net, **kwargs):
        """Leave further trainings alone."""
        self.owners = []


def last_step(estimator):
    """The estimator itself, or the end of a pipeline.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    estimator : estimator
        What predicts.
    """
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def prepare_fold(estimator, X, y, train, weight=None):
    """Clone an estimator for a fold and transform the fold's training rows for its last step.

    Parameters
    ----------
    estimator : estimator
        An estimator or pipeline.
    X, y : array-like of shape (n_samples, ...)
        All rows.
    train : ndarray of int
        The fold's training rows.
    weight : ndarray of shape (n_samples,), default=None
        Weights of all rows.

    Returns
    -------
    fold_clone : estimator
        The clone, its transformers fitted.
    job : tuple (estimator, X, y, sample_weight)
        What is left to fit.
    """
    fold_clone = clone(estimator)
    rows, target = _safe_indexing(X, train), _safe_indexing(y, train)
    if isinstance(fold_clone, Pipeline) and len(fold_clone) > 1:
        rows = fold_clone[:-1].fit_transform(rows, target)
    return fold_clone, (
        last_step(fold_clone),
        rows,
        target,
        None if weight is None else weight[train],
    )


def score_folds(estimator, X, y, folds, scorer, report=None):
    """Fit an estimator on every fold and score it on the rows left out.

    The folds of HybridTRIADS train as one batched computation. All of trisk's networks are judged
    after every tenth of their epochs, any other estimator after every fold.

    Parameters
    ----------
    estimator : estimator
        Cloned for every fold.
    X, y : array-like of shape (n_samples, ...)
        All rows.
    folds : list of tuple (train, test)
        Row indices.
    scorer : callable
        As from :func:`sklearn.metrics.check_scoring`.
    report : callable, default=None
        Called with the mean score so far and the finished share of the work; a
        :class:`GivenUp` that it raises ends the work.

    Returns
    -------
    scores : ndarray of shape (n_folds,)
        Score of every fold.

    Raises
    ------
    GivenUp
        If the report says so.
    FloatingPointError
        If a network diverges.
    """
    candidate = Candidate(estimator, X, y, folds, scorer, report)
    for _ in score_candidates([candidate]):
        if candidate.error is not None:
            raise candidate.error
    return candidate.scores


def score_candidates(candidates):
    """Fit and score several estimators, as many as gain by it in one batched computation.

    Parameters
    ----------
    candidates : list of Candidate
        Estimators, their rows and folds, which are the same for all.

    Yields
    ------
    finished : Candidate
        Each candidate once: with ``scores``, or with the ``error`` by which it was given up.
    """
    for group in _batches(candidates):
        if trains_together(last_step(group[0].estimator)):
            _fit_together(group)
        else:
            for candidate in group:
                try:
                    candidate.fit_one_by_one()
                except (GivenUp, FloatingPointError) as error:
                    candidate.error = error
        yield from group


def _batches(candidates):
    """Candidates that train at once."""
    groups: dict[object, list[Candidate]] = {}
    for candidate in candidates:
        model = last_step(candidate.estimator)
        joins = trains_together(model) and model.trains_with_others
        key = model._settings_of_batch() if joins else candidate
        groups.setdefault(key, []).append(candidate)
    for group in groups.values():
        model, folds = last_step(group[0].estimator), group[0].folds
        n_fits = None
        if trains_together(model):
            n_fits = fits_per_batch(model, len(folds[0][0]))
        # Folds of other lengths have batches of their own.
        n_folds = max(Counter(len(train) for train, _ in folds).values())
        n_batches = 1 if n_fits is None else -(-len(group) // max(1, n_fits // n_folds))
        for part in np.array_split(np.arange(len(group)), n_batches):
            yield [group[k] for k in part]


def _fit_together(candidates):
    """Fit all folds of several candidates in as few batches as shapes allow."""
    owners, fitted, jobs = [], [], []
    for candidate in candidates:
        for fold, (train, _) in enumerate(candidate.folds):
            model, job = prepare_fold(candidate.estimator, candidate.X, candidate.y, train)
            owners.append((candidate, fold))
            fitted.append(model)
            jobs.append(job)

    def watch(batch):
        """Judge the folds of a batch beside those of earlier batches."""
        of_candidate: dict[Candidate, dict[int, BaseEstimator]] = {}
        for index in batch:
            candidate, fold = owners[index]
            of_candidate.setdefault(candidate, {})[fold] = fitted[index]

        def judge(share):
            for candidate, models in of_candidate.items():
                if candidate.error is None:
                    candidate.judge(models, share)

        return Snapshots([(jobs[index][0], owners[index][0]) for index in batch], judge)

    watched = any(candidate.report is not None for candidate in candidates)
    fit_together(jobs, watch if watched else None, [candidate for candidate, _ in owners])
    for (candidate, fold), model in zip(owners, fitted, strict=True):
        if candidate.error is None:
            candidate.score(fold, model)

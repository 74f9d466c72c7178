"""Scores of a model on folds, told while it trains, so that a poor one can be given up early."""

from contextlib import ExitStack

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from skorch.callbacks import Callback

from trisk.estimators.tables._networks import trains_together
from trisk.estimators.tables._together import fit_together, member_slices

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


class Snapshots(Callback):
    """Lend estimators the networks that are still training and have them judged.

    Parameters
    ----------
    estimators : list of estimator
        Owners of the members, in order.
    judge : callable
        Called with the finished share of the training.
    n_trainings : int, default=1
        Trainings that the estimators need one after the other; the first of them is judged.
    """

    def __init__(self, estimators, judge, n_trainings=1):
        self.estimators = estimators
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
        if judged_before or done == net.max_epochs or not self.estimators:
            return
        with ExitStack() as lent:
            slices = member_slices(self.estimators)
            for estimator, members in zip(self.estimators, slices, strict=True):
                lent.enter_context(estimator.lend_net(net, members))
            self.judge(done / net.max_epochs / self.n_trainings)

    def on_train_end(self, net, **kwargs):
        """Leave further trainings alone."""
        self.estimators = []


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


def _watch(estimator, fold, score, tell):
    """Have an estimator judged while it trains on a fold."""
    model = last_step(estimator)

    def judge(share):
        score(fold, estimator)
        tell(share)

    # Networks of crystals train one member after the other, those of a batch all at once.
    watching = Snapshots([model], judge, getattr(model, "n_trainings", 1))
    model.set_params(callbacks=[*(model.callbacks or ()), watching])


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
        Called with the mean score so far and the finished share of the work; what it raises
        ends the work.

    Returns
    -------
    scores : ndarray of shape (n_folds,)
        Score of every fold.
    """
    scores = np.full(len(folds), np.nan)

    def score(fold, fitted):
        rows = folds[fold][1]
        scores[fold] = scorer(fitted, _safe_indexing(X, rows), _safe_indexing(y, rows))

    def tell(share):
        if report is not None and share < 1:
            report(np.nanmean(scores), share)

    if not trains_together(last_step(estimator)):
        for fold, (train, _) in enumerate(folds):
            fitted = clone(estimator)
            if report is not None and hasattr(last_step(fitted), "lend_net"):
                _watch(fitted, fold, score, lambda share, k=fold: tell((k + share) / len(folds)))
            fitted.fit(_safe_indexing(X, train), _safe_indexing(y, train))
            score(fold, fitted)
            tell((fold + 1) / len(folds))
        return scores

    clones, jobs = zip(*(prepare_fold(estimator, X, y, train) for train, _ in folds), strict=True)

    def watch(batch):
        """Judge the folds of a batch beside those of earlier batches."""
        n_before = np.count_nonzero(~np.isnan(scores))

        def judge(share):
            for fold in batch:
                score(fold, clones[fold])
            tell((n_before + share * len(batch)) / len(folds))

        return Snapshots([jobs[fold][0] for fold in batch], judge)

    fit_together(jobs, watch if report is not None else None)
    for fold, fitted in enumerate(clones):
        score(fold, fitted)
    return scores

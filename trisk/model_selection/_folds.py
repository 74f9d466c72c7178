"""Fitting and scoring the folds of an estimator; those of trisk's tables train as one batch."""

from contextlib import ExitStack
from numbers import Integral

import numpy as np
import torch
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from skorch.callbacks import Callback

from trisk._compat import check_method_params, check_sample_weight, routing_enabled, safe_indexing
from trisk.estimators.tables import TableNetwork, fit_together
from trisk.training.callbacks import n_in_turn

# A network that trains is scored whenever another tenth of its epochs is over.
_TENTHS = 10


def last_step(estimator):
    """The estimator itself, or the end of a pipeline."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def shuffled_folds(cv, X, y, groups=None, *, classification, random_state=0):
    """Row indices of folds, shuffled where only their number is given."""
    if isinstance(cv, Integral):
        # Tables are often sorted by chemistry: folds of neighbours would ask for extrapolation.
        splitter = StratifiedKFold if classification else KFold
        cv = splitter(int(cv), shuffle=True, random_state=random_state)
    folds = check_cv(cv, y, classifier=classification).split(X, y, groups)
    places = np.arange(X.shape[0] if hasattr(X, "shape") else len(X))  # parts may be masks
    return [(places[train], places[test]) for train, test in folds]


def batch_weight(estimator, params=None):
    """Whether folds can train as one batch, and the sample weights among parameters of `fit`."""
    params = dict(params or {})
    prefix = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    weight = params.pop(f"{prefix}sample_weight", None)
    routed = weight is not None and routing_enabled()
    return isinstance(last_step(estimator), TableNetwork) and not params and not routed, weight


def fit_folds(estimator, X, y, *, cv=5, groups=None, sample_weight=None):
    """Fit one clone of an estimator per fold, all folds in one batched computation.

    Every clone is what ``clone(estimator).fit(X[train], y[train])`` gives, up to rounding:
    transformers, scalers and target statistics see the fold's training rows only.

    Parameters
    ----------
    estimator : trisk estimator or Pipeline
        A member-batched estimator, or a pipeline that ends in one.
    X, y, cv, groups : object
        As in :func:`sklearn.model_selection.cross_validate`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of training rows.

    Returns
    -------
    estimators : list
        One fitted clone per fold.
    folds : list of tuple (train, test)
        Row indices of every fold.
    """
    X, y = indexable(X, y)
    folds = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y, groups))
    return _fit_batch(estimator, X, y, folds, sample_weight), folds


def _fit_batch(estimator, X, y, folds, sample_weight=None, watch=None):
    """Fitted clones of the folds; `watch` gets those of a batch that begins to train."""
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, X)
    fitted, jobs = [], []
    for train, _ in folds:
        model = clone(estimator)
        rows, target = safe_indexing(X, train), safe_indexing(y, train)
        if isinstance(model, Pipeline) and len(model) > 1:
            transformers = model[:-1]
            rows = transformers.fit_transform(rows, target)
            # With a memory, a pipeline fits clones of its steps.
            model.steps[:-1] = transformers.steps
        weight = None if sample_weight is None else sample_weight[train]
        fitted.append(model)
        jobs.append((last_step(model), rows, target, weight))
    fit_together(jobs, watch and (lambda batch: watch({k: fitted[k] for k in batch})))
    return fitted


def score_folds(estimator, X, y, folds, scorer, *, params=None, report=None):
    """Scores of an estimator that is fitted on every fold, on the rows that the fold leaves out.

    The networks of trisk are scored after every tenth of their epochs, any other estimator after
    every fold: `report` is called with the mean score so far and the finished share of the work.
    What it raises ends the work.
    """
    scores = np.full(len(folds), np.nan)

    def update(models, share):
        """Score models by fold, of which a share of the training is over."""
        n_others = np.isfinite(np.delete(scores, list(models))).sum()
        for fold, model in models.items():
            rows = folds[fold][1]
            scores[fold] = scorer(model, safe_indexing(X, rows), safe_indexing(y, rows))
        done = (n_others + share * len(models)) / len(folds)
        if report is not None and done < 1:
            report(np.nanmean(scores), done)

    can_batch, weight = batch_weight(estimator, params)
    if can_batch:
        watch = report and (lambda models: _Watch(models, update))
        fitted = _fit_batch(estimator, X, y, folds, weight, watch)
        update(dict(enumerate(fitted)), 1)
        return scores
    for fold, (train, _) in enumerate(folds):
        model = clone(estimator)
        network = last_step(model)
        if report and hasattr(network, "_lend_net"):
            network.set_params(
                callbacks=[*(network.callbacks or ()), _Watch({fold: model}, update)]
            )
        fit_params = check_method_params(X, params or {}, train)
        model.fit(safe_indexing(X, train), safe_indexing(y, train), **fit_params)
        update({fold: model}, 1)
    return scores


class _Watch(Callback):
    """Lends estimators the network that still trains, their members side by side, to score them."""

    def __init__(self, models, update):
        self.models = models
        self.update = update

    def __deepcopy__(self, memo):
        """Stay one: what it holds is no part of a net."""
        return self

    def on_epoch_end(self, net, **kwargs):
        """Score after every tenth of the epochs but the last, which is the end of the fit."""
        done = len(net.history)
        tenth, tenth_before = (n * _TENTHS // net.max_epochs for n in (done, done - 1))
        if tenth == tenth_before or done == net.max_epochs or not self.models:
            return
        if not all(torch.isfinite(p).all() for p in net.module_.parameters()):
            raise FloatingPointError("a weight of the network is not finite")
        owners = [last_step(model) for model in self.models.values()]
        with ExitStack() as lent:
            for k, owner in enumerate(owners):
                n_members = len(owner.architecture_.get("seeds", "1"))
                members = slice(k * n_members, (k + 1) * n_members)
                lent.enter_context(owner._lend_net(net, members))
            # Networks of crystals may train one member after the other, others all at once.
            self.update(self.models, done / net.max_epochs / n_in_turn(owners[0], net))

    def on_train_end(self, net, **kwargs):
        """Leave further trainings alone."""
        self.models = {}

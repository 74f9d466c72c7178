"""Cross-validation that trains all folds of a trisk estimator as one batched computation."""

import time
from functools import partial

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn import model_selection
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _check_sample_weight

from trisk.estimators.tables._networks import trains_together
from trisk.estimators.tables._together import fit_together
from trisk.model_selection._scoring import in_one_process, last_step, prepare_fold


def fit_folds(estimator, X, y, *, cv=5, groups=None, sample_weight=None):
    """Fit one clone of an estimator per fold, all folds in one batched computation.

    Every clone is what ``clone(estimator).fit(X[train], y[train])`` gives, up to rounding:
    transformers, scalers and target statistics see the fold's training rows only.

    Parameters
    ----------
    estimator : trisk estimator or Pipeline
        A member-batched estimator, or a pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    cv : int, splitter or iterable, default=5
        As in :func:`sklearn.model_selection.cross_validate`.
    groups : array-like of shape (n_samples,), default=None
        Group labels for the splitter.
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
    splitter = model_selection.check_cv(cv, y, classifier=is_classifier(estimator))
    folds = list(splitter.split(X, y, groups))
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X)
    prepared = [prepare_fold(estimator, X, y, train, sample_weight) for train, _ in folds]
    clones, jobs = map(list, zip(*prepared, strict=True))
    fit_together(jobs)
    return clones, folds


def cross_validate(estimator, X, y, *, cv=5, groups=None, scoring=None, n_jobs=None):
    """Cross-validate; a trisk estimator trains all folds at once.

    A drop-in for :func:`sklearn.model_selection.cross_validate` that returns fitted estimators
    and row indices too. Any other estimator is passed on to scikit-learn.

    Parameters
    ----------
    estimator : estimator
        A trisk estimator, a pipeline that ends in one, or any scikit-learn estimator.
    X : array-like of shape (n_samples, ...)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    cv : int, splitter or iterable, default=5
        Folds; :func:`trisk.model_selection.matbench_folds` gives the official ones.
    groups : array-like of shape (n_samples,), default=None
        Group labels for the splitter.
    scoring : str, callable, list or dict, default=None
        As in scikit-learn.
    n_jobs : int, default=None
        Processes for folds, by joblib's current backend. With one, a trisk estimator trains all
        folds as one batch; with more, each process trains folds one by one.

    Returns
    -------
    results : dict
        ``test_score`` (or ``test_<name>``), ``fit_time`` and ``score_time`` in seconds (a
        batched fit reports its time divided by the number of folds), ``estimator`` and
        ``indices``.

    See Also
    --------
    fit_folds : The fitted estimators alone.

    Examples
    --------
    >>> import numpy as np
    >>> from trisk import HybridTRIADSRegressor, cross_validate
    >>> X = np.random.default_rng(0).uniform(size=(60, 3))
    >>> model = HybridTRIADSRegressor(n_members=2, max_epochs=10, random_state=0)
    >>> results = cross_validate(model, X, X[:, 0], cv=3, scoring="neg_mean_absolute_error")
    >>> results["test_score"].shape
    (3,)
    """
    if not trains_together(last_step(estimator)) or effective_n_jobs(n_jobs) > 1:
        return _validate_folds(estimator, X, y, cv, groups, scoring, n_jobs)
    started = time.perf_counter()
    estimators, folds = fit_folds(estimator, X, y, cv=cv, groups=groups)
    fit_time = (time.perf_counter() - started) / len(folds)
    scorer = check_scoring(estimator, scoring)
    scores, score_times = [], []
    for fitted, (_, test) in zip(estimators, folds, strict=True):
        started = time.perf_counter()
        score = scorer(fitted, _safe_indexing(X, test), _safe_indexing(y, test))
        scores.append(score if isinstance(score, dict) else {"score": score})
        score_times.append(time.perf_counter() - started)
    return {
        "fit_time": np.full(len(folds), fit_time),
        "score_time": np.array(score_times),
        **{f"test_{name}": np.array([s[name] for s in scores]) for name in scores[0]},
        "estimator": estimators,
        "indices": {
            "train": tuple(train for train, _ in folds),
            "test": tuple(test for _, test in folds),
        },
    }


def _validate_folds(estimator, X, y, cv, groups, scoring, n_jobs):
    """Let scikit-learn validate fold by fold, each within its process and no further."""
    X, y, groups = indexable(X, y, groups)
    splitter = model_selection.check_cv(cv, y, classifier=is_classifier(estimator))
    validate = partial(
        model_selection.cross_validate,
        scoring=scoring,
        return_estimator=True,
        return_indices=True,
    )
    if effective_n_jobs(n_jobs) == 1:
        return validate(estimator, X, y, cv=splitter, groups=groups)
    parts = Parallel(n_jobs=n_jobs)(
        delayed(in_one_process)(partial(validate, cv=[fold]), estimator, X, y)
        for fold in splitter.split(X, y, groups)
    )
    indices = [part.pop("indices") for part in parts]
    estimators = [fitted for part in parts for fitted in part.pop("estimator")]
    return {
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        "estimator": estimators,
        "indices": {
            kind: tuple(rows for found in indices for rows in found[kind])
            for kind in ("train", "test")
        },
    }

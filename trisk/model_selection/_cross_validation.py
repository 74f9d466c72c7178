"""Cross-validation with scikit-learn's interface and results."""

import time
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn import model_selection
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator

from trisk.model_selection._folds import batch_weight, fit_folds


def cross_validate(
    estimator, X, y=None, *, groups=None, params=None, cv=5, n_jobs=None, **settings
):
    """Cross-validate; a trisk estimator of tables trains all folds at once.

    A drop-in for :func:`sklearn.model_selection.cross_validate`, to which any other estimator is
    handed, and which scores in all cases.

    Parameters
    ----------
    estimator : estimator
        A trisk estimator, a pipeline that ends in one, or any scikit-learn estimator.
    X, y, groups, params : object
        As in scikit-learn.
    cv : int, splitter or iterable, default=5
        Folds; :func:`trisk.model_selection.matbench_folds` gives the official ones.
    n_jobs : int, default=None
        Processes for folds, by joblib's current backend. With one, a trisk estimator trains all
        folds as one batch; with more, each process trains folds one by one.
    **settings
        Further parameters of scikit-learn's function; ``return_estimator`` and
        ``return_indices`` are true here unless told otherwise.

    Returns
    -------
    results : dict
        ``test_score`` (or ``test_<name>``), ``train_score`` (or ``train_<name>``) if asked for,
        ``fit_time`` and ``score_time`` in seconds (a batched fit reports its time divided by the
        number of folds), ``estimator`` and ``indices``.

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
    settings = {"return_estimator": True, "return_indices": True} | settings
    can_batch, weight = batch_weight(estimator, params)
    if can_batch and effective_n_jobs(n_jobs) == 1:
        classifier = is_classifier(estimator)
        cv = list(model_selection.check_cv(cv, y, classifier=classifier).split(X, y, groups))
        groups = None
        try:
            return _fit_and_score(estimator, X, y, cv, weight, **settings)
        except (FloatingPointError, ValueError):
            # One by one, scikit-learn gives the error score to the folds that are at fault.
            if settings.get("error_score") == "raise":
                raise
    return model_selection.cross_validate(
        estimator, X, y, groups=groups, cv=cv, n_jobs=n_jobs, params=params, **settings
    )


def _fit_and_score(estimator, X, y, folds, weight, *, return_estimator, return_indices, **settings):
    """Fit all folds at once, and have scikit-learn score them."""
    started = time.perf_counter()
    fitted, _ = fit_folds(estimator, X, y, cv=folds, sample_weight=weight)
    seconds = (time.perf_counter() - started) / len(folds)
    parts = [
        model_selection.cross_validate(FrozenEstimator(model), X, y, cv=[fold], **settings)
        for model, fold in zip(fitted, folds, strict=True)
    ]
    results: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    results["fit_time"] = np.full(len(folds), seconds)
    if return_estimator:
        results["estimator"] = fitted
    if return_indices:
        train, test = zip(*folds, strict=True)
        results["indices"] = {"train": train, "test": test}
    return results

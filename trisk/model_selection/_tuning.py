"""Tuning in one call."""

from trisk.model_selection._search import OptunaSearch


def optuna_search(
    estimator,
    X,
    y,
    *,
    n_trials=30,
    cv=5,
    groups=None,
    scoring=None,
    space=None,
    storage=None,
    study_name=None,
    pruner=None,
    sampler=None,
    timeout=None,
    refit=True,
    trials_together=1,
    n_jobs=None,
    random_state=None,
    verbose=1,
):
    """Tune an estimator by cross-validation and fit it on all rows with what was found.

    The same as :class:`OptunaSearch` and its ``fit``.

    Parameters
    ----------
    estimator : estimator
        What to tune, alone or in a pipeline.
    X : array-like of shape (n_samples, ...)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    n_trials : int, default=30
        Trials of the study, those of earlier runs and other processes included.
    cv : int, splitter or iterable, default=5
        Folds that judge a trial; a number means shuffled ones.
    groups : array-like of shape (n_samples,), default=None
        Group labels for the splitter.
    scoring : str or callable, default=None
        Score to maximise; the estimator's own if None.
    space : dict of str to optuna.distributions.BaseDistribution, default=None
        What to tune; :func:`search_space` of the estimator if None.
    storage : str, path-like or optuna.storages.BaseStorage, default=None
        Where the study lives; see :class:`OptunaSearch`.
    study_name : str, default=None
        Name of the study in the storage.
    pruner : optuna.pruners.BasePruner, default=None
        Which trials to give up early.
    sampler : optuna.samplers.BaseSampler, default=None
        How to choose parameters.
    timeout : float, default=None
        Seconds after which no further trial is started.
    refit : bool, default=True
        Whether to fit the estimator on all rows with the best parameters.
    trials_together : int, default=1
        Trials that are drawn at once, and train as one batched network where shapes allow.
    n_jobs : int, default=None
        Processes that run trials.
    random_state : int or None, default=None
        Seed of the study.
    verbose : int, default=1
        Whether to show a progress bar.

    Returns
    -------
    search : OptunaSearch
        Fitted: ``best_estimator_``, ``best_params_``, ``trials_dataframe()``, ``study_``.

    Raises
    ------
    ValueError
        If there is nothing to tune, the storage's study was made of other data, or no trial
        came to an end.

    Examples
    --------
    >>> import numpy as np
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.linear_model import Ridge
    >>> from trisk.model_selection import optuna_search
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> space = {"alpha": FloatDistribution(1e-3, 1e3, log=True)}
    >>> search = optuna_search(
    ...     Ridge(), X, X @ [1.0, 2.0, 3.0], n_trials=5, space=space, random_state=0, verbose=0
    ... )
    >>> search.best_params_["alpha"] < 1
    True
    """
    search = OptunaSearch(
        estimator,
        n_trials=n_trials,
        cv=cv,
        scoring=scoring,
        space=space,
        storage=storage,
        study_name=study_name,
        pruner=pruner,
        sampler=sampler,
        timeout=timeout,
        refit=refit,
        trials_together=trials_together,
        n_jobs=n_jobs,
        random_state=random_state,
        verbose=verbose,
    )
    return search.fit(X, y, groups=groups)

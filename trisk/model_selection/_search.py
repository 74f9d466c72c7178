"""Search for hyperparameters by Optuna, with scikit-learn's interface."""

import os
import re
import time
from dataclasses import KW_ONLY, dataclass
from typing import Any

import joblib
import numpy as np
import optuna
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import indexable
from sklearn.utils.validation import check_is_fitted

from trisk._compat import BaseSearchCV
from trisk.model_selection._folds import shuffled_folds
from trisk.model_selection._study import (
    DIVERGED,
    FINISHED,
    Objective,
    PerTrialSampler,
    open_study,
    progress_bar,
    run_trials,
)
from trisk.persistence import RUN_PARAMETERS


def search_space(estimator):
    """Collect what an estimator and all that it is made of publish as worth tuning.

    Parameters
    ----------
    estimator : estimator
        A trisk estimator, or a pipeline or other composite that holds some.

    Returns
    -------
    distributions : dict of str to optuna.distributions.BaseDistribution
        By parameter, named as ``set_params`` takes them.

    Examples
    --------
    >>> from trisk import composition_pipeline
    >>> from trisk.model_selection import search_space
    >>> "model__learning_rate" in search_space(composition_pipeline("steels"))
    True
    """
    parts = {"": estimator} | {
        f"{name}__": part
        for name, part in estimator.get_params(deep=True).items()
        # What is fitted already stays as it is.
        if not {"pretrained", "pretrainer"} & set(name.split("__"))
    }
    return {
        f"{prefix}{name}": distribution
        for prefix, part in parts.items()
        if hasattr(part, "search_space") and not isinstance(part, type)
        for name, distribution in part.search_space().items()
    }


def optuna_search(estimator, X, y=None, *, groups=None, params=None, **settings):
    """Tune an estimator by cross-validation and fit it on all rows with what was found.

    Parameters
    ----------
    estimator : estimator
        What to tune, alone or in a pipeline.
    X, y, groups, params : object
        As for :meth:`OptunaSearch.fit`; `params` is a dict of further ones, as ``sample_weight``.
    **settings
        Parameters of :class:`OptunaSearch`, such as ``n_trials``, ``cv`` and ``storage``.

    Returns
    -------
    search : OptunaSearch
        Fitted: ``best_estimator_``, ``best_params_``, ``trials_dataframe()``, ``study_``.

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
    return OptunaSearch(estimator, **settings).fit(X, y, groups=groups, **(params or {}))


@dataclass(repr=False, eq=False)
class OptunaSearch(BaseSearchCV):
    """Search for hyperparameters by Optuna, pruned by fold and by epoch, resumable, shared.

    The folds of a trisk estimator train as one batched computation, which is judged after every
    tenth of its epochs; any other estimator is judged fold by fold. A trial that falls behind the
    median of earlier ones is given up.

    Parameters
    ----------
    estimator : estimator
        What to tune, alone or in a pipeline.
    n_trials : int, default=30
        Trials of the study, those of earlier runs and other processes included; workers that end
        one at the same moment may make one more each.
    cv : int, splitter or iterable, default=5
        Folds that judge a trial; a number means shuffled ones.
    scoring : str or callable, default=None
        Score to maximise; the estimator's own if None.
    space : dict of str to optuna.distributions.BaseDistribution, default=None
        What to tune; :func:`search_space` of the estimator if None.
    storage : str, path-like or optuna.storages.BaseStorage, default=None
        Where the study lives: memory (None), a SQLite file (name ends in ``.db`` or
        ``.sqlite``), Optuna's journal file (``.log`` or ``.journal``), or the URL of a database
        such as ``"postgresql://user@host/studies"``. Whoever fits with the same storage and
        name works on the same study; a run that was killed is resumed by running it again.
    study_name : str, default=None
        Name of the study in the storage; ``"trisk"`` if None.
    pruner : optuna.pruners.BasePruner, default=None
        Which trials to give up early; :class:`optuna.pruners.MedianPruner` if None,
        :class:`optuna.pruners.NopPruner` for none. Steps are percent of a trial's work.
    sampler : optuna.samplers.BaseSampler, default=None
        How to choose parameters; a tree-structured Parzen estimator seeded anew for every trial
        if None.
    timeout : float, default=None
        Seconds after which no further trial is started.
    refit : bool, default=True
        Whether to fit the estimator on all rows with the best parameters.
    n_jobs : int, default=None
        Processes that run trials, by joblib's current backend; they need a storage that they
        can share.
    random_state : int or None, default=None
        Seed of the study. One process draws the same trials again, with or without being
        stopped by Ctrl-C.
    verbose : int, default=1
        Whether to show a progress bar.

    Attributes
    ----------
    best_estimator_ : estimator
        The estimator with the best parameters, fitted on all rows; only with ``refit``.
    best_params_, best_score_ : dict, float
        The best parameters, and their mean score over the folds.
    study_ : optuna.Study
        The study, for Optuna's own plots and tools.
    scorer_, n_splits_, refit_time_ : callable, int, float
        The scorer, the number of folds, and the seconds of the last fit.

    See Also
    --------
    optuna_search : The same in one call.
    sklearn.model_selection.GridSearchCV : All combinations of a few values.

    Notes
    -----
    Several processes and machines may run the same study at once. In a database every trial shows
    heartbeats; one without any for a minute is put back into the queue, and a search returns when
    as many trials as it asks for are finished. A journal file has no heartbeats: a killed trial is
    replaced by another, and processes that end together may finish a trial too many each.
    """

    estimator: Any
    _: KW_ONLY
    n_trials: int = 30
    cv: Any = 5
    scoring: Any = None
    space: dict[str, Any] | None = None
    storage: Any = None
    study_name: str | None = None
    pruner: Any = None
    sampler: Any = None
    timeout: float | None = None
    refit: bool = True
    n_jobs: int | None = None
    random_state: int | None = None
    verbose: int = 1

    def fit(self, X, y=None, groups=None, **params):
        """Run the trials that the study still lacks, and fit with the best parameters.

        Parameters
        ----------
        X, y : array-like of shape (n_samples, ...)
            Inputs and targets; None where the inputs carry them, as frames of a potential do.
        groups : array-like of shape (n_samples,), default=None
            Group labels for the splitter.
        **params
            Parameters of the estimator's ``fit``, such as ``sample_weight``; those with a value
            per row are split with the rows.

        Returns
        -------
        self : OptunaSearch
            Fitted.

        Raises
        ------
        ValueError
            If there is nothing to tune, the storage's study was made of other data, or no trial
            came to an end.
        """
        if not isinstance(self.n_trials, int | np.integer) or self.n_trials < 1:
            raise ValueError(f"n_trials must be a positive integer, not {self.n_trials!r}.")
        X, y, groups = indexable(X, y, groups)
        folds = shuffled_folds(self.cv, X, y, groups, classification=is_classifier(self.estimator))
        self.scorer_, self.n_splits_ = check_scoring(self.estimator, self.scoring), len(folds)
        self.multimetric_ = False
        space = search_space(self.estimator) if self.space is None else self.space
        if not space:
            raise ValueError(
                f"{type(self.estimator).__name__} publishes no search space. Pass "
                "space={'parameter': optuna.distributions.FloatDistribution(low, high), …}."
            )
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        if n_jobs > 1 and not isinstance(self.storage, str | os.PathLike):
            raise ValueError(
                f"n_jobs={self.n_jobs} processes need a storage that they can share: pass "
                "storage='study.log' (a journal file) or the URL of a database."
            )
        values: Any
        try:
            values = np.asarray(y)
        except ValueError:  # an array for each structure, with a value for each of its atoms
            values = [np.asarray(of_structure) for of_structure in y]
        made_of = joblib.hash((_describe(self.estimator, self.scoring, X), values, folds, params))
        objective = Objective(self.estimator, space, X, y, folds, self.scorer_, params)
        if n_jobs > 1:
            joblib.Parallel(n_jobs=n_jobs)(
                joblib.delayed(_run_trials)(clone(self), made_of, objective, verbose)
                for verbose in [self.verbose] + [0] * (n_jobs - 1)
            )
            self.study_, _ = self._open_study(made_of)
        else:
            self.study_ = _run_trials(self, made_of, objective, self.verbose)
        completed = self.study_.get_trials(states=FINISHED[:1])
        if not completed:
            raise ValueError(
                "No trial came to an end: all were pruned, diverged or ran out of time "
                f"(timeout={self.timeout!r})."
            )
        # PostgreSQL refuses the query of study.best_trial by psycopg 3 until Optuna 4.5.
        best = max(completed, key=lambda trial: trial.value)
        self.best_params_, self.best_score_ = best.params, best.value
        if self.refit:
            started = time.perf_counter()
            self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_)
            self.best_estimator_.fit(X, y, **params)
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
            self.refit_time_ = time.perf_counter() - started
        return self

    def _open_study(self, made_of):
        """Create or join the study, and refuse one of other data."""
        pruner = self.pruner or optuna.pruners.MedianPruner(n_startup_trials=5)
        study, heartbeats = open_study(self.storage, self.study_name or "trisk", pruner)
        attributes = study.user_attrs
        if attributes.get("made_of", made_of) != made_of:
            raise ValueError(
                f"The study {study.study_name!r} in {self.storage!r} was made with another "
                "estimator, scoring, other columns, targets or folds. Pass another study_name or "
                "storage, and an integer random_state to a splitter that shuffles."
            )
        seed = self.random_state
        if seed is None:
            seed = attributes.get("seed", int(np.random.default_rng().integers(2**32)))
        for name, value in {"made_of": made_of, "seed": seed}.items():
            study.set_user_attr(name, value)
        study.sampler = self.sampler or PerTrialSampler(seed)
        return study, heartbeats

    def __getstate__(self):
        """Without the study, whose storage belongs to this session."""
        return {k: v for k, v in super().__getstate__().items() if k != "study_"}

    def __sklearn_is_fitted__(self):
        return hasattr(self, "best_estimator_" if self.refit else "best_params_")

    def trials_dataframe(self):
        """Tabulate the finished trials.

        Returns
        -------
        trials : pandas.DataFrame of shape (n_trials, n_columns)
            By number: ``state`` (``"complete"``, ``"pruned"`` or, if the network diverged,
            ``"diverged"``), ``score`` (of complete ones), ``score_std`` (over folds),
            ``seconds`` and the parameters.
        """
        check_is_fitted(self, "study_")
        rows = {
            t.number: {
                "state": DIVERGED if DIVERGED in t.user_attrs else t.state.name.lower(),
                # What a pruned trial reached on part of its work compares with nothing.
                "score": t.value if t.state == FINISHED[0] else np.nan,
                "score_std": np.std(t.user_attrs.get("fold_scores", np.nan)),
                "seconds": t.duration.total_seconds(),
                **t.params,
            }
            for t in self.study_.get_trials(deepcopy=False, states=FINISHED)
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trial")

    def predict(self, X, **parameters):
        """Predict with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Inputs.
        **parameters
            Passed on, such as ``return_std=True``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        """
        if not parameters:
            return super().predict(X)
        check_is_fitted(self)
        return self.best_estimator_.predict(X, **parameters)


def _describe(estimator, scoring, X):
    """What makes trials comparable beside targets and folds, without what changes no score."""
    free = [n for n in estimator.get_params() if n.rpartition("__")[2] in RUN_PARAMETERS]
    parameters = clone(estimator).set_params(**dict.fromkeys(free)).get_params()
    columns = list(X.columns) if hasattr(X, "columns") else getattr(X, "shape", ())[1:]
    text = repr((type(estimator).__name__, sorted(parameters.items()), scoring, columns))
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # where functions are in memory


def _run_trials(search, made_of, objective, verbose):
    """Run trials in this process, which opens the storage itself."""
    study, heartbeats = search._open_study(made_of)
    with progress_bar(study, search.n_trials, enabled=bool(verbose)) as show:
        run_trials(study, objective, search.n_trials, heartbeats, search.timeout, show)
    return study

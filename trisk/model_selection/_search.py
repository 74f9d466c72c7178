"""Search for hyperparameters by Optuna, with scikit-learn's interface."""

import time

import joblib
import numpy as np
import optuna
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from trisk.model_selection._folds import shuffled_folds
from trisk.model_selection._objective import Objective, search_space
from trisk.model_selection._scoring import in_one_process
from trisk.model_selection._study import PerTrialSampler, live_trials, open_study, run_trials
from trisk.model_selection._study_progress import StudyProgress

_FINGERPRINT, _SEED = "made_of", "seed"


def _best_has(name):
    def check(self):
        getattr(getattr(self, "best_estimator_", self.estimator), name)
        return True

    return check


class OptunaSearch(MetaEstimatorMixin, BaseEstimator):
    """Search for hyperparameters by Optuna, pruned by fold and by epoch, resumable, shared.

    The folds of a trisk estimator train as one batched computation, which is judged after every
    tenth of its epochs on the rows that the folds leave out; any other estimator is judged fold
    by fold. A trial that falls behind the median of earlier ones is given up.

    Parameters
    ----------
    estimator : estimator
        What to tune, alone or in a pipeline.
    n_trials : int, default=30
        Trials of the study, those of earlier runs and other processes included.
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
    trials_together : int, default=1
        Trials that are drawn at once. Those whose networks have equal shapes train as one
        batched network; see the notes.
    n_jobs : int, default=None
        Processes that run trials, by joblib's current backend; they need a storage that they
        can share.
    random_state : int or None, default=None
        Seed of the study. One process draws the same trials again, with or without
        interruptions.
    verbose : int, default=1
        Whether to show a progress bar.

    Attributes
    ----------
    best_estimator_ : estimator
        The estimator with the best parameters, fitted on all rows; only with ``refit``.
    best_params_ : dict
        The best parameters.
    best_score_ : float
        Their mean score over the folds.
    study_ : optuna.Study
        The study, for Optuna's own plots and tools.
    scorer_ : callable
        The scorer.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds of the last fit.

    See Also
    --------
    optuna_search : The same in one call.
    sklearn.model_selection.GridSearchCV : All combinations of a few values.

    Notes
    -----
    A process that dies is noticed at once by others on its machine. One on another machine is
    noticed by its missing heartbeat after a minute, in a database; a journal file has no
    heartbeats, and its trial is then taken up when the search is next run on that machine.

    With ``trials_together``, so many trials are drawn before the first of them is run, and know
    nothing of one another. Those that train a HybridTRIADS or a composition encoder become members
    of one network if they differ only in ``learning_rate``, ``weight_decay``, ``dropout``,
    ``frequency_scale``, ``loss``, ``class_weight``, ``scaling``, ``n_neighbors`` (None apart) and
    in other steps of a pipeline. Their results are those that they would have alone; one that is
    given up leaves the network. All others run one after the other, and so do networks with
    ``patience`` or callbacks, and on a CPU those that are too large to gain from it. Within the
    whole published space equal shapes are rare: pass a ``space`` of these parameters. Four trials
    on steels then run 1.5 times as fast with one network per ensemble, 1.3 times with two or four
    and 1.1 times with eight (``benchmarks/batched_trials.py``): folds are batched already.

    Examples
    --------
    >>> import numpy as np
    >>> from trisk import HybridTRIADSRegressor
    >>> from trisk.model_selection import OptunaSearch
    >>> X = np.random.default_rng(0).uniform(size=(40, 2))
    >>> model = HybridTRIADSRegressor(n_members=1, max_epochs=5, random_state=0)
    >>> search = OptunaSearch(model, n_trials=2, cv=2, random_state=0, verbose=0)
    >>> search.fit(X, X[:, 0]).predict(X).shape
    (40,)
    """

    def __init__(
        self,
        estimator,
        *,
        n_trials=30,
        cv=5,
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
        self.estimator = estimator
        self.n_trials = n_trials
        self.cv = cv
        self.scoring = scoring
        self.space = space
        self.storage = storage
        self.study_name = study_name
        self.pruner = pruner
        self.sampler = sampler
        self.timeout = timeout
        self.refit = refit
        self.trials_together = trials_together
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_estimator = get_tags(self.estimator)
        tags.estimator_type = of_estimator.estimator_type
        tags.classifier_tags = of_estimator.classifier_tags
        tags.regressor_tags = of_estimator.regressor_tags
        tags.target_tags = of_estimator.target_tags
        tags.input_tags = of_estimator.input_tags
        return tags

    def fit(self, X, y, groups=None):
        """Run the trials that the study still lacks, and fit with the best parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            Group labels for the splitter.

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
        for name in ("n_trials", "trials_together"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}.")
        X, y, groups = indexable(X, y, groups)
        folds = shuffled_folds(self.cv, X, y, groups, classification=is_classifier(self.estimator))
        self.scorer_, self.n_splits_ = check_scoring(self.estimator, self.scoring), len(folds)
        space = search_space(self.estimator) if self.space is None else self.space
        if not space:
            raise ValueError(
                f"{type(self.estimator).__name__} publishes no search space. Pass "
                "space={'parameter': optuna.distributions.FloatDistribution(low, high), …}."
            )
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        if n_jobs > 1 and (self.storage is None or not isinstance(self.storage, str)):
            raise ValueError(
                f"n_jobs={self.n_jobs} processes need a storage that they can share: pass "
                "storage='study.log' (a journal file) or the URL of a database."
            )
        made_of = joblib.hash((type(self.estimator).__name__, np.asarray(y), folds))
        self.study_ = self._open_study(made_of)
        objective = Objective(self.estimator, space, X, y, folds, self.scorer_)
        with self._progress(self.study_) as show:
            if n_jobs > 1:
                joblib.Parallel(n_jobs=n_jobs)(
                    joblib.delayed(in_one_process)(_run_worker, clone(self), made_of, objective)
                    for _ in range(n_jobs)
                )
                show(self.study_)
            else:
                run_trials(
                    self.study_,
                    objective,
                    self.n_trials,
                    together=self.trials_together,
                    timeout=self.timeout,
                    on_progress=show,
                )
        self._take_best(X, y)
        return self

    def _open_study(self, made_of):
        """Create or join the study, and refuse one of other data."""
        pruner = self.pruner or optuna.pruners.MedianPruner(n_startup_trials=5)
        study = open_study(self.storage, self.study_name or "trisk", pruner)
        attributes = study.user_attrs
        if attributes.get(_FINGERPRINT, made_of) != made_of:
            raise ValueError(
                f"The study {study.study_name!r} in {self.storage!r} was made with another "
                "estimator, other targets or other folds. Pass another study_name or storage, "
                "and an integer random_state to a splitter that shuffles."
            )
        study.set_user_attr(_FINGERPRINT, made_of)
        if self.sampler is not None:
            study.sampler = self.sampler
            return study
        seed = self.random_state
        if seed is None:
            seed = attributes.get(_SEED, int(np.random.default_rng().integers(2**32)))
            study.set_user_attr(_SEED, seed)
        study.sampler = PerTrialSampler(seed)
        return study

    def _progress(self, study):
        return StudyProgress(self.n_trials, study, enabled=bool(self.verbose))

    def _take_best(self, X, y):
        complete = [t for t in live_trials(self.study_) if t.state.name == "COMPLETE"]
        if not complete:
            raise ValueError(
                "No trial came to an end: all were pruned, diverged or ran out of time "
                f"(timeout={self.timeout!r})."
            )
        self.best_params_ = self.study_.best_params
        self.best_score_ = self.study_.best_value
        if self.refit:
            started = time.perf_counter()
            self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_)
            self.best_estimator_.fit(X, y)
            self.refit_time_ = time.perf_counter() - started

    def __sklearn_is_fitted__(self):
        return hasattr(self, "best_estimator_" if self.refit else "best_params_")

    def trials_dataframe(self):
        """Tabulate the trials.

        Returns
        -------
        trials : pandas.DataFrame of shape (n_trials, n_columns)
            By number: ``state``, ``score`` (of complete ones), ``score_std`` (over folds),
            ``seconds`` and the parameters. A trial whose process died is listed as the one that
            replaced it.
        """
        if not hasattr(self, "study_"):
            check_is_fitted(self)
        rows = {
            t.number: {
                "state": t.state.name.lower(),
                # What a pruned trial reached on part of its work compares with nothing.
                "score": t.value if t.state.name == "COMPLETE" else np.nan,
                "score_std": np.std(t.user_attrs.get("fold_scores", np.nan)),
                "seconds": t.duration.total_seconds() if t.duration else np.nan,
                **t.params,
            }
            for t in live_trials(self.study_)
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trial")

    @property
    def classes_(self):
        """Class labels of the best estimator."""
        check_is_fitted(self)
        return self.best_estimator_.classes_

    @property
    def n_features_in_(self):
        """Number of columns seen in `fit`."""
        check_is_fitted(self)
        return self.best_estimator_.n_features_in_

    @available_if(_best_has("predict"))
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
        check_is_fitted(self)
        return self.best_estimator_.predict(X, **parameters)

    @available_if(_best_has("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Inputs.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X)

    def score(self, X, y):
        """Score the best estimator by the search's own scorer.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Inputs.
        y : array-like of shape (n_samples,)
            Targets.

        Returns
        -------
        score : float
            Higher is better.
        """
        check_is_fitted(self)
        return self.scorer_(self.best_estimator_, X, y)


def _run_worker(search, made_of, objective):
    """Run trials in a process of its own, which opens the storage itself."""
    run_trials(
        search._open_study(made_of),
        objective,
        search.n_trials,
        together=search.trials_together,
        timeout=search.timeout,
    )

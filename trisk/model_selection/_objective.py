"""What is worth tuning, and how good a trial's parameters are."""

from optuna.exceptions import UpdateFinishedTrialError
from sklearn.base import clone

from trisk.model_selection._scoring import Candidate, GivenUp, score_candidates

_SUGGEST = {
    "FloatDistribution": ("suggest_float", ("low", "high", "step", "log")),
    "IntDistribution": ("suggest_int", ("low", "high", "step", "log")),
    "CategoricalDistribution": ("suggest_categorical", ("choices",)),
}


def search_space(estimator):
    """Collect what an estimator and all that it is made of publish as worth tuning.

    Parameters
    ----------
    estimator : estimator
        A trisk estimator, or a pipeline or other composite that holds some.

    Returns
    -------
    distributions : dict of str to optuna.distributions.BaseDistribution
        By parameter, named as ``set_params`` takes them: ``model__dropout`` in a pipeline whose
        last step is ``model``.

    Examples
    --------
    >>> from trisk import composition_pipeline
    >>> from trisk.model_selection import search_space
    >>> search_space(composition_pipeline("steels"))["model__dropout"]
    FloatDistribution(high=0.4, log=False, low=0.0, step=None)
    """
    parts = {"": estimator} | {f"{k}__": v for k, v in estimator.get_params(deep=True).items()}
    return {
        f"{prefix}{name}": distribution
        for prefix, part in parts.items()
        if hasattr(part, "search_space") and not isinstance(part, type)
        for name, distribution in part.search_space().items()
    }


class Objective:
    """Mean scores of trials' parameters over the folds.

    Parameters
    ----------
    estimator : estimator
        What is tuned; cloned for every trial.
    space : dict of str to optuna.distributions.BaseDistribution
        What to draw.
    X, y : array-like of shape (n_samples, ...)
        All rows.
    folds : list of tuple (train, test)
        Row indices.
    scorer : callable
        As from :func:`sklearn.metrics.check_scoring`.
    """

    def __init__(self, estimator, space, X, y, folds, scorer):
        self.estimator = estimator
        self.space = space
        self.X = X
        self.y = y
        self.folds = folds
        self.scorer = scorer

    def draw(self, trial):
        """Draw a trial's parameters."""
        for name, distribution in self.space.items():
            method, attributes = _SUGGEST[type(distribution).__name__]
            getattr(trial, method)(name, **{a: getattr(distribution, a) for a in attributes})

    def __call__(self, trials):
        """Run trials, in one batch where their networks allow it.

        Parameters
        ----------
        trials : list of optuna.Trial
            Trials with their parameters drawn.

        Yields
        ------
        trial : optuna.Trial
            Each of them, as soon as it is finished.
        outcome : ndarray of shape (n_folds,), GivenUp or FloatingPointError
            Its scores, or why there are none.
        """
        candidates = {
            Candidate(
                clone(self.estimator).set_params(**trial.params),
                self.X,
                self.y,
                self.folds,
                self.scorer,
                _Report(trial),
            ): trial
            for trial in trials
        }
        for finished in score_candidates(list(candidates)):
            yield candidates[finished], finished.error or finished.scores


class _Report:
    """Tells a trial its scores on the way, once each."""

    def __init__(self, trial):
        self.trial = trial
        self.told = 0

    def __call__(self, score, share):
        step = round(100 * share)
        if step <= self.told:
            return  # its batch diverged by another's fault, and it trains again
        self.told = step
        try:
            self.trial.report(score, step)
        except UpdateFinishedTrialError:
            raise GivenUp from None  # others took this process for lost, and run the trial
        if self.trial.should_prune():
            raise GivenUp

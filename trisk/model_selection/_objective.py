"""What is worth tuning, and how good a trial's parameters are."""

import optuna
from sklearn.base import clone

from trisk.model_selection._scoring import score_folds

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
    """Mean score of a trial's parameters over the folds.

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

    def __call__(self, trial):
        estimator = clone(self.estimator).set_params(**self._draw(trial))

        def report(score, share):
            trial.report(score, round(100 * share))
            if trial.should_prune():
                raise optuna.TrialPruned

        scores = score_folds(estimator, self.X, self.y, self.folds, self.scorer, report)
        trial.set_user_attr("fold_scores", scores.tolist())
        return scores.mean()

    def _draw(self, trial):
        drawn = {}
        for name, distribution in self.space.items():
            method, attributes = _SUGGEST[type(distribution).__name__]
            arguments = {a: getattr(distribution, a) for a in attributes}
            drawn[name] = getattr(trial, method)(name, **arguments)
        return drawn

"""The mean of several regressors, with uncertainty from rows that they left out."""

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import VotingRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils.validation import check_is_fitted, column_or_1d

from trisk._compat import check_method_params, check_sample_weight, safe_indexing
from trisk.estimators.calibration import calibrate_by, forget_calibration, structure_folds
from trisk.estimators.equality import equal_rows
from trisk.estimators.tasks import RegressorTask, refuse_classes
from trisk.training.datasets import draw_seed

# Parameters of the regressors in fits on inner folds.
_INNER = {"unknown_elements": "ignore", "checkpoint": None}


class CalibratedVotingRegressor(VotingRegressor):
    """Mean of regressors, whose disagreement is scaled to errors on inner folds.

    Parameters
    ----------
    estimators : list of (str, regressor)
        Names and regressors.
    weights : array-like of shape (n_regressors,), default=None
        Their weights in the mean; None weighs them alike.
    n_jobs : int, default=None
        Number of joblib workers that fit them; None is 1, -1 all processors.
    verbose : bool, default=False
        Whether to print the seconds that each took.
    calibrate : bool, default=True
        Whether to fit clones on inner folds, until eighty rows were left out: one fold from 240
        rows on, with which a fit takes 1.7 times as long. Equal rows stay together.
    random_state : int, RandomState or None, default=None
        Seed of the inner folds.

    Attributes
    ----------
    estimators_ : list of regressors
        Fitted on all rows.
    named_estimators_ : Bunch
        The same by name.
    spread_scale_ : ndarray of shape (2,)
        With `calibrate`: factor and floor that make the spread a standard deviation.
    target_range_ : tuple of ndarray and float
        With `calibrate`: what intervals do not pass.
    interval_factors_ : ndarray of shape (1001,)
        With `calibrate`: standard deviations to either side of intervals of coverage 0, 0.001, …,
        1.

    See Also
    --------
    trisk.structure_pipeline : Gives one of two networks.
    """

    _parameter_constraints = VotingRegressor._parameter_constraints | {
        "calibrate": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators,
        *,
        weights=None,
        n_jobs=None,
        verbose=False,
        calibrate=True,
        random_state=None,
    ):
        super().__init__(estimators, weights=weights, n_jobs=n_jobs, verbose=verbose)
        self.calibrate = calibrate
        self.random_state = random_state

    def fit(self, X, y, **fit_params):
        """Fit the regressors, and clones of them on parts of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the regressors take.
        y : array-like of shape (n_samples,)
            Target.
        **fit_params : dict
            Passed to the regressors, as scikit-learn's VotingRegressor does.

        Returns
        -------
        self : CalibratedVotingRegressor
            The fitted estimator.
        """
        forget_calibration(self)
        refuse_classes(y)
        super().fit(X, y, **fit_params)
        if not self.calibrate:
            return self
        X, y = indexable(X, column_or_1d(y, dtype=float))
        weight = check_sample_weight(fit_params.get("sample_weight"), y)
        used = np.flatnonzero(weight > 0)
        groups = equal_rows(X)[used]
        folds = structure_folds(y[used], draw_seed(self.random_state), groups, stratified=False)
        folds = [(used[rows], used[held_out]) for rows, held_out in folds]
        inner = clone(self).set_params(calibrate=False)
        names = [(name, name.rpartition("__")[2]) for name in inner.get_params()]
        inner.set_params(**{name: _INNER[last] for name, last in names if last in _INNER})

        def ask(index, rows, held_out):
            params = check_method_params(X, fit_params, rows)
            inner.fit(safe_indexing(X, rows), y[rows], **params)
            return inner._answer(safe_indexing(X, held_out))

        calibrate_by(self, folds, ask, y, weight)
        return self

    def _answer(self, X):
        """The mean and the spread of the regressors around it."""
        predictions, weights = self.transform(X), self._weights_not_none
        center = np.average(predictions, axis=1, weights=weights)
        square = np.average((predictions - center[:, None]) ** 2, axis=1, weights=weights)
        return center, np.sqrt(square)

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the regressors take.
        return_std : bool, default=False
            Whether to return the standard deviation too.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Mean, in the unit of the target.
        y_std : ndarray of shape (n_samples,)
            Only with `return_std`: the spread of the regressors, scaled to the size of held-out
            errors where `calibrate` is set.
        """
        check_is_fitted(self)
        if return_std and not self._has_spread:
            raise ValueError("One regressor has no spread: fit with calibrate=True.")
        center, spread = self._answer(X)
        return (center, self._standard_deviation(spread)) if return_std else center

    @property
    def _has_spread(self):
        return len(self.estimators_) > 1 or hasattr(self, "spread_scale_")

    @property
    def _fitted_link(self):
        """What keeps predictions of all regressors in a range, if they tell of one."""
        models = [e[-1] if isinstance(e, Pipeline) else e for e in self.estimators_]
        links = {getattr(model, "_fitted_link", "identity") for model in models}
        return links.pop() if len(links) == 1 else "identity"

    _calibrate = RegressorTask._calibrate
    _standard_deviation = RegressorTask._standard_deviation
    predict_interval = RegressorTask.predict_interval

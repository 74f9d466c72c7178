"""What an estimator with networks is trained for: numbers or classes."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_array,
    check_is_fitted,
    column_or_1d,
)

from trisk._compat import StrOptions
from trisk.estimators.base import recurs
from trisk.estimators.calibration import fit_spread, fit_temperature, interval_factors, temper
from trisk.estimators.scaling import LINKS, TargetScaler, spans_decades, target_range
from trisk.training.settings import Choice

_REGRESSION = """
    loss : {"absolute_error", "squared_error", "huber"}, default="absolute_error"
        Loss on the standardised target.
    aggregation : {"mean", "median"}, default="mean"
        How members' predictions are combined.
    link : {"identity", "log", "logit", "auto"}, default="identity"
        Whether the network predicts the target; or its logarithm, with which relative errors count;
        or log(y / (1 − y)) of a share y between 0 and 1, so that predictions stay there.
        ``"auto"`` takes the logarithm of targets that are positive and of which the largest
        twentieth begins at five times where the smallest ends, or more."""

_TARGET = """
    target_scaler_, single_target_ : TargetScaler, bool
        Centre and scale of the target, and whether it was one-dimensional."""

_SCALES = """spread_scale_ : ndarray of shape (2,) or (2, n_outputs)
        With `calibrate`: factor and floor that make the spread a standard deviation.
    interval_factors_ : ndarray of shape (1001,) or (1001, n_outputs)
        With `calibrate`: standard deviations to either side of intervals of coverage 0, 0.001, …,
        1.
    target_range_ : tuple of ndarray and float
        With `calibrate`: what intervals do not pass."""

_CLASSIFICATION = """
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as in scikit-learn."""

_CLASSES = """
    classes_ : ndarray of shape (n_classes,)
        Labels."""

_TEMPERATURE = """temperature_ : float
        With `calibrate`: divides the logarithms of the members' mean probabilities."""


def check_given(estimator, y):
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")


def refuse_classes(y):
    """Say what to do where targets of a regression are no numbers."""
    first = next(iter(np.asarray(y).flat), 0.0)
    if isinstance(first, str | bool | np.bool):
        raise ValueError(
            f"y holds {str(first)!r}, which is no number. For classes pass classification=True to "
            "the pipeline, or take the classifier."
        )


@dataclass(kw_only=True, repr=False, eq=False)
class RegressorTask(RegressorMixin):
    """One or more numbers as target, standardised; members' answers are combined in its unit."""

    loss: str = "absolute_error"
    aggregation: str = "mean"
    link: str = "identity"

    _has_steps = True
    _texts = {"Parameters": _REGRESSION, "Attributes": _TARGET, "scales": _SCALES}
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "loss": [StrOptions({"absolute_error", "squared_error", "huber"})],
        "aggregation": [StrOptions({"mean", "median"})],
        "link": [StrOptions({*LINKS, "auto"})],
    }
    _task_search_space = {"loss": Choice(("absolute_error", "squared_error", "huber"))}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = self._poor_score
        return tags

    def _check_target(self, y):
        """Numbers; of several targets of a row some may be missing."""
        check_given(self, y)
        refuse_classes(y)
        y = check_array(
            y, ensure_2d=False, dtype=np.float64, input_name="y", ensure_all_finite="allow-nan"
        )
        if y.ndim == 1:
            assert_all_finite(y, input_name="y")
        elif np.isnan(y).all(axis=0).any():
            column = int(np.isnan(y).all(axis=0).argmax())
            raise ValueError(f"Column {column} of y holds no number.")
        return y

    def _read_target(self, y, weight):
        """Targets of rows with weight, ``(n_samples, n_outputs)``, and the weights."""
        self.single_target_ = y.ndim == 1
        target = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        wrong = np.flatnonzero((target <= 0).any(axis=1))
        if self.link == "log" and len(wrong):
            raise ValueError(
                f"link='log' needs positive targets, but row {wrong[0]} of those with weight has "
                f"{np.nanmin(target[wrong[0]]):g}. Use link='identity'."
            )
        beyond = np.flatnonzero(((target < 0) | (target > 1)).any(axis=1))
        if self.link == "logit" and len(beyond):
            raise ValueError(
                f"link='logit' needs targets from 0 to 1, but row {beyond[0]} of those with weight "
                f"has {target[beyond[0]].tolist()}. Divide by the largest value there can be, or "
                "use link='identity'."
            )
        return target, weight

    def _scale_target(self, target, weight):
        """Scaled targets and the kind of loss."""
        link = self.link
        if link == "auto":
            link = "log" if spans_decades(target) else "identity"
        self.target_scaler_ = TargetScaler.fit(target, weight, link)
        return self.target_scaler_.transform(target), self.loss

    def _original_target(self, target):
        return target[:, 0] if self.single_target_ else target

    def _combine(self, outputs, sizes=1.0):
        """Centre and spread of members' outputs ``(K, n_samples, n_outputs)``."""
        predictions = self.target_scaler_.inverse_transform(outputs / sizes) * sizes
        if self.single_target_:
            predictions = predictions[..., 0]
        combine = np.median if self.aggregation == "median" else np.mean
        return combine(predictions, axis=0), predictions.std(axis=0)

    @property
    def _fitted_link(self):
        return self.target_scaler_.link

    @property
    def _has_spread(self):
        """Whether several networks can disagree, or errors of held-out rows are known."""
        return sum(net.n_members for net in self.nets_) > 1 or hasattr(self, "spread_scale_")

    def _calibrate(self, y, center, spread, weight):
        """Learn from held-out rows how large the errors are for a spread."""
        self.spread_scale_ = fit_spread(y - center, spread, weight)
        std = self._standard_deviation(spread)
        self.interval_factors_ = interval_factors(y - center, std, weight)
        self.target_range_ = target_range(y, self._fitted_link)

    def _standard_deviation(self, spread):
        if not hasattr(self, "spread_scale_"):
            return spread
        factor, floor = self.spread_scale_
        return np.hypot(factor * spread, floor)

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.
        return_std : bool, default=False
            Whether to return the standard deviation over members too, of which there must be
            two or more, unless `calibrate` is set.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, in the unit of the target; NaN for a structure without atoms.
        y_std : ndarray of the same shape
            Only with `return_std`: the spread of the members and of a stacked model around them,
            scaled to the size of held-out errors where `calibrate` is set.
        """
        check_is_fitted(self)
        if return_std and not self._has_spread:
            raise ValueError(
                "One network has no spread: fit with n_members=2 or more for standard deviations."
            )
        center, spread = self._answer(X)
        return (center, self._standard_deviation(spread)) if return_std else center

    @available_if(lambda estimator: hasattr(estimator, "calibrate"))
    def predict_interval(self, X, coverage=0.9):
        """Predict intervals that hold the target with a probability.

        Conformal intervals: on either side they reach as many standard deviations as covered
        that share of the held-out errors. Normal ones are far too wide where a few are large.
        They end at zero where the held-out targets are positive and span decades, or where none
        is negative and a tenth are zero; and where `link` says so.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.
        coverage : float, default=0.9
            Probability that the target lies within.

        Returns
        -------
        low, high : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Ends, in the unit of the target.

        Raises
        ------
        ValueError
            If the fit was not calibrated, or on too few rows to tell this coverage.
        """
        check_is_fitted(self)
        if not hasattr(self, "interval_factors_"):
            raise ValueError("Intervals need errors of 20 rows or more: fit with calibrate=True.")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage={coverage!r} is not between 0 and 1.")
        factor = self.interval_factors_[math.ceil(round(1000 * coverage, 6))]
        if not np.isfinite(factor).all():
            raise ValueError(
                f"There were too few held-out rows to tell what {coverage:.1%} of the errors are: "
                "ask for a smaller coverage."
            )
        center, std = self.predict(X, return_std=True)
        low, high = center - factor * std, center + factor * std
        return np.clip(low, *self.target_range_), np.clip(high, *self.target_range_)


@dataclass(kw_only=True, repr=False, eq=False)
class ClassifierTask(ClassifierMixin):
    """Labels as target, rows weighted by their class; members' probabilities are averaged."""

    class_weight: dict | str | None = None

    _has_steps = True
    _texts = {
        "Parameters": _CLASSIFICATION,
        "Attributes": _CLASSES,
        "temperature": _TEMPERATURE,
    }
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "class_weight": [dict, StrOptions({"balanced"}), None]
    }
    _task_search_space = {"class_weight": Choice((None, "balanced"))}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = self._poor_score
        return tags

    def _check_target(self, y):
        check_given(self, y)
        return column_or_1d(y, warn=True)

    def _read_target(self, y, weight):
        """Positions in ``classes_`` of rows with weight, ``(n_samples, 1)``, and their weights."""
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but all have "
                f"the class {self.classes_.tolist()[0]!r}."
            )
        if self.class_weight == "balanced":
            of_class = weight.sum() / (len(self.classes_) * np.bincount(labels, weights=weight))
        else:
            of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        for value, wrong in zip(of_class, ~(np.isfinite(of_class) & (of_class >= 0)), strict=True):
            if wrong:
                raise ValueError(f"class_weight holds {value}; weights are finite and positive.")
        return labels.reshape(-1, 1), weight * of_class[labels]

    def _scale_target(self, target, weight):
        """Class probabilities and the kind of loss."""
        return np.eye(len(self.classes_))[target[:, 0].astype(np.intp)], "cross_entropy"

    def _original_target(self, target):
        return self.classes_[target[:, 0].astype(np.intp)]

    def _combine(self, outputs):
        """Mean probabilities of members' logits ``(K, n_samples, n_classes)``; no spread."""
        mean = softmax(outputs, axis=-1).mean(axis=0)
        return temper(mean, getattr(self, "temperature_", 1.0)), np.zeros_like(mean)

    def _calibrate(self, y, center, spread, weight):
        """Learn from held-out rows how sure to be."""
        labels = np.searchsorted(self.classes_, y)
        self.temperature_ = fit_temperature(center, labels, weight)

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; NaN for a structure without atoms.
        """
        return self._answer(X)[0]

    def predict_log_proba(self, X):
        """Predict the logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.

        Returns
        -------
        logarithms : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If a structure has no atoms, because a featurizer could not read it.
        """
        return self._told(self.predict_proba(X))

    def _told(self, probabilities):
        missing = np.flatnonzero(np.isnan(probabilities).any(axis=1))
        if len(missing):
            raise ValueError(
                f"The structures in rows {missing[:5].tolist()} have no atoms, so there is no "
                "class to predict. Leave these rows out, or use predict_proba, which gives NaN for "
                "them."
            )
        return self.classes_[probabilities.argmax(axis=1)]

    @available_if(recurs)
    def staged_predict_proba(self, X):
        """Predict class probabilities after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.

        Yields
        ------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities after steps 1, 2, …
        """
        for probabilities, _ in self._staged_answers(X):
            yield probabilities

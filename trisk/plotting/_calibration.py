"""How far the spread of predictions tells their error."""

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._style import (
    COLORS,
    GUIDE,
    class_name,
    legend_above,
    numbers,
    plain_axes,
    with_unit,
)

_LEVELS = np.linspace(0.02, 0.98, 49)


class CalibrationDisplay:
    """Calibration of predicted standard deviations [1]_.

    Left, the share of errors that lie inside central normal intervals, against the share that
    should; below the diagonal a model is too sure of itself. Right, in groups of rows of like
    spread, the root mean squared error against the spread. Several models share one picture
    when the ``axes_`` of the first are passed to the next.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Actual values.
    y_pred : array-like of shape (n_samples,)
        Predicted values.
    y_std : array-like of shape (n_samples,)
        Predicted standard deviations.
    name : str, default=None
        Name of the model in the legend.
    unit : str, default=None
        Unit of the values; ``y_true.attrs["unit"]`` if None.

    Attributes
    ----------
    axes_ : tuple of matplotlib.axes.Axes
        Coverage, and error against spread.
    figure_ : matplotlib.figure.Figure
        Their figure.
    coverage_ : ndarray of shape (49,)
        Share of errors inside the interval of each level from 2 % to 98 %.
    miscalibration_area_ : float
        Area between the curve of coverage and the diagonal: zero at best, half at worst.
    group_spread_, group_error_ : ndarray of shape (n_groups,)
        Root mean square of spreads and of errors in groups of rows of like spread.
    rank_correlation_ : float
        Spearman's correlation of spreads and absolute errors.
    legend_ : matplotlib.legend.Legend
        Legend of all models.

    References
    ----------
    .. [1] K. Tran et al., "Methods for comparing uncertainty quantifications for material
       property predictions", Mach. Learn.: Sci. Technol. 1, 025006 (2020).
       https://doi.org/10.1088/2632-2153/ab7e1a

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from trisk.plotting import CalibrationDisplay
    >>> std = np.linspace(0.5, 2, 400)
    >>> y = np.random.default_rng(0).normal(0, std)
    >>> display = CalibrationDisplay.from_predictions(y, np.zeros(400), std)
    >>> display.miscalibration_area_ < 0.05
    True
    """

    def __init__(self, *, y_true, y_pred, y_std, name=None, unit=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_std = y_std
        self.name = name
        self.unit = unit

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, y_std, *, axes=None, name=None, unit=None, n_groups=10
    ):
        """Draw the calibration of given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Actual values.
        y_pred : array-like of shape (n_samples,)
            Predicted values.
        y_std : array-like of shape (n_samples,)
            Predicted standard deviations.
        axes : tuple of matplotlib.axes.Axes, default=None
            Two axes to draw on; a new figure if None.
        name : str, default=None
            Name of the model in the legend.
        unit : str, default=None
            Unit of the values.
        n_groups : int, default=10
            Groups of rows of like spread.

        Returns
        -------
        CalibrationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the arrays differ in length, are empty, hold NaN or infinity, or if a standard
            deviation is negative.
        """
        display = cls(y_true=y_true, y_pred=y_pred, y_std=y_std, name=name, unit=unit)
        return display.plot(axes, n_groups=n_groups)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, name=None, **kwargs):
        """Draw the calibration of a fitted regressor's predictions.

        Parameters
        ----------
        estimator : estimator instance
            Fitted regressor whose ``predict`` takes ``return_std=True``.
        X : array-like of shape (n_samples, n_features) or (n_samples,)
            What it predicts from; rows it was not fitted on.
        y : array-like of shape (n_samples,)
            Actual values.
        name : str, default=None
            Name of the model in the legend; the estimator's class if None.
        **kwargs
            Passed to :meth:`from_predictions`.

        Returns
        -------
        CalibrationDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(estimator)
        y_pred, y_std = estimator.predict(X, return_std=True)
        name = class_name(estimator) if name is None else name
        return cls.from_predictions(y, y_pred, y_std, name=name, **kwargs)

    def plot(self, axes=None, *, n_groups=10):
        """Draw the display.

        Parameters
        ----------
        axes : tuple of matplotlib.axes.Axes, default=None
            Two axes to draw on; a new figure if None.
        n_groups : int, default=10
            Groups of rows of like spread.

        Returns
        -------
        CalibrationDisplay
            This display.
        """
        error, spread = self._checked()
        self._measure(error, spread, min(n_groups, len(error)))
        if axes is None:
            from matplotlib import pyplot as plt

            _, axes = plt.subplots(1, 2, figsize=(8.2, 4.2), layout="constrained")
        self.axes_, self.figure_ = tuple(axes), axes[0].figure
        color = COLORS[len(_models(self.axes_[0])) % len(COLORS)]
        self._draw_coverage(self.axes_[0], color)
        self._draw_groups(self.axes_[1], color)
        self.legend_ = legend_above(self.axes_[0])
        return self

    def _checked(self):
        y_true, y_pred = numbers(self.y_true, "y_true"), numbers(self.y_pred, "y_pred")
        spread = numbers(self.y_std, "y_std")
        check_consistent_length(y_true, y_pred, spread)
        if spread.min() < 0:
            row = int(spread.argmin())
            raise ValueError(f"y_std must not be negative, but row {row} has {spread[row]}.")
        return np.abs(y_pred - y_true), spread

    def _measure(self, error, spread, n_groups):
        reach = norm.ppf(0.5 + _LEVELS / 2)[:, None] * spread
        self.coverage_ = (error <= reach).mean(axis=1)
        gap = np.abs(np.concatenate([[0], self.coverage_ - _LEVELS, [0]]))
        self.miscalibration_area_ = float(np.trapezoid(gap, np.concatenate([[0], _LEVELS, [1]])))
        groups = np.array_split(np.argsort(spread, kind="stable"), n_groups)
        self.group_spread_ = np.array([np.sqrt(np.mean(spread[g] ** 2)) for g in groups])
        self.group_error_ = np.array([np.sqrt(np.mean(error[g] ** 2)) for g in groups])
        self.rank_correlation_ = _rank_correlation(spread, error)

    def _draw_coverage(self, ax, color):
        label = f"miscalibration area {self.miscalibration_area_:.2f}"
        label = label if self.name is None else f"{self.name}: {label}"
        if not _models(ax):
            ax.axline((0, 0), slope=1, **GUIDE)
        levels, coverage = [0, *_LEVELS, 1], [0, *self.coverage_, 1]
        ax.plot(levels, coverage, color=color, label=label, gid="model")
        ax.fill_between(levels, levels, coverage, color=color, alpha=0.12, linewidth=0)
        ax.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="share of errors expected in the interval",
            ylabel="share of errors found in it",
        )
        ax.set_aspect("equal", adjustable="box")
        plain_axes(ax)

    def _draw_groups(self, ax, color):
        unit = getattr(self.y_true, "attrs", {}).get("unit") if self.unit is None else self.unit
        if not _models(ax):
            ax.axline((0, 0), slope=1, **GUIDE)
        label = f"rank correlation {self.rank_correlation_:.2f}"
        style = {"color": color, "marker": "o", "markersize": 4, "linewidth": 1}
        ax.plot(self.group_spread_, self.group_error_, label=label, gid="model", **style)
        data = np.concatenate([line.get_xydata().ravel() for line in _models(ax)])
        ax.set(
            xlim=(0, 1.06 * data.max() or 1),
            ylim=(0, 1.06 * data.max() or 1),
            xlabel=with_unit("predicted standard deviation", unit),
            ylabel=with_unit("root mean squared error", unit),
        )
        ax.set_aspect("equal", adjustable="box")
        plain_axes(ax)
        legend_above(ax)


def _models(ax):
    return [line for line in ax.lines if line.get_gid() == "model"]


def _rank_correlation(first, second):
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)

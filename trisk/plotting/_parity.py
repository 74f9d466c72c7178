"""Parity plots."""

from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._style import (
    COLORS,
    GUIDE,
    class_name,
    legend_above,
    new_axes,
    numbers,
    plain_axes,
    with_unit,
)

_POINTS, _IDENTITY, _RESIDUALS = "parity points", "parity identity", "parity residuals"


class ParityDisplay:
    """Predicted against actual values, with the distribution of the residuals.

    Build it with :meth:`from_predictions` or :meth:`from_estimator`. Several models share one
    picture when the ``ax_`` of the first display is passed to the next as ``ax``: each takes
    the next colour, and limits, legend and histogram cover them all.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Actual values.
    y_pred : array-like of shape (n_samples,)
        Predicted values.
    y_std : array-like of shape (n_samples,), default=None
        Standard deviations of the predictions, drawn as error bars of one standard deviation.
    folds : array-like of shape (n_samples,), default=None
        The test fold that each row was predicted in. With it, the mean absolute error is the
        mean over folds, as Matbench scores, with the standard deviation between folds.
    name : str, default=None
        Name of the model in the legend.
    quantity : str, default=None
        What is predicted, for the axis labels; ``y_true.attrs["quantity"]`` if None.
    unit : str, default=None
        Unit of the values; ``y_true.attrs["unit"]`` if None.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the parity plot.
    figure_ : matplotlib.figure.Figure
        Figure of the parity plot.
    points_ : matplotlib.collections.PathCollection
        This model's points.
    errorbar_ : matplotlib.container.ErrorbarContainer or None
        This model's error bars.
    identity_ : matplotlib.lines.AxLine
        The line on which predictions are exact.
    residual_ax_ : matplotlib.axes.Axes or None
        Axes of the histogram of residuals, to the right of the parity plot.
    legend_ : matplotlib.legend.Legend
        Legend of all models on the axes.
    text_ : str
        This model's entry in the legend.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from trisk.plotting import ParityDisplay
    >>> display = ParityDisplay.from_predictions(
    ...     [1.1, 1.4, 0.7], [1.0, 1.5, 0.6], name="forest", quantity="band gap", unit="eV"
    ... )
    >>> display.text_
    'forest: MAE 0.1 eV, R² 0.88'
    >>> display.ax_.get_xlabel()
    'actual band gap (eV)'
    """

    def __init__(
        self, *, y_true, y_pred, y_std=None, folds=None, name=None, quantity=None, unit=None
    ):
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_std = y_std
        self.folds = folds
        self.name = name
        self.quantity = quantity
        self.unit = unit

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        *,
        y_std=None,
        folds=None,
        ax=None,
        name=None,
        quantity=None,
        unit=None,
        residuals=True,
        **scatter_kwargs,
    ):
        """Draw a parity plot of given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Actual values.
        y_pred : array-like of shape (n_samples,)
            Predicted values.
        y_std : array-like of shape (n_samples,), default=None
            Standard deviations of the predictions.
        folds : array-like of shape (n_samples,), default=None
            The test fold of each row.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        name : str, default=None
            Name of the model in the legend.
        quantity : str, default=None
            What is predicted; ``y_true.attrs["quantity"]`` if None.
        unit : str, default=None
            Unit of the values; ``y_true.attrs["unit"]`` if None.
        residuals : bool, default=True
            Whether to draw the histogram of residuals.
        **scatter_kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`, such as ``color`` or ``s``.

        Returns
        -------
        ParityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the arrays differ in length, are empty, hold NaN or infinity, or if a standard
            deviation is negative.
        """
        display = cls(
            y_true=y_true,
            y_pred=y_pred,
            y_std=y_std,
            folds=folds,
            name=name,
            quantity=quantity,
            unit=unit,
        )
        return display.plot(ax, residuals=residuals, **scatter_kwargs)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, return_std=False, name=None, **kwargs):
        """Draw a parity plot of a fitted regressor's predictions.

        Parameters
        ----------
        estimator : estimator instance
            Fitted regressor, or a pipeline that ends in one.
        X : array-like of shape (n_samples, n_features) or (n_samples,)
            What it predicts from.
        y : array-like of shape (n_samples,)
            Actual values.
        return_std : bool, default=False
            Whether to draw error bars from ``estimator.predict(X, return_std=True)``.
        name : str, default=None
            Name of the model in the legend; the estimator's class if None.
        **kwargs
            Passed to :meth:`from_predictions`.

        Returns
        -------
        ParityDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(estimator)
        y_pred, y_std = estimator.predict(X), None
        if return_std:
            y_pred, y_std = estimator.predict(X, return_std=True)
        name = class_name(estimator) if name is None else name
        return cls.from_predictions(y, y_pred, y_std=y_std, name=name, **kwargs)

    def plot(self, ax=None, *, residuals=True, **scatter_kwargs):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        residuals : bool, default=True
            Whether to draw the histogram of residuals.
        **scatter_kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        ParityDisplay
            This display.
        """
        y_true, y_pred, y_std, folds = self._checked()
        # Wide enough for the square plot, the panel beside it and both their labels.
        ax = new_axes(ax, (7.4 if residuals else 5.2, 4.7))
        self.ax_, self.figure_ = ax, ax.figure
        self.text_ = self._summary(y_true, y_pred, folds)
        self._draw_points(y_true, y_pred, y_std, scatter_kwargs)
        self.identity_ = _frame(ax)
        self._label_axes()
        self.residual_ax_ = (
            _draw_residuals(ax, self._with_unit("predicted − actual")) if residuals else None
        )
        self.legend_ = legend_above(ax)
        return self

    def _checked(self):
        """The arrays as one-dimensional numbers, or an error that names the one at fault."""
        y_true, y_pred = numbers(self.y_true, "y_true"), numbers(self.y_pred, "y_pred")
        y_std = None if self.y_std is None else numbers(self.y_std, "y_std")
        folds = None if self.folds is None else np.asarray(self.folds)
        check_consistent_length(y_true, y_pred, y_std, folds)
        if y_std is not None and y_std.min() < 0:
            row = int(y_std.argmin())
            raise ValueError(f"y_std must not be negative, but row {row} has {y_std[row]}.")
        return y_true, y_pred, y_std, folds

    def _summary(self, y_true, y_pred, folds):
        """Name, mean absolute error and R² in one line."""
        unit = self._unit()
        unit = f" {unit}" if unit else ""
        error, spread = mean_absolute_error(y_true, y_pred), ""
        if folds is not None:
            errors = [
                mean_absolute_error(y_true[folds == k], y_pred[folds == k])
                for k in np.unique(folds)
            ]
            error, spread = np.mean(errors), f" ± {np.std(errors):.2g}"
        text = f"MAE {error:.3g}{spread}{unit}"
        if len(y_true) > 1:
            text += f", R² {r2_score(y_true, y_pred):.2f}"
        return text if self.name is None else f"{self.name}: {text}"

    def _draw_points(self, y_true, y_pred, y_std, scatter_kwargs):
        color = COLORS[len(_parity_points(self.ax_)) % len(COLORS)]
        many = len(y_true) > 1000
        defaults: dict[str, Any] = {
            "s": 9 if many else 18,
            "alpha": 0.35 if many else 0.6,
            "linewidths": 0,
            "rasterized": many,  # a vector file of thousands of discs opens slowly
        }
        if not {"c", "color", "facecolor", "facecolors"} & set(scatter_kwargs):
            defaults["color"] = color
        self.points_ = self.ax_.scatter(
            y_true, y_pred, label=self.text_, gid=_POINTS, zorder=3, **(defaults | scatter_kwargs)
        )
        self.errorbar_ = None
        if y_std is not None:
            ecolor = self.points_.get_facecolor()[0, :3]
            style = {"fmt": "none", "ecolor": ecolor, "elinewidth": 0.8, "alpha": 0.3}
            self.errorbar_ = self.ax_.errorbar(y_true, y_pred, yerr=y_std, zorder=2, **style)

    def _attribute(self, given, key):
        return getattr(self.y_true, "attrs", {}).get(key) if given is None else given

    def _unit(self):
        return self._attribute(self.unit, "unit")

    def _with_unit(self, words):
        return with_unit(words, self._unit())

    def _label_axes(self):
        quantity = self._attribute(self.quantity, "quantity") or "value"
        self.ax_.set_xlabel(self._with_unit(f"actual {quantity}"))
        self.ax_.set_ylabel(self._with_unit(f"predicted {quantity}"))


def _parity_points(ax):
    """Scatters of all displays on these axes, in the order they were drawn."""
    return [artist for artist in ax.collections if artist.get_gid() == _POINTS]


def _frame(ax):
    """Give both axes the same limits around all data, and draw the identity line once."""
    from matplotlib.ticker import MaxNLocator

    lines = [line for line in ax.lines if line.get_gid() == _IDENTITY]
    low, high = ax.dataLim.get_points().min(), ax.dataLim.get_points().max()
    if not lines:
        lines = [ax.axline((low, low), slope=1, gid=_IDENTITY, zorder=1, **GUIDE)]
    margin = 0.04 * (high - low) or 0.5
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ax.set_aspect("equal", adjustable="box")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    plain_axes(ax)
    return lines[0]


def _draw_residuals(ax, label):
    """Histogram of predicted minus actual, of all models on the axes, on one set of bins.

    The range holds 99 % of the residuals; the few beyond it are counted in the outermost bins.
    """
    panels = [child for child in ax.child_axes if child.get_label() == _RESIDUALS]
    panel = panels[0] if panels else ax.inset_axes((1.05, 0, 0.3, 1), label=_RESIDUALS)
    panel.clear()
    panel.set_label(_RESIDUALS)
    models = _parity_points(ax)
    offsets = [np.asarray(points.get_offsets()) for points in models]
    values = [pairs[:, 1] - pairs[:, 0] for pairs in offsets]
    reach = np.quantile(np.abs(np.concatenate(values)), 0.99) or 1.0
    bins = np.linspace(-reach, reach, 32)
    for points, residuals in zip(models, values, strict=True):
        color = points.get_facecolor()[0, :3]
        style = {"bins": bins, "orientation": "horizontal", "color": color}
        clipped = np.clip(residuals, -reach, reach)
        panel.hist(clipped, histtype="stepfilled", alpha=0.25, **style)
        panel.hist(clipped, histtype="step", linewidth=1.2, **style)
    panel.axhline(0, **GUIDE)
    panel.set(ylim=(-reach, reach), xlabel="count", ylabel=label)
    panel.yaxis.tick_right()
    panel.yaxis.set_label_position("right")
    # The panel is narrow: more labels of four digits would touch.
    panel.locator_params(axis="x", nbins=2, integer=True)
    panel.spines[["top", "left"]].set_visible(False)
    return panel

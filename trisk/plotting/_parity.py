"""Parity plots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.utils import check_consistent_length

from trisk.plotting._base import (
    COLORS,
    GUIDE,
    PredictionDisplay,
    attribute,
    drawn,
    legend_above,
    plain_axes,
    with_unit,
)

_RESIDUALS = "parity residuals"


@dataclass(kw_only=True, eq=False, repr=False)
class ParityDisplay(PredictionDisplay):
    """Predicted against actual values, with the distribution of the residuals.

    Several models share one picture when the ``ax_`` of the first display is passed to the next
    as ``ax``: each takes the next colour, and limits, legend and histogram cover them all.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Actual and predicted values.
    y_std : array-like of shape (n_samples,), default=None
        Standard deviations of the predictions, drawn as error bars of one standard deviation.
    name : str, default=None
        Name of the model in the legend.
    unit, quantity : str, default=None
        Unit of the values and what they are, for the labels; those of ``y_true.attrs`` if None.
    folds : array-like of shape (n_samples,), default=None
        The test fold that each row was predicted in. With it, the mean absolute error is the
        mean over folds, as Matbench scores, with the standard deviation between folds.
    residuals : bool, default=True
        Whether to draw the histogram of residuals.
    scatter_kwargs : dict, default=None
        Passed to :meth:`matplotlib.axes.Axes.scatter`, such as ``color`` or ``s``.

    Attributes
    ----------
    ax_, residual_ax_, figure_ : matplotlib.axes.Axes, matplotlib.figure.Figure
        Axes of the parity plot, of the histogram to the right of it or None, and their figure.
    points_, errorbar_, identity_, legend_ : matplotlib artists
        This model's points, its error bars or None, the line on which predictions are exact, and
        the legend of all models.
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

    quantity: str | None = None
    folds: Any = None
    residuals: bool = True
    scatter_kwargs: dict[str, Any] | None = None

    @property
    def _size(self):  # type: ignore[override]
        # Wide enough for the square plot, the panel beside it and both their labels.
        return 7.4 if self.residuals else 5.2, 4.7

    def _draw(self, ax, y_true, y_pred, y_std):
        unit = attribute(self.unit, self.y_true, "unit")
        self.text_ = self._summary(y_true, y_pred, unit)
        self._draw_points(y_true, y_pred, y_std)
        self.identity_ = _frame(ax)
        quantity = attribute(self.quantity, self.y_true, "quantity") or "value"
        ax.set_xlabel(with_unit(f"actual {quantity}", unit))
        ax.set_ylabel(with_unit(f"predicted {quantity}", unit))
        label = with_unit("predicted − actual", unit)
        self.residual_ax_ = _draw_residuals(ax, label) if self.residuals else None
        self.legend_ = legend_above(ax)

    def _summary(self, y_true, y_pred, unit):
        """Name, mean absolute error and R² in one line."""
        error, spread = mean_absolute_error(y_true, y_pred), ""
        if self.folds is not None:
            check_consistent_length(y_true, self.folds)
            parts = [np.asarray(self.folds) == k for k in np.unique(self.folds)]
            errors = [mean_absolute_error(y_true[rows], y_pred[rows]) for rows in parts]
            error, spread = np.mean(errors), f" ± {np.std(errors):.2g}"
        text = f"MAE {error:.3g}{spread}" + (f" {unit}" if unit else "")
        if len(y_true) > 1:
            text += f", R² {r2_score(y_true, y_pred):.2f}"
        return text if self.name is None else f"{self.name}: {text}"

    def _draw_points(self, y_true, y_pred, y_std):
        many, given = len(y_true) > 1000, self.scatter_kwargs or {}
        # A vector file of thousands of discs opens slowly.
        style: dict[str, Any] = {"linewidths": 0, "rasterized": many, "label": self.text_}
        style |= {"s": 9, "alpha": 0.35} if many else {"s": 18, "alpha": 0.6}
        if not {"c", "color", "facecolor", "facecolors"} & set(given):
            style["color"] = COLORS[len(drawn(self.ax_.collections)) % len(COLORS)]
        style |= {"gid": "model", "zorder": 3, **given}
        self.points_ = self.ax_.scatter(y_true, y_pred, **style)
        self.errorbar_ = None
        if y_std is not None:
            ecolor = _shade(self.points_)
            style = {"fmt": "none", "ecolor": ecolor, "elinewidth": 0.8, "alpha": 0.3}
            self.errorbar_ = self.ax_.errorbar(y_true, y_pred, yerr=y_std, zorder=2, **style)


def _shade(points):
    """Colour of points, be they hollow."""
    colors = points.get_facecolor()
    return (colors if len(colors) else points.get_edgecolor())[0, :3]


def _frame(ax):
    """Give both axes the same limits around all data, and draw the identity line once."""
    from matplotlib.ticker import MaxNLocator

    low, high = ax.dataLim.get_points().min(), ax.dataLim.get_points().max()
    lines = drawn(ax.lines, "identity")
    if not lines:
        lines = [ax.axline((low, low), slope=1, gid="identity", zorder=1, **GUIDE)]
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
    panel = panels[0] if panels else ax.inset_axes((1.05, 0, 0.3, 1))
    panel.clear()
    panel.set_label(_RESIDUALS)
    models = drawn(ax.collections)
    values = [np.diff(np.asarray(points.get_offsets()), axis=1).ravel() for points in models]
    reach = np.quantile(np.abs(np.concatenate(values)), 0.99) or 1.0
    bins = np.linspace(-reach, reach, 32)
    for points, residuals in zip(models, values, strict=True):
        color = _shade(points)
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

"""How far the spread of predictions tells their error, and all plots of held-out predictions."""

from dataclasses import dataclass

import numpy as np

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
from trisk.plotting._parity import ParityDisplay

_LEVELS = np.linspace(0.02, 0.98, 49)


@dataclass(kw_only=True, eq=False, repr=False)
class CalibrationDisplay(PredictionDisplay):
    """Calibration of predicted standard deviations [1]_.

    Left, the share of errors that lie inside central normal intervals, against the share that
    should; below the diagonal a model is too sure of itself. Right, in groups of rows of like
    spread, the root mean squared error against the spread. Several models share one picture
    when the ``ax_`` of the first are passed to the next as ``ax``.

    Parameters
    ----------
    y_true, y_pred, y_std : array-like of shape (n_samples,)
        Actual values, predicted ones and predicted standard deviations.
    name, unit : str, default=None
        Name of the model in the legend; unit of the values, ``y_true.attrs["unit"]`` if None.
    n_groups : int, default=10
        Groups of rows of like spread.

    Attributes
    ----------
    ax_, figure_ : array of matplotlib.axes.Axes, matplotlib.figure.Figure
        Axes of coverage and of error against spread, and their figure.
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
    .. [1] K. Tran et al., Mach. Learn. Sci. Technol. 1, 025006 (2020), doi:10.1088/2632-2153/ab7e1a

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

    n_groups: int = 10

    _size = (8.2, 4.2)
    _n_axes = 2
    _needs_std = True

    def _draw(self, axes, y_true, y_pred, spread):
        self._count(np.abs(y_pred - y_true), spread)
        color = COLORS[len(drawn(axes[0].lines)) % len(COLORS)]
        for ax in axes:
            if not drawn(ax.lines):
                ax.axline((0, 0), slope=1, **GUIDE)
            ax.set_aspect("equal", adjustable="box")
            plain_axes(ax)
        self._draw_coverage(axes[0], color)
        self._draw_groups(axes[1], color)
        self.legend_, _ = map(legend_above, axes)

    def _count(self, error, spread):
        from scipy.stats import norm, spearmanr

        reach = norm.ppf(0.5 + _LEVELS / 2)[:, None] * spread
        self.coverage_ = (error <= reach).mean(axis=1)
        gap = np.abs(np.concatenate([[0], self.coverage_ - _LEVELS, [0]]))
        self.miscalibration_area_ = float(np.trapezoid(gap, np.concatenate([[0], _LEVELS, [1]])))
        groups = np.array_split(np.argsort(spread, kind="stable"), min(self.n_groups, len(error)))
        self.group_spread_ = np.array([np.sqrt(np.mean(spread[g] ** 2)) for g in groups])
        self.group_error_ = np.array([np.sqrt(np.mean(error[g] ** 2)) for g in groups])
        constant = np.ptp(spread) == 0 or np.ptp(error) == 0
        self.rank_correlation_ = 0.0 if constant else float(spearmanr(spread, error).statistic)

    def _draw_coverage(self, ax, color):
        label = f"miscalibration area {self.miscalibration_area_:.2f}"
        label = label if self.name is None else f"{self.name}: {label}"
        levels, coverage = [0, *_LEVELS, 1], [0, *self.coverage_, 1]
        ax.plot(levels, coverage, color=color, label=label, gid="model")
        ax.fill_between(levels, levels, coverage, color=color, alpha=0.12, linewidth=0)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of errors expected in the interval")
        ax.set(ylabel="share of errors found in it")

    def _draw_groups(self, ax, color):
        unit = attribute(self.unit, self.y_true, "unit")
        label = f"rank correlation {self.rank_correlation_:.2f}"
        style = {"color": color, "marker": "o", "markersize": 4, "linewidth": 1}
        ax.plot(self.group_spread_, self.group_error_, label=label, gid="model", **style)
        limit = 1.06 * max(line.get_xydata().max() for line in drawn(ax.lines)) or 1
        ax.set(xlim=(0, limit), ylim=(0, limit))
        ax.set_xlabel(with_unit("predicted standard deviation", unit))
        ax.set_ylabel(with_unit("root mean squared error", unit))


def draw_predictions(predictions, *, classification=False, quantity=None, unit=None, name=None):
    """Draw parity and calibration of held-out predictions, or how well they tell classes.

    Parameters
    ----------
    predictions : DataFrame of shape (n_rows, n_columns)
        Columns ``y_true``, ``y_pred`` and, if there are any, ``fold``, ``y_std`` and
        ``probability <class>``, as of :func:`trisk.model_selection.nested_cross_validate`.
    classification : bool, default=False
        Whether the targets are classes.
    quantity, unit, name : str, default=None
        What is predicted, its unit, and the name of the model.

    Returns
    -------
    displays : dict of str to display
        ``"parity"`` for numbers, ``"confusion"`` for classes; ``"calibration"`` where there are
        spreads, or two classes, and then ``"roc"``.
    """
    y_true, spread = predictions["y_true"], predictions.get("y_std")
    if classification:
        from sklearn.calibration import CalibrationDisplay as ProbabilityDisplay
        from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

        y_true, displays = y_true.astype(str), {}
        if "y_pred" in predictions:
            pair = y_true, predictions["y_pred"].astype(str)
            displays["confusion"] = ConfusionMatrixDisplay.from_predictions(*pair, colorbar=False)
        classes = [c for c in predictions if c.startswith("probability ")]
        if len(classes) == 2:
            about = y_true == classes[1].removeprefix("probability "), predictions[classes[1]]
            named = {"name": name or "held-out predictions"}
            if about[0].nunique() == 2:
                displays["roc"] = RocCurveDisplay.from_predictions(*about, **named)
            displays["calibration"] = ProbabilityDisplay.from_predictions(
                *about, n_bins=10, **named
            )
        return displays
    values, labels = (y_true, predictions["y_pred"], spread), {"unit": unit, "name": name}
    displays = {
        "parity": ParityDisplay.from_predictions(
            *values, folds=predictions.get("fold"), quantity=quantity, **labels
        )
    }
    if spread is not None:
        displays["calibration"] = CalibrationDisplay.from_predictions(*values, **labels)
    return displays

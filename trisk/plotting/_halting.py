"""How many cycles a recursion that halts by itself takes, and whether hard cases take more."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._style import COLORS, class_name, new_axes, numbers, plain_axes, with_unit


class HaltingDisplay:
    """Cycles before halting, counted, with the error of the structures that took so many.

    Parameters
    ----------
    cycles : array-like of shape (n_samples,)
        Cycles of every structure, averaged over members.
    errors : array-like of shape (n_samples,), default=None
        Absolute error of every structure.
    name : str, default=None
        Title of the picture.
    unit : str, default=None
        Unit of the errors.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the counts.
    error_ax_ : matplotlib.axes.Axes or None
        Axes of the errors, to the right.
    figure_ : matplotlib.figure.Figure
        Their figure.
    counts_ : ndarray of shape (n_bins,)
        Structures by the number of cycles, rounded.
    mean_errors_ : ndarray of shape (n_bins,) or None
        Mean absolute error of these, NaN where there are none.
    """

    def __init__(self, *, cycles, errors=None, name=None, unit=None):
        self.cycles = cycles
        self.errors = errors
        self.name = name
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, ax=None, name=None, unit=None):
        """Draw the cycles of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted GraphTRIADS estimator, or a pipeline that ends in one.
        X : array-like of shape (n_samples,)
            Structures, or graphs.
        y : array-like of shape (n_samples,), default=None
            Actual values, for the errors; of a regressor only.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        name : str, default=None
            Title; the estimator's class if None.
        unit : str, default=None
            Unit of the values; ``y.attrs["unit"]`` if None.

        Returns
        -------
        HaltingDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If it does not halt by itself.
        """
        check_is_fitted(estimator)
        name = class_name(estimator) if name is None else name
        last = estimator
        if isinstance(estimator, Pipeline):
            last = estimator[-1]
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        if not hasattr(last, "count_cycles"):
            raise TypeError(f"{type(last).__name__} has no recursion that halts by itself.")
        unit = getattr(y, "attrs", {}).get("unit") if unit is None else unit
        errors = None if y is None else np.abs(last.predict(X) - numbers(y, "y"))
        display = cls(cycles=last.count_cycles(X), errors=errors, name=name, unit=unit)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        HaltingDisplay
            This display.
        """
        from matplotlib.ticker import MaxNLocator

        cycles = np.rint(numbers(self.cycles, "cycles")).astype(int)
        first = cycles.min()
        self.counts_ = np.bincount(cycles - first)
        bins = first + np.arange(len(self.counts_))
        ax = new_axes(ax, (5.6, 3.8))
        self.ax_, self.figure_, self.error_ax_, self.mean_errors_ = ax, ax.figure, None, None
        ax.bar(bins, self.counts_, color=COLORS[5], width=0.8)
        ax.set(xlabel="cycles before halting", ylabel="structures", title=self.name or "")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        plain_axes(ax)
        if self.errors is not None:
            errors = numbers(self.errors, "errors")
            check_consistent_length(cycles, errors)
            sums = np.bincount(cycles - first, weights=errors)
            with np.errstate(invalid="ignore"):
                self.mean_errors_ = sums / self.counts_
            self.error_ax_ = ax.twinx()
            seen = self.counts_ > 0
            self.error_ax_.plot(bins[seen], self.mean_errors_[seen], "o-", color=COLORS[1])
            self.error_ax_.set(ylim=(0, None))
            label = with_unit("mean absolute error", self.unit)
            self.error_ax_.set_ylabel(label, color=COLORS[1])
            self.error_ax_.spines[["top", "left"]].set_visible(False)
        return self

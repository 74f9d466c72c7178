"""How a recursive network refines its answer from step to step."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._style import (
    COLORS,
    class_name,
    legend_above,
    new_axes,
    numbers,
    plain_axes,
    with_unit,
)


class SupervisionDisplay:
    """Error after each step of a recursion, and how far the answer still moves.

    A network that is supervised at every step has an answer at every step. Where the error no
    longer falls and the answer no longer moves, further steps are wasted.

    Parameters
    ----------
    errors : array-like of shape (n_steps,)
        Error after each step.
    moves : array-like of shape (n_steps - 1,)
        Mean absolute change of the answer from each step to the next.
    name : str, default=None
        Name of the model in the legend.
    label : str, default="error"
        What the errors are, for the axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the plot.
    figure_ : matplotlib.figure.Figure
        Their figure.
    error_line_, move_line_ : matplotlib.lines.Line2D
        The two lines.
    legend_ : matplotlib.legend.Legend
        Legend of all models on the axes.
    """

    def __init__(self, *, errors, moves, name=None, label="error"):
        self.errors = errors
        self.moves = moves
        self.name = name
        self.label = label

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, name=None, unit=None):
        """Draw the steps of a fitted estimator on rows it was not fitted on.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``staged_predict`` or ``staged_predict_proba``, or a pipeline that ends
            in such a one.
        X : array-like of shape (n_samples, n_features) or (n_samples,)
            What it predicts from.
        y : array-like of shape (n_samples,)
            Actual values or classes.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        name : str, default=None
            Name in the legend; the estimator's class if None.
        unit : str, default=None
            Unit of the values; ``y.attrs["unit"]`` if None.

        Returns
        -------
        SupervisionDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If it makes no predictions after each step.
        """
        check_is_fitted(estimator)
        name = class_name(estimator) if name is None else name
        last = estimator
        if isinstance(estimator, Pipeline):
            last = estimator[-1]
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        if not hasattr(last, "staged_predict"):
            raise TypeError(f"{type(last).__name__} makes no predictions after each step.")
        unit = getattr(y, "attrs", {}).get("unit") if unit is None else unit
        if is_classifier(last):
            return cls.from_predictions(
                np.searchsorted(last.classes_, y),
                list(last.staged_predict_proba(X)),
                ax=ax,
                name=name,
            )
        return cls.from_predictions(y, list(last.staged_predict(X)), ax=ax, name=name, unit=unit)

    @classmethod
    def from_predictions(cls, y_true, staged, *, ax=None, name=None, unit=None):
        """Draw given predictions of several steps.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Actual values, or for probabilities the numbers of the classes.
        staged : array-like of shape (n_steps, n_samples) or (n_steps, n_samples, n_classes)
            Predicted values, or probabilities of classes, after each step.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        name : str, default=None
            Name in the legend.
        unit : str, default=None
            Unit of the values.

        Returns
        -------
        SupervisionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the arrays differ in length or hold NaN.
        """
        y_true = numbers(y_true, "y_true")
        staged = check_array(staged, allow_nd=True, input_name="staged")
        if staged.shape[1] != len(y_true):
            raise ValueError(f"staged is of {staged.shape[1]} rows, but y_true of {len(y_true)}.")
        if staged.ndim == 3:
            given = staged[:, np.arange(len(y_true)), y_true.astype(int)]
            errors = -np.log(np.clip(given, 1e-15, 1)).mean(axis=1)
            label = "log loss; change of probabilities"
        else:
            errors = np.abs(staged - y_true).mean(axis=1)
            label = with_unit("mean absolute error; mean change", unit)
        moves = np.abs(np.diff(staged, axis=0)).reshape(len(staged) - 1, -1).mean(axis=1)
        return cls(errors=errors, moves=moves, name=name, label=label).plot(ax)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        SupervisionDisplay
            This display.
        """
        from matplotlib.ticker import MaxNLocator

        ax = new_axes(ax, (5.4, 3.8))
        self.ax_, self.figure_ = ax, ax.figure
        errors, moves = np.asarray(self.errors), np.asarray(self.moves)
        color = COLORS[sum(line.get_gid() == "errors" for line in ax.lines) % len(COLORS)]
        name = f"{self.name}: " if self.name else ""
        style = {"color": color, "marker": "o", "markersize": 4}
        steps = np.arange(1, len(errors) + 1)
        (self.error_line_,) = ax.plot(
            steps, errors, gid="errors", label=f"{name}error {errors[-1]:.3g} at the end", **style
        )
        (self.move_line_,) = ax.plot(
            steps[1:], moves, linestyle=":", label=f"{name}change from the step before", **style
        )
        ax.set(xlabel="recursion step", ylabel=self.label, ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain_axes(ax)
        self.legend_ = legend_above(ax)
        return self

"""What all displays share: drawing, colours, labels, and the check of what they are given."""

from dataclasses import dataclass
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Lines that mark what would be perfect.
GUIDE: dict[str, Any] = {"color": "0.35", "linewidth": 1, "linestyle": (0, (5, 3))}


_ATTRIBUTES = """Attributes
    ----------
    ax_, figure_ : matplotlib.axes.Axes, matplotlib.figure.Figure
        Axes, and their figure."""


class Display:
    """A plot on given axes or on those of a new figure."""

    _size = (5.4, 4.0)
    _n_axes = 1

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.__doc__ = (cls.__doc__ or "").replace("{Attributes}", _ATTRIBUTES)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on (two where the class draws two); a new figure if None.

        Returns
        -------
        Display
            This display.
        """
        values = self._checked()
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(1, self._n_axes, figsize=self._size, layout="constrained")
        self.ax_, self.figure_ = ax, (ax if self._n_axes == 1 else ax[0]).figure
        self._draw(ax, *values)
        return self

    def _checked(self):
        """What is drawn, after a check that comes before a figure is made."""
        return ()

    def _draw(self, ax, *values):
        raise NotImplementedError


@dataclass(kw_only=True, eq=False, repr=False)
class PredictionDisplay(Display):
    """Base of the displays that compare predictions with actual values."""

    y_true: Any
    y_pred: Any
    y_std: Any = None
    name: str | None = None
    unit: str | None = None

    _needs_std = False

    @classmethod
    def from_predictions(cls, y_true, y_pred, y_std=None, *, ax=None, **parameters):
        """Draw given predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            Actual and predicted values.
        y_std : array-like of shape (n_samples,), default=None
            Standard deviations of the predictions.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on (two where the class draws two); a new figure if None.
        **parameters
            Further parameters of the class.

        Returns
        -------
        Display
            The display, drawn.
        """
        return cls(y_true=y_true, y_pred=y_pred, y_std=y_std, **parameters).plot(ax)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, return_std=False, ax=None, **parameters):
        """Draw the predictions of a fitted regressor.

        Parameters
        ----------
        estimator : estimator instance
            Fitted regressor, or a pipeline that ends in one.
        X, y : array-like of shape (n_samples, ...)
            What it predicts from, and the actual values; rows it was not fitted on.
        return_std : bool, default=False
            Whether to ask ``estimator.predict`` for standard deviations too, if the display can
            do without.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on (two where the class draws two); a new figure if None.
        **parameters
            Further parameters of the class; ``name`` is the estimator's class if left out.

        Returns
        -------
        Display
            The display, drawn.
        """
        check_is_fitted(estimator)
        if return_std or cls._needs_std:
            y_pred, y_std = estimator.predict(X, return_std=True)
        else:
            y_pred, y_std = estimator.predict(X), None
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        parameters = {"name": type(last).__name__, **parameters}
        return cls.from_predictions(y, y_pred, y_std, ax=ax, **parameters)

    def _checked(self):
        """Actual, predicted and standard deviations as numbers; an error names the bad one."""
        y_true, y_pred = numbers(self.y_true, "y_true"), numbers(self.y_pred, "y_pred")
        y_std = None
        if self.y_std is not None or self._needs_std:
            y_std = numbers(self.y_std, "y_std")
        check_consistent_length(y_true, y_pred, y_std)
        if y_std is not None and y_std.min() < 0:
            row = int(y_std.argmin())
            raise ValueError(f"y_std must not be negative, but row {row} has {y_std[row]}.")
        return y_true, y_pred, y_std


def numbers(values, name):
    """One column of finite numbers, or an error that names the array at fault."""
    if values is None:
        raise ValueError(f"This display needs {name}.")
    values = check_array(values, ensure_2d=False, dtype="numeric", input_name=name)
    if values.size != len(values):
        raise ValueError(
            f"{name} has shape {values.shape}, but a plot shows one target: pass one column at a "
            "time."
        )
    return values.ravel().astype(float)


def drawn(artists, gid="model"):
    """What earlier displays drew on these axes under a name."""
    return [artist for artist in artists if artist.get_gid() == gid]


def attribute(given, values, key):
    """What was given, or what pandas' ``attrs`` say of the values."""
    return getattr(values, "attrs", {}).get(key) if given is None else given


def with_unit(words, unit):
    """Label of an axis."""
    return f"{words} ({unit})" if unit else words


def plain_axes(ax):
    """Pale grid behind the data, and no frame where no axis is."""
    ax.grid(True, color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def legend_above(ax, **settings):
    """Legend over the plot, where it hides nothing."""
    settings |= {"borderaxespad": 0.2, "frameon": False, "handletextpad": 0.3}
    return ax.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize="small", **settings)

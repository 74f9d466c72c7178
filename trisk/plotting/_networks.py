"""What networks do inside: attention, and losses of pre-training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._base import (
    COLORS,
    Display,
    class_name,
    last_step,
    legend_above,
    plain_axes,
)

_OBJECTIVES = {
    "denoising": "denoising (variance left)",
    "masking": "masking (nats)",
    "lejepa": "LeJEPA",
}


class NetworkDisplay(Display):
    """Base of the displays of what a fitted network does."""

    @classmethod
    def from_estimator(cls, estimator, X=None, y=None, *, ax=None, **parameters):
        """Draw what a fitted estimator does.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator, or a pipeline that ends in one.
        X : array-like of shape (n_samples, ...), default=None
            Rows to show it on, for a fair picture such as it was not fitted on.
        y : array-like of shape (n_samples,), default=None
            Actual values or classes, where the display compares with them.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        **parameters
            Further parameters of the class; ``name`` is the estimator's class if left out.

        Returns
        -------
        Display
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator does not do what the display shows.
        """
        check_is_fitted(estimator)
        return cls(**{**cls._measure(estimator, X, y), **parameters}).plot(ax)

    @classmethod
    def _measure(cls, estimator, X, y):
        """Those parameters of the class that an estimator gives."""
        raise NotImplementedError


@dataclass(kw_only=True, eq=False, repr=False)
class AttentionDisplay(NetworkDisplay):
    """Attention between property tokens, averaged over rows, heads and members.

    Each line of the picture is a property that looks, each column one that is looked at; lines
    add up to one. Properties stand in the order of the attention that they receive. Attention
    shows what the network mixes; it is no proof of what matters for the prediction. Made from a
    fitted HybridTRIADS estimator with ``n_attention_layers`` of one or more.

    Parameters
    ----------
    weights : array-like of shape (n_layers, n_properties, n_properties)
        Attention from the property of a line to that of a column, in each layer.
    names : list of str
        The properties.
    layer : int, default=-1
        Which layer to draw; the last one by default.
    n_properties : int, default=22
        How many properties to show, the most attended ones.
    name : str, default=None
        Title of the picture.

    {Attributes}
    image_ : matplotlib.image.AxesImage
        The picture.
    order_ : ndarray of shape (n_properties,)
        Properties from the most to the least attended.
    """

    weights: Any
    names: list[str]
    layer: int = -1
    n_properties: int = 22
    name: str | None = None

    _size = (7.2, 6.4)

    @classmethod
    def _measure(cls, estimator, X, y):
        last, X = last_step(estimator, X)
        weights, names = last.attention(X)
        return {"weights": weights, "names": names, "name": class_name(last)}

    def _draw(self, ax):
        weights, names = np.asarray(self.weights)[self.layer], np.asarray(self.names)
        self.order_ = np.argsort(-weights.mean(axis=0), kind="stable")
        shown = self.order_[: self.n_properties]
        # White is an even share, whatever the number of properties.
        relative = len(weights) * weights[np.ix_(shown, shown)]
        limit = max(np.abs(relative - 1).max(), 0.05)
        style = {"cmap": "PuOr_r", "aspect": "equal", "vmin": 1 - limit, "vmax": 1 + limit}
        self.image_ = ax.imshow(relative, **style)
        ax.set_xticks(range(len(shown)), names[shown], rotation=90)
        ax.set_yticks(range(len(shown)), names[shown])
        ax.tick_params(length=0, labelsize="small")
        ax.set(xlabel="attended property", ylabel="attending property", title=self.name or "")
        label = "attention (1 = an even share)"
        self.figure_.colorbar(self.image_, ax=ax, shrink=0.75, label=label)


@dataclass(kw_only=True, eq=False, repr=False)
class PretrainingDisplay(NetworkDisplay):
    """Objectives of a pre-training by epoch, without their weights.

    Parameters
    ----------
    history : pandas.DataFrame
        ``history_`` of a :class:`trisk.estimators.TriForcesPretrainer`.

    {Attributes}
    lines_, legend_ : dict of str to matplotlib.lines.Line2D, matplotlib.legend.Legend
        Lines by name of the objective, and the legend.
    """

    history: Any

    _size = (7.2, 4.4)

    @classmethod
    def _measure(cls, estimator, X, y):
        return {"history": estimator.history_}

    def _draw(self, ax):
        epochs, self.lines_ = self.history["epoch"], {}
        for color, (objective, label) in zip(COLORS, _OBJECTIVES.items(), strict=False):
            if objective in self.history:
                style = {"color": color, "label": label}
                (self.lines_[objective],) = ax.plot(epochs, self.history[objective], **style)
        ax.set(xlabel="epoch", yscale="log", ylabel="objective")
        plain_axes(ax)
        self.legend_ = legend_above(ax, ncols=3)

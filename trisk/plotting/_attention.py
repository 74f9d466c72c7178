"""Which elemental properties a network attends to."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._style import class_name, new_axes


class AttentionDisplay:
    """Attention between property tokens, averaged over rows, heads and members.

    Each line of the picture is a property that looks, each column one that is looked at; lines
    add up to one. Properties stand in the order of the attention that they receive. Attention
    shows what the network mixes; it is no proof of what matters for the prediction.

    Parameters
    ----------
    weights : array-like of shape (n_properties, n_properties)
        Attention from the property of a line to that of a column.
    names : list of str
        The properties.
    name : str, default=None
        Title of the picture.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the picture.
    figure_ : matplotlib.figure.Figure
        Their figure.
    image_ : matplotlib.image.AxesImage
        The picture.
    order_ : ndarray of shape (n_properties,)
        Properties from the most to the least attended.
    """

    def __init__(self, *, weights, names, name=None):
        self.weights = weights
        self.names = names
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, *, layer=-1, n_properties=22, ax=None, name=None):
        """Draw the attention of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted HybridTRIADS estimator with ``n_attention_layers`` of one or more, or a
            pipeline that ends in one.
        X : array-like of shape (n_samples, n_features) or (n_samples,)
            Rows over which to average.
        layer : int, default=-1
            Which attention layer; the last one by default.
        n_properties : int, default=22
            How many properties to show, the most attended ones.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        name : str, default=None
            Title; the estimator's class if None.

        Returns
        -------
        AttentionDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no attention.
        """
        check_is_fitted(estimator)
        name = class_name(estimator) if name is None else name
        last = estimator
        if isinstance(estimator, Pipeline):
            last = estimator[-1]
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        weights, names = last.attention(X)
        return cls(weights=weights[layer], names=names, name=name).plot(
            ax, n_properties=n_properties
        )

    def plot(self, ax=None, *, n_properties=22):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        n_properties : int, default=22
            How many properties to show.

        Returns
        -------
        AttentionDisplay
            This display.
        """
        weights, names = np.asarray(self.weights), np.asarray(self.names)
        self.order_ = np.argsort(-weights.mean(axis=0), kind="stable")
        shown = self.order_[:n_properties]
        ax = new_axes(ax, (7.2, 6.4))
        self.ax_, self.figure_ = ax, ax.figure
        # White is an even share, whatever the number of properties.
        relative = len(weights) * weights[np.ix_(shown, shown)]
        reach = max(np.abs(relative - 1).max(), 0.05)
        limits = {"vmin": 1 - reach, "vmax": 1 + reach}
        self.image_ = ax.imshow(relative, cmap="PuOr_r", aspect="equal", **limits)
        ax.set_xticks(range(len(shown)), names[shown], rotation=90)
        ax.set_yticks(range(len(shown)), names[shown])
        ax.tick_params(length=0, labelsize="small")
        ax.set(xlabel="attended property", ylabel="attending property", title=self.name or "")
        self.figure_.colorbar(
            self.image_, ax=ax, shrink=0.75, label="attention (1 = an even share)"
        )
        return self

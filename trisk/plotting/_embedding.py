"""A map of what a transformer makes of materials."""

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._style import COLORS, new_axes, with_unit

_MOST_CLASSES = len(COLORS)


class EmbeddingDisplay:
    """Two-dimensional map of embeddings or of any columns, coloured by a property.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2)
        Where the rows lie.
    color : array-like of shape (n_samples,), default=None
        Numbers, or names of up to seven classes.
    quantity : str, default=None
        What the colour tells; ``color.attrs["quantity"]`` if None.
    unit : str, default=None
        Its unit; ``color.attrs["unit"]`` if None.
    axis_labels : tuple of str, default=("map 1", "map 2")
        Labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the map.
    figure_ : matplotlib.figure.Figure
        Their figure.
    points_ : list of matplotlib.collections.PathCollection
        The points; one collection per class.
    """

    def __init__(
        self, *, coordinates, color=None, quantity=None, unit=None, axis_labels=("map 1", "map 2")
    ):
        self.coordinates = coordinates
        self.color = color
        self.quantity = quantity
        self.unit = unit
        self.axis_labels = axis_labels

    @classmethod
    def from_estimator(
        cls, transformer, X, *, color=None, reducer=None, quantity=None, unit=None, ax=None
    ):
        """Transform rows, reduce them to two dimensions, and draw.

        Parameters
        ----------
        transformer : estimator instance
            Fitted transformer, such as an encoder of structures or formulas, or a pipeline of
            some.
        X : array-like of shape (n_samples, ...)
            What it transforms.
        color : array-like of shape (n_samples,), default=None
            Numbers, or names of up to seven classes.
        reducer : transformer, default=None
            What makes two dimensions, such as :class:`sklearn.manifold.TSNE`; the first two
            principal components of the standardised columns if None.
        quantity : str, default=None
            What the colour tells.
        unit : str, default=None
            Its unit.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        EmbeddingDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the transformer is not fitted.
        ValueError
            If rows could not be transformed, or there are too many classes to tell apart.
        """
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        check_is_fitted(transformer)
        columns = check_array(transformer.transform(X), input_name="the embedding", dtype=float)
        columns = StandardScaler().fit_transform(columns)
        labels = ("map 1", "map 2")
        if reducer is None:
            pca = PCA(2).fit(columns)
            coordinates = pca.transform(columns)
            shares = pca.explained_variance_ratio_
            first, second = (f"component {k + 1} ({shares[k]:.0%} of variance)" for k in (0, 1))
            labels = first, second
        else:
            coordinates = reducer.fit_transform(columns)
        display = cls(
            coordinates=coordinates, color=color, quantity=quantity, unit=unit, axis_labels=labels
        )
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        EmbeddingDisplay
            This display.
        """
        points = check_array(self.coordinates, input_name="coordinates", dtype=float)
        ax = new_axes(ax, (6, 4.8))
        self.ax_, self.figure_ = ax, ax.figure
        style = {"s": 9 if len(points) > 1000 else 18, "linewidths": 0, "alpha": 0.75}
        color = None if self.color is None else np.asarray(self.color)
        check_consistent_length(points, color)
        attributes = getattr(self.color, "attrs", {})
        quantity = self.quantity or attributes.get("quantity")
        if color is None:
            self.points_ = [ax.scatter(*points.T[:2], color=COLORS[0], **style)]
        elif color.dtype.kind in "fiu":
            self.points_ = [ax.scatter(*points.T[:2], c=color, cmap="viridis", **style)]
            label = with_unit(quantity or "value", self.unit or attributes.get("unit"))
            self.figure_.colorbar(self.points_[0], ax=ax, label=label)
        else:
            self.points_ = self._draw_classes(ax, points, color.astype(str), style)
            ax.legend(title=quantity, frameon=False, fontsize="small", loc="best")
        ax.set(xlabel=self.axis_labels[0], ylabel=self.axis_labels[1])
        ax.spines[["top", "right"]].set_visible(False)
        return self

    @staticmethod
    def _draw_classes(ax, points, color, style):
        classes = np.unique(color)
        if len(classes) > _MOST_CLASSES:
            raise ValueError(
                f"color holds {len(classes)} classes, but only {_MOST_CLASSES} colours can be told "
                "apart: join the rare ones."
            )
        return [
            ax.scatter(*points[color == name].T[:2], color=shade, label=name, **style)
            for name, shade in zip(classes, COLORS, strict=False)
        ]

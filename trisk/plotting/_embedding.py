"""A map of what a transformer makes of materials."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from trisk.plotting._base import COLORS, Display, attribute, with_unit


@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingDisplay(Display):
    """Two-dimensional map of embeddings or of any columns, coloured by a property.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2)
        Where the rows lie.
    color : array-like of shape (n_samples,), default=None
        Numbers, or names of up to seven classes.
    quantity, unit : str, default=None
        What the colour tells, and its unit; those of ``color.attrs`` if None.
    axis_labels : tuple of str, default=("map 1", "map 2")
        Labels of the axes.

    {Attributes}
    points_ : list of matplotlib.collections.PathCollection
        The points; one collection per class.
    """

    coordinates: Any
    color: Any = None
    quantity: str | None = None
    unit: str | None = None
    axis_labels: tuple[str, str] = ("map 1", "map 2")

    _size = (6, 4.8)

    @classmethod
    def from_estimator(cls, transformer, X, *, reducer=None, ax=None, **parameters):
        """Transform rows, reduce them to two dimensions, and draw.

        Parameters
        ----------
        transformer : estimator instance
            Fitted transformer, such as an encoder of structures or formulas, or a pipeline of some.
        X : array-like of shape (n_samples, ...)
            What it transforms.
        reducer : transformer, default=None
            What makes two dimensions, such as :class:`sklearn.manifold.TSNE`; the first two
            principal components of the standardised columns if None.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        **parameters
            Further parameters of the class, such as ``color``.

        Returns
        -------
        EmbeddingDisplay
            The display, drawn.
        """
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        check_is_fitted(transformer)
        columns = check_array(transformer.transform(X), input_name="the embedding", dtype=float)
        columns = StandardScaler().fit_transform(columns)
        if reducer is None:
            pca = PCA(2).fit(columns)
            shares = enumerate(pca.explained_variance_ratio_, start=1)
            labels = tuple(f"component {k} ({share:.0%} of variance)" for k, share in shares)
            parameters = {"axis_labels": labels, **parameters}
        coordinates = (pca if reducer is None else reducer).fit_transform(columns)
        return cls(coordinates=coordinates, **parameters).plot(ax)

    def _checked(self):
        points = check_array(self.coordinates, input_name="coordinates", dtype=float)
        color = None if self.color is None else np.asarray(self.color)
        check_consistent_length(points, color)
        if color is not None and color.dtype.kind not in "fiu":
            color = color.astype(str)
            if (n_classes := len(np.unique(color))) > len(COLORS):
                raise ValueError(
                    f"color holds {n_classes} classes, but only {len(COLORS)} colours can be told "
                    "apart: join the rare ones."
                )
        return points[:, :2], color

    def _draw(self, ax, points, color):
        style = {"s": 9 if len(points) > 1000 else 18, "linewidths": 0, "alpha": 0.75}
        quantity = attribute(self.quantity, self.color, "quantity")
        if color is None:
            self.points_ = [ax.scatter(*points.T, color=COLORS[0], **style)]
        elif color.dtype.kind in "fiu":
            self.points_ = [ax.scatter(*points.T, c=color, cmap="viridis", **style)]
            label = with_unit(quantity or "value", attribute(self.unit, self.color, "unit"))
            self.figure_.colorbar(self.points_[0], ax=ax, label=label)
        else:
            self.points_ = [
                ax.scatter(*points[color == name].T, color=shade, label=name, **style)
                for name, shade in zip(np.unique(color), COLORS, strict=False)
            ]
            ax.legend(title=quantity, frameon=False, fontsize="small", loc="best")
        ax.set(xlabel=self.axis_labels[0], ylabel=self.axis_labels[1])
        ax.spines[["top", "right"]].set_visible(False)

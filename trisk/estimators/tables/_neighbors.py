"""Columns that say what the nearest training rows measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from trisk.estimators._preprocessing import ColumnScaler

# More rows than this are not searched: a random part of them stands for all.
_MAX_ROWS = 20_000
# Share of the rows that a member may see as neighbours in one epoch.
_VISIBLE = 0.7


@dataclass(frozen=True)
class NeighborColumns:
    """Targets of the nearest training rows as further columns of a table.

    Blocks of columns (element fractions, Magpie statistics, …) each have a metric of their own:
    the Manhattan distance between robustly scaled columns. For every block a row gets the
    inverse-distance-weighted mean target of its 1, √k and k nearest training rows, the spread
    of the k targets, and how far the first and the last of them are.

    Attributes
    ----------
    scaler : ColumnScaler
        Scaling of the columns, always robust.
    blocks : tuple of ndarray of int
        Columns of each block.
    rows : ndarray of shape (n_kept_rows, n_columns)
        Scaled training rows.
    target : ndarray of shape (n_kept_rows, n_outputs)
        Their scaled targets or class indicators.
    n_neighbors : int
        Number of neighbours, k.
    """

    scaler: ColumnScaler
    blocks: tuple[np.ndarray, ...]
    rows: np.ndarray
    target: np.ndarray
    n_neighbors: int

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Columns for new rows, unscaled."""
        scaled = self.scaler.transform(X).astype(np.float32)
        described = []
        for block in self.blocks:
            distance, index = self.search(scaled, block, self.n_neighbors)
            described.append(self.describe(distance, index, block))
        return np.hstack(described)

    def search(self, scaled, block, n_neighbors):
        """Distances and indices of the nearest kept rows in one block."""
        search = NearestNeighbors(metric="manhattan", algorithm="brute")
        return search.fit(self.rows[:, block]).kneighbors(scaled[:, block], n_neighbors)

    def describe(self, distance, index, block):
        """Columns of one block from the k nearest rows."""
        k = self.n_neighbors
        targets = self.target[index]
        nearness = 1 / (distance + 1e-3 * len(block) ** 0.5)
        columns = [
            np.einsum("nk,nko->no", nearness[:, :m], targets[:, :m])
            / nearness[:, :m].sum(1, keepdims=True)
            for m in sorted({1, round(k**0.5), k})
        ]
        columns.append(targets.std(1))
        columns.append(np.log(distance[:, [0, -1]] + 1e-2))
        return np.hstack(columns)


class NeighborDraws:
    """Neighbour columns of the training rows themselves, drawn anew for every epoch.

    In each epoch a member may see a random part of the rows, and no row sees itself. Fixed
    columns that leave out a row's own target would let a network read that target from what
    its neighbours lack; with parts that change there is nothing to memorise.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Training rows.
    target : ndarray of shape (n_rows, n_outputs)
        Scaled targets or class indicators.
    weight : ndarray of shape (n_rows,)
        Row weights.
    names : sequence of str or None
        Column names, which give the blocks.
    n_neighbors : int
        Number of neighbours, k.
    """

    def __init__(
        self,
        X: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        *,
        names: Sequence[str] | None,
        n_neighbors: int,
    ):
        scaler = ColumnScaler.fit(X, weight, "robust")
        scaled = scaler.transform(X).astype(np.float32)
        self.kept = np.arange(len(X))
        if len(X) > _MAX_ROWS:
            self.kept = np.sort(np.random.default_rng(0).permutation(len(X))[:_MAX_ROWS])
        k = min(n_neighbors, max(1, len(self.kept) // 2))
        self.columns = NeighborColumns(
            scaler, _blocks(names, scaler.varying), scaled[self.kept], target[self.kept], k
        )
        # So many that nearly always k of them remain after the draw.
        n_candidates = min(3 * k + 8, len(self.kept))
        self._candidates = [
            self.columns.search(scaled, block, n_candidates) for block in self.columns.blocks
        ]

    def draw(self, seed: int, epoch: int, visible: np.ndarray | None = None) -> np.ndarray:
        """Columns of all training rows for one member and epoch.

        Parameters
        ----------
        seed : int
            The member's seed.
        epoch : int
            Number of the epoch.
        visible : ndarray of int or None
            Rows that may be seen, all of them; None draws a random part.

        Returns
        -------
        columns : ndarray of shape (n_rows, n_neighbor_columns)
            Unscaled.
        """
        n_rows = len(self._candidates[0][0])
        if visible is None:
            rng = np.random.default_rng([seed, 2, epoch])
            is_visible = rng.random(n_rows) < _VISIBLE
        else:
            is_visible = np.isin(np.arange(n_rows), visible)
        own = np.arange(n_rows)[:, None]
        described = []
        for (distance, index), block in zip(self._candidates, self.columns.blocks, strict=True):
            row = self.kept[index]
            chosen = _first(is_visible[row] & (row != own), self.columns.n_neighbors)
            described.append(
                self.columns.describe(
                    np.take_along_axis(distance, chosen, 1),
                    np.take_along_axis(index, chosen, 1),
                    block,
                )
            )
        return np.hstack(described)


def _first(usable: np.ndarray, k: int) -> np.ndarray:
    """Positions of the first k usable candidates; the last of them repeated where too few."""
    # A stable sort brings usable candidates to the front in their order.
    order = np.argsort(~usable, axis=1, kind="stable")[:, :k]
    last = np.maximum(usable.sum(1), 1)[:, None] - 1
    return np.take_along_axis(order, np.minimum(np.arange(k)[None], last), axis=1)


def _blocks(names: Sequence[str] | None, varying: np.ndarray) -> tuple[np.ndarray, ...]:
    """Varying columns by the first word of their names; one block where there are no names."""
    kept = np.flatnonzero(varying) if varying.any() else np.arange(1)
    if names is None:
        return (kept,)
    groups: dict[str, list[int]] = {}
    for column in kept.tolist():
        groups.setdefault(names[column].partition(" ")[0], []).append(column)
    return tuple(np.array(g) for g in groups.values())

"""Columns that say what the nearest training rows measured."""

import re
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from trisk.estimators.equality import equal_rows
from trisk.estimators.scaling import ColumnScaler

# More rows than this are not searched: a random part of them stands for all.
_MAX_ROWS = 20_000
# Share of the rows that a member may see as neighbours in one epoch.
_VISIBLE = 0.7
# Distances that differ by less than this part are ties.
_TIE = 1e-5
# Distances held at once where ties reach beyond the candidates.
_DISTANCES = 4_000_000
# How trisk's featurizers begin the names of their columns; ColumnTransformer and FeatureUnion
# may have put "name__" in front.
_FEATURIZERS = (
    "AtomicOrbitals",
    "BandCenter",
    "ElementFraction",
    "IonProperty",
    "Layer",
    "MagpieData",
    "Miedema",
    "Pretrained",
    "Sensor",
    "Spring",
    "Stoichiometry",
    "TMetalFraction",
    "ValenceOrbital",
    "WenAlloys",
    "YangSolidSolution",
    "mat2vec",
)
_BLOCK = re.compile(rf"^(?:.*__)?({'|'.join(_FEATURIZERS)}) ")


@dataclass(frozen=True)
class NeighborColumns:
    """Targets of the nearest training rows as further columns of a table.

    What they hold stands in ``docs/networks/hybrid_triads.md``. Rows at equal distance share the
    places that are left, so that the columns depend on the row alone. The `rows` are scaled
    training rows, robustly in any case, the `target` their scaled targets or class indicators,
    and `blocks` the columns of each block.
    """

    scaler: ColumnScaler
    blocks: tuple[np.ndarray, ...]
    rows: np.ndarray
    target: np.ndarray
    n_neighbors: int

    def transform(self, X):
        """Columns for new rows, unscaled."""
        scaled = self.scaler.transform(X).astype(np.float32)
        return np.hstack([self._describe_block(scaled[:, b], b) for b in self.blocks])

    def _describe_block(self, rows, block):
        n_known, k = len(self.rows), self.n_neighbors
        distance, index = self._search(rows, block, min(2 * k + 8, n_known))
        described = self.describe(distance, index, np.ones_like(index, dtype=bool), block)
        # Where the last candidate is as near as the k-th, further rows may be, too.
        tied = _ties(distance[:, -1], distance[:, k - 1])
        for part in self._parts(np.flatnonzero(tied) if index.shape[1] < n_known else []):
            distance, index = self._sort_all(rows[part], block)
            usable = np.ones_like(index, dtype=bool)
            described[part] = self.describe(distance, index, usable, block)
        return described

    def candidates(self, scaled, block, n_candidates):
        """Nearest kept rows in one block, ties in the order of the rows, and their distances."""
        rows, n_searched = scaled[:, block], min(n_candidates + 1, len(self.rows))
        distance, index = self._search(rows, block, n_searched)
        order = np.lexsort((index, distance), axis=1)[:, :n_candidates]
        tied = _ties(distance[:, -1], distance[:, n_candidates - 1])
        distance = np.take_along_axis(distance, order, 1)
        index = np.take_along_axis(index, order, 1)
        for part in self._parts(np.flatnonzero(tied) if n_searched > n_candidates else []):
            sorted_distance, sorted_index = self._sort_all(rows[part], block)
            distance[part] = sorted_distance[:, :n_candidates]
            index[part] = sorted_index[:, :n_candidates]
        return distance, index

    def _search(self, rows, block, n_neighbors):
        search = NearestNeighbors(metric="manhattan", algorithm="brute")
        return search.fit(self.rows[:, block]).kneighbors(rows, n_neighbors)

    def _sort_all(self, rows, block):
        """Distances of all kept rows, nearest first, and the rows."""
        distance = cdist(rows, self.rows[:, block], "cityblock")
        index = np.argsort(distance, axis=1, kind="stable")
        return np.take_along_axis(distance, index, axis=1), index

    def _parts(self, rows):
        """Parts of some rows whose distances fit into memory; none of no rows."""
        n_parts = len(rows) * len(self.rows) // _DISTANCES + 1
        return np.array_split(rows, n_parts) if len(rows) else []

    def describe(self, distance, index, usable, block):
        """Columns of one block from candidates in the order of their distance."""
        k, targets = self.n_neighbors, self.target[index]
        nearness = 1 / (distance + 1e-3 * len(block) ** 0.5)
        columns = []
        for m in sorted({1, round(k**0.5), k}):
            share, last = _shares(distance, usable, m)
            weight = share * nearness
            mean = np.einsum("nk,nko->no", weight, targets) / weight.sum(1, keepdims=True)
            columns.append(mean)
            if m == 1:
                first = last
        total = share.sum(1, keepdims=True)
        center = np.einsum("nk,nko->no", share, targets) / total
        square = np.einsum("nk,nko->no", share, np.square(targets - center[:, None])) / total
        columns.append(np.sqrt(square))
        columns.append(np.log(np.stack([first, last], axis=1) + 1e-2))
        return np.hstack(columns)


def _shares(distance, usable, m):
    """How much each candidate counts among the m nearest usable ones, and the m-th distance.

    Candidates are in the order of their distance; those that tie for the last places share them.
    """
    count = usable.cumsum(axis=1)
    wanted = np.minimum(m, count[:, -1])[:, None]
    place = (count >= wanted).argmax(axis=1)[:, None]
    last = np.take_along_axis(distance, place, axis=1)
    nearer = usable & (distance < last * (1 - _TIE))
    tied = usable & ~nearer & (distance <= last * (1 + _TIE))
    left = wanted - nearer.sum(axis=1, keepdims=True)
    return nearer + tied * (left / tied.sum(axis=1, keepdims=True)), last[:, 0]


class NeighborDraws:
    """Neighbour columns of the training rows themselves, drawn anew for every epoch.

    In each epoch a member may see a random part of the rows, and no row sees its equals. Fixed
    columns that leave out a row's own target would let a network read that target from what
    its neighbours lack; with parts that change there is nothing to memorise. Names of trisk's
    featurizers divide the columns into blocks.
    """

    def __init__(self, X, target, weight, *, names, n_neighbors):
        scaler = ColumnScaler.fit(X, weight)
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
        group, own = equal_rows(X), np.arange(len(X))[:, None]
        self._candidates = []
        for block in self.columns.blocks:
            distance, index = self.columns.candidates(scaled, block, n_candidates)
            row = self.kept[index]
            others = group[row] != group[:, None]
            others = np.where(others.any(axis=1, keepdims=True), others, row != own)
            self._candidates.append((distance, index, row, others))

    def draw(self, seed, epoch, visible=None):
        """Unscaled columns of all rows for a member and epoch, which sees a part of the rows."""
        n_rows = len(self._candidates[0][0])
        if visible is None:
            is_visible = np.random.default_rng([seed, 2, epoch]).random(n_rows) < _VISIBLE
        else:
            is_visible = np.isin(np.arange(n_rows), visible)
        described = []
        for (distance, index, row, others), block in zip(
            self._candidates, self.columns.blocks, strict=True
        ):
            usable = is_visible[row] & others
            usable = np.where(usable.any(axis=1, keepdims=True), usable, others)
            described.append(self.columns.describe(distance, index, usable, block))
        return np.hstack(described)


def _ties(distance, other):
    """Whether distances differ by rounding only."""
    return distance <= other * (1 + 2 * _TIE)


def _blocks(names, varying):
    """Varying columns by the featurizer that named them; all others are one block."""
    kept = np.flatnonzero(varying) if varying.any() else np.arange(1)
    groups: dict[str, list[int]] = {}
    for column in kept.tolist():
        match = _BLOCK.match(names[column]) if names is not None else None
        groups.setdefault(match[1] if match else "", []).append(column)
    return tuple(np.array(group) for group in groups.values())

"""Tables whose columns form named blocks → vectors whose distance is what is asked for."""

import re
from dataclasses import dataclass

import numpy as np
from sklearn.utils import gen_batches

_NUMBERED = re.compile(r"(?P<block>.+) \d+")
#: Name of the one block of a table whose columns are not numbered by block.
WHOLE = "all"

_ROWS = 50_000  # rows that are computed in double precision at once


def find_blocks(names, n_columns):
    """Find the blocks that columns form.

    Parameters
    ----------
    names : list of str or None
        Names of the columns, such as ``"structure 0"``, ``"structure 1"``, …; None if they have
        none.
    n_columns : int
        Number of columns.

    Returns
    -------
    dict of str to ndarray of int
        Columns by block, in order of their first column. One block of all columns, named
        ``"all"``, unless every name is a block's name with a number.
    """
    matches = [match for name in names or () if (match := _NUMBERED.fullmatch(name))]
    if len(matches) < n_columns:
        return {WHOLE: np.arange(n_columns)}
    blocks = np.array([match["block"] for match in matches])
    return {str(name): np.flatnonzero(blocks == name) for name in dict.fromkeys(blocks)}


def resolve_weights(streams, blocks):
    """Weights of the blocks that are asked for.

    Parameters
    ----------
    streams : str, list of str, dict of str to float, or None
        One block, several of equal weight, weights by block, or all.
    blocks : iterable of str
        Blocks that there are.

    Returns
    -------
    dict of str to float
        Positive weights, which add up to 1.

    Raises
    ------
    ValueError
        If a block does not exist, is named twice or has no weight that can be used.
    """
    blocks = list(blocks)
    if streams is None:
        streams = blocks
    if isinstance(streams, str):
        streams = [streams]
    if not isinstance(streams, dict):
        streams = list(streams)
        if len(set(streams)) < len(streams):
            raise ValueError(f"streams names a stream twice: {streams}.")
        streams = dict.fromkeys(streams, 1.0)
    unknown = [name for name in streams if name not in blocks]
    if unknown:
        raise ValueError(f"There is no stream {unknown[0]!r}; the embedding has {blocks}.")
    values = np.array(list(streams.values()), dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise ValueError(
            f"Weights of streams must be finite, not negative, and not all 0, but are {streams}."
        )
    return {n: w / values.sum() for n, w in zip(streams, values.tolist(), strict=True) if w > 0}


@dataclass(frozen=True)
class BlockScaler:
    """Turns a table into vectors whose squared Euclidean distance is a weighted sum over blocks.

    Parameters
    ----------
    columns : dict of str to ndarray of int
        Columns of each block that is used.
    weights : dict of str to float
        Their weights.
    metric : {"cosine", "euclidean"}
        With "cosine", every block has unit length, and half the squared distance of two vectors
        is the weighted mean of one minus the cosines of the blocks. With "euclidean", the squared
        distance is the weighted sum of those of the blocks.
    means, scales : dict of str to ndarray, or None
        Means and standard deviations of the columns; None leaves them as they are. A block's
        squared distance is then a sum over its columns, not a mean.
    """

    columns: dict
    weights: dict
    metric: str
    means: dict | None
    scales: dict | None

    @classmethod
    def fit(cls, table, blocks, weights, metric, standardize):
        """Learn means and scales of the columns.

        Parameters
        ----------
        table : ndarray of shape (n_samples, n_columns)
            Embeddings.
        blocks : dict of str to ndarray of int
            Columns by block.
        weights : dict of str to float
            Weights of the blocks that are used.
        metric : {"cosine", "euclidean"}
            What the distance of two vectors is.
        standardize : bool
            Whether columns are centred and scaled to unit variance.

        Returns
        -------
        BlockScaler
            The scaler.
        """
        columns = {name: blocks[name] for name in weights}
        if not standardize:
            return cls(columns, weights, metric, None, None)
        mean, scale = _mean_and_std(table)
        # Rounding makes a constant column vary; blown up, it would be noise.
        scale[scale <= 1e-7 * np.abs(mean)] = np.inf
        scale[scale == 0] = np.inf
        return cls(
            columns,
            weights,
            metric,
            {name: mean[places] for name, places in columns.items()},
            {name: scale[places] for name, places in columns.items()},
        )

    def transform(self, table):
        """Make vectors.

        Parameters
        ----------
        table : ndarray of shape (n_samples, n_columns)
            Embeddings.

        Returns
        -------
        ndarray of float32 of shape (n_samples, n_dimensions)
            Vectors.
        """
        width = sum(map(len, self.columns.values()))
        vectors = np.empty((len(table), width), dtype=np.float32)
        for rows in gen_batches(len(table), _ROWS):
            start = 0
            for name, places in self.columns.items():
                stop = start + len(places)
                vectors[rows, start:stop] = self._scale(name, table[rows][:, places])
                start = stop
        return vectors

    def _scale(self, name, block):
        block = block.astype(np.float64)
        if self.means is not None and self.scales is not None:
            block = (block - self.means[name]) / self.scales[name]
        if self.metric == "cosine":
            norms = np.linalg.norm(block, axis=1, keepdims=True)
            block /= np.where(norms > 0, norms, 1)
        elif self.means is not None:
            block /= np.sqrt(block.shape[1])
        return np.sqrt(self.weights[name]) * block


def _mean_and_std(table):
    """Of each column, in double precision without a copy of the table."""
    mean = table.mean(axis=0, dtype=np.float64)
    squares = np.zeros(table.shape[1])
    for rows in gen_batches(len(table), _ROWS):
        squares += ((table[rows] - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / len(table))

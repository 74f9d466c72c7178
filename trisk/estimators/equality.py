"""Which rows are equal: they are merged into one, or stay together."""

import hashlib

import numpy as np
import pandas as pd

from trisk.structures import CrystalGraphs, read_structures
from trisk.structures.readers import is_structure


def merge_duplicates(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge equal rows into one with the sum of their weights, in an order of their own.

    After this a weight of two and a row given twice are the same thing, and a fit does not
    depend on the order of rows. Rows of weight zero are left out; weights average one.
    """
    kept = weight > 0
    rows = _plain(np.hstack([X[kept], y[kept]]))
    first, total = _merge(_row_keys(rows), weight[kept])
    unique = rows[first]
    n_columns = X.shape[1]
    return unique[:, :n_columns], unique[:, n_columns:], total / total.mean()


def merge_structures(graphs, y: np.ndarray, weight: np.ndarray):
    """The same for structures, which are equal where atoms, cells and contexts are."""
    # Structures come in an order that no target changes.
    first, total = _merge(_row_keys(_digests(graphs, _plain(y))), weight)
    return graphs.take(first), y[first], total


def equal_rows(X):
    """A number for each row, shared by equal ones, as they appear.

    Rows are those of graphs, structures, or a table of numbers, texts and structures.
    """
    X = X.toarray() if hasattr(X, "toarray") else X
    if isinstance(X, CrystalGraphs):
        columns = _digests(X).T
    elif hasattr(X, "columns"):
        columns = [_comparable(X.iloc[:, k]) for k in range(X.shape[1])]
    elif hasattr(X, "__array__") or not is_structure(X[0]):
        columns = [_comparable(column) for column in np.atleast_2d(np.asarray(X).T)]
    else:
        columns = [_comparable(X)]
    table = pd.DataFrame(dict(enumerate(columns)))
    return pd.factorize(pd.util.hash_pandas_object(table, index=False))[0]


def _comparable(column):
    """Values of a column, or numbers of its structures, that are equal in their bytes."""
    if is_structure(next(iter(column))):
        return equal_rows(read_structures(column, on_error="nan")[0])
    values = np.asarray(column)
    return _plain(values) if values.dtype.kind == "f" else values


def _digests(graphs, *tables):
    """Bytes of each structure, and of its row of tables, that tell it from others, as numbers."""
    cells = graphs.lattices.reshape(len(graphs), -1)
    rows = _plain(np.hstack([cells, graphs.pbc, graphs.context]))
    atoms = _plain(np.column_stack([graphs.atomic_numbers, graphs.positions, graphs.atom_features]))
    offsets = graphs.offsets["atom"].tolist()
    keys = b"".join(
        hashlib.blake2b(part.tobytes(), digest_size=16).digest()
        for start, end, *of_row in zip(offsets, offsets[1:], rows, *tables, strict=False)
        for part in (atoms[start:end], *of_row)
    )
    return np.frombuffer(keys, dtype=np.uint64).reshape(len(graphs), -1)


def _row_keys(rows):
    """The bytes of each row as one value."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _plain(values):
    """Values that are equal in their bytes where they compare equal: no −0.0."""
    return np.ascontiguousarray(values + 0.0)


def _merge(keys, weight):
    """First place of each distinct key, in the order of keys, and the sum of its weights."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return first, np.bincount(group, weights=weight)

"""Any accepted collection → a plain list of values, and errors that name a row of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowError:
    """A row that could not be featurized.

    Parameters
    ----------
    row : int
        Position in the input, from 0.
    formula : str
        The value, as text.
    featurizer : str
        Class name of the featurizer that gave up.
    cause : str
        What was wrong.
    """

    row: int
    formula: str
    featurizer: str
    cause: str


def as_value_list(X, what="compositions"):
    """Turn any accepted collection into a plain list, one value per row.

    Parameters
    ----------
    X : array-like of shape (n_samples,) or (n_samples, 1)
        The collection.
    what : str, default="compositions"
        What it holds, for messages.

    Returns
    -------
    list
        Its values.

    Raises
    ------
    ValueError
        When it is a single value or has several columns.
    """
    if isinstance(X, str | bytes | os.PathLike | Mapping) or _is_single_object(X):
        raise ValueError(
            f"expected a collection of {what}, got a single {type(X).__name__}; "
            "put it into a list: [X]"
        )
    if hasattr(X, "iloc"):
        values = X.iloc[:, 0].tolist() if _single_column(X, what) else X.tolist()
    elif isinstance(X, list | tuple):
        values = list(X)
    elif hasattr(X, "__array__"):
        X = np.asarray(X)
        values = X[:, 0].tolist() if _single_column(X, what) else X.tolist()
    elif hasattr(X, "__iter__") and not hasattr(X, "toarray"):
        values = list(X)
    else:
        raise ValueError(f"expected a one-dimensional collection of {what}, got {type(X).__name__}")
    if values and all(type(value) in (list, tuple) and len(value) == 1 for value in values):
        values = [value[0] for value in values]
    return values


def _single_column(X, what):
    """Whether X is a table; refuse one with any other number of columns than one."""
    if X.ndim == 1:
        return False
    if X.ndim != 2 or X.shape[1] != 1:
        raise ValueError(
            f"expected one column of {what}, got an array of shape {tuple(X.shape)}; select the "
            f'column that holds them, for example X["{what[:-1]}"], or use a ColumnTransformer'
        )
    return True


def _is_single_object(X):
    """Whether X is Atoms, a Structure or the like; a DataFrame may have such a column."""
    is_object = hasattr(X, "get_chemical_symbols") or hasattr(X, "composition")
    return is_object and not hasattr(X, "iloc")

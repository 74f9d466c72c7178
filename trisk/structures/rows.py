"""Any accepted collection → a plain list of values, and errors that name a row of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_ERRORS_SHOWN = 5


@dataclass(frozen=True)
class RowError:
    """A row that could not be used: its position, its value as text, who gave up, and why."""

    row: int
    formula: str
    featurizer: str
    cause: str


def list_errors(errors):
    """The first errors, a line each, and how many there are beside them."""
    shown = [f"row {e.row}: {e.formula!r}: {e.cause}" for e in errors[:_ERRORS_SHOWN]]
    shown += [f"and {len(errors) - len(shown)} more"] if len(errors) > len(shown) else []
    return "\n  ".join(shown)


def as_value_list(X, what="compositions"):
    """Turn any collection of values, or a table of one column, into a list, one value per row."""
    # A DataFrame may have a column of that name.
    is_object = hasattr(X, "get_chemical_symbols") or hasattr(X, "composition")
    if isinstance(X, str | bytes | os.PathLike | Mapping) or (is_object and not hasattr(X, "iloc")):
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


def map_chunks(function, chunks, *, n_jobs=None, progress=None, unit="structures"):
    """Results of a function for each chunk, over joblib workers; `progress` names a bar."""
    from joblib import Parallel, delayed, effective_n_jobs
    from tqdm import tqdm

    total = sum(len(chunk) for chunk in chunks)
    # Not every backend of joblib can give results one by one: the bar moves by rounds.
    step = len(chunks) if progress is None else 4 * effective_n_jobs(n_jobs)
    results = []
    with (
        Parallel(n_jobs=n_jobs) as parallel,
        tqdm(total=total, desc=progress, unit=unit, disable=progress is None) as bar,
    ):
        for start in range(0, len(chunks), max(step, 1)):
            part = chunks[start : start + step]
            results += parallel(delayed(function)(chunk) for chunk in part)
            bar.update(sum(len(chunk) for chunk in part))
    return results


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

"""Columns of a table by a pattern in their names, for featurizers and estimators."""

import re

import numpy as np


def match_columns(parameter, pattern, names):
    """Find the columns whose names match.

    Parameters
    ----------
    parameter : str
        Name of the parameter that holds the pattern, for messages.
    pattern : str
        Regular expression, searched anywhere in a name.
    names : sequence of str or None
        Column names; None where the table has none.

    Returns
    -------
    matches : ndarray of bool of shape (n_columns,)
        Which columns match; at least one does.

    Raises
    ------
    ValueError
        If the columns have no names, the pattern is no regular expression, or none matches.
    """
    if names is None:
        raise ValueError(f"{parameter}={pattern!r} needs the names of columns: give a DataFrame.")
    try:
        matches = np.array([bool(re.search(pattern, name)) for name in names])
    except re.error as error:
        raise ValueError(f"{parameter}={pattern!r} is no regular expression: {error}.") from error
    if not matches.any():
        raise ValueError(
            f"{parameter}={pattern!r} matches none of {len(names)} columns, first {names[0]!r}."
        )
    return matches

"""Which columns of a table are property tokens, context, or neither: read from their names."""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trisk._column_names import match_columns
from trisk.nn import InputLayout

_STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
# A ColumnTransformer or FeatureUnion may have put "name__" in front.
_PROPERTY = re.compile(
    rf"^(?P<block>(?:.*__)?\S+) (?P<statistic>{'|'.join(_STATISTICS)}) (?P<property>.+)$"
)
_CONTEXT = re.compile(r"^(?:.*__)?mat2vec \d+$")


def divide_columns(
    names: Sequence[str] | None, n_columns: int, varying: np.ndarray, *, attention: bool
) -> tuple[np.ndarray, InputLayout]:
    """Order a table's columns as property tokens, context, rest.

    A property token is the set of statistics of one elemental property ("MagpieData mean
    Number", "MagpieData range Number", …); the context is the block "mat2vec 0" … . Where names
    are absent or hold no property, every column is its own token.

    Parameters
    ----------
    names : sequence of str or None
        Column names.
    n_columns : int
        Number of columns.
    varying : ndarray of bool, shape (n_columns,)
        Columns that are not constant in training; constant ones are left out of the rest.
    attention : bool
        Whether tokens are wanted at all; otherwise all columns are rest.

    Returns
    -------
    order : ndarray of int
        Indices of the columns to use, tokens first, then context, then rest.
    layout : InputLayout
        How many there are of each.
    """
    # A network needs an input even where every column is constant.
    kept = np.flatnonzero(varying) if varying.any() else np.arange(min(n_columns, 1))
    if not attention:
        return kept, InputLayout(0, 0, 0, len(kept))
    tokens, context = _named_groups(names)
    if not tokens:
        return kept, InputLayout(len(kept), 1, 0, 0)
    token_columns = [column for token in tokens for column in token]
    used = set(token_columns) | set(context)
    rest = [column for column in kept if column not in used]
    order = np.array([*token_columns, *context, *rest], dtype=np.intp)
    return order, InputLayout(len(tokens), len(tokens[0]), len(context), len(rest))


def hide_columns(names, X, pattern):
    """Make columns of a training table constant and nameless, so that none of them is used.

    Parameters
    ----------
    names : sequence of str or None
        Column names.
    X : ndarray of shape (n_rows, n_columns)
        Training rows.
    pattern : str
        Regular expression, searched in the names.

    Returns
    -------
    names : ndarray of str of shape (n_columns,)
        The names, empty where they match.
    X : ndarray of shape (n_rows, n_columns)
        The rows, zero there.

    Raises
    ------
    ValueError
        If the columns have no names, the pattern is no regular expression, or it matches no
        column or all of them.
    """
    hidden = match_columns("companion_only", pattern, names)
    if hidden.all():
        raise ValueError(
            f"companion_only={pattern!r} matches all of {len(names)} columns and leaves the "
            "network none."
        )
    return np.where(hidden, "", names), np.where(hidden, 0.0, X)


def token_names(names: Sequence[str] | None, order: np.ndarray, layout: InputLayout) -> list[str]:
    """Name the property of each token.

    Parameters
    ----------
    names : sequence of str or None
        Column names.
    order : ndarray of int
        Columns in the network's order.
    layout : InputLayout
        How many tokens there are, and their width.

    Returns
    -------
    properties : list of str
        Elemental properties, or columns where every column is a token.
    """
    columns = order[: layout.n_tokens * layout.token_width : layout.token_width]
    if names is None:
        return [f"column {column}" for column in columns]
    matches = [(names[column], _PROPERTY.match(names[column])) for column in columns]
    if layout.token_width == 1:
        return [name for name, _ in matches]
    return [match["property"] if match else name for name, match in matches]


def _named_groups(names: Sequence[str] | None) -> tuple[list[list[int]], list[int]]:
    """Columns of each property that has all statistics, and columns of the context."""
    properties: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    context = []
    for column, name in enumerate(names if names is not None else ()):
        if _CONTEXT.match(name):
            context.append(column)
        elif match := _PROPERTY.match(name):
            properties[match["block"], match["property"]][match["statistic"]] = column
    complete = [p for p in properties.values() if len(p) == len(_STATISTICS)]
    return [[p[s] for s in _STATISTICS] for p in complete], context

"""Which columns of a table are property tokens, context, or neither: read from their names."""

import re
from collections import defaultdict

import numpy as np

from trisk.nn import InputLayout

_STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
# A ColumnTransformer or FeatureUnion may have put "name__" in front.
_PROPERTY = re.compile(
    rf"^(?P<block>(?:.*__)?\S+) (?P<statistic>{'|'.join(_STATISTICS)}) (?P<property>.+)$"
)
_CONTEXT = re.compile(r"^(?:.*__)?mat2vec \d+$")


def divide_columns(names, n_columns, varying, *, attention):
    """Order a table's columns as property tokens, context, rest; constant ones are left out.

    A property token is the set of statistics of one elemental property ("MagpieData mean
    Number", "MagpieData range Number", …); the context is the block "mat2vec 0" … . Where names
    are absent or hold no property, every column is its own token. Without `attention` there are
    neither tokens nor context. Returns the columns in order and the :class:`InputLayout`.
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


def token_names(names, order, layout):
    """Name the property of each token, or the column where every column is a token."""
    columns = order[: layout.n_tokens * layout.token_width : layout.token_width]
    if names is None:
        return [f"column {column}" for column in columns]
    matches = [(names[column], _PROPERTY.match(names[column])) for column in columns]
    if layout.token_width == 1:
        return [name for name, _ in matches]
    return [match["property"] if match else name for name, match in matches]


def _named_groups(names):
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

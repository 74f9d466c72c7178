"""Columns of whole structures that stand beside their graphs."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods

from trisk.featurizers._rows import RowFeaturizer

#: What gives such columns.
TRANSFORMER = HasMethods(["fit", "transform", "get_feature_names_out"])


def fit_transformers(transformers, on_error):
    """Fit copies of transformers that learn nothing from data.

    Parameters
    ----------
    transformers : transformer, sequence of transformers or None
        Of structures, as featurizers of trisk, or of their graphs.
    on_error : {"raise", "nan"}
        What featurizers of trisk do with bad rows.

    Returns
    -------
    list of transformers
        Fitted.

    Raises
    ------
    ValueError
        If one is no transformer.
    """
    if transformers is None:
        return []
    fitted = []
    for transformer in transformers if isinstance(transformers, list | tuple) else [transformers]:
        if not TRANSFORMER.is_satisfied_by(transformer):
            raise ValueError(
                f"structure holds {transformer!r}; expected transformers of structures, such as "
                "SpringModelFeaturizer()"
            )
        transformer = clone(transformer)
        if isinstance(transformer, RowFeaturizer):
            transformer.set_params(on_error=on_error)
        fitted.append(transformer.fit([], None))
    return fitted


def measure(featurizer, X):
    """Columns of all rows; what failed is in the featurizer's report."""
    with warnings.catch_warnings():
        # The report becomes part of the graph featurizer's.
        warnings.filterwarnings("ignore", message=r"\w+: \d+ of \d+ rows hold NaN")
        return featurizer.transform(X).to_numpy()


def transform_graphs(transformer, graphs):
    """Columns of all rows from a transformer that sees the graphs which hold atoms."""
    values = np.full((len(graphs), len(transformer.get_feature_names_out())), np.nan)
    kept = np.flatnonzero(graphs.counts("atom"))
    if len(kept):
        values[kept] = transformer.transform(graphs[kept])
    return values


def with_context(graphs, values, names):
    """The graphs with more context in front; NaN for a graph without atoms."""
    values = np.where((graphs.counts("atom") == 0)[:, None], np.nan, values).astype(np.float32)
    names = {**graphs.names, "context": names + graphs.names["context"]}
    return replace(graphs, context=np.hstack([values, graphs.context]), names=names)

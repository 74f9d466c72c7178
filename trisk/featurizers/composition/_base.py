"""What all composition featurizers share: input, chunks, errors, output."""

from dataclasses import replace

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    check_is_fitted,
)

from trisk.featurizers._rows import FeaturizationError, RowFeaturizer
from trisk.featurizers.composition._compositions import parse_compositions

_CHUNK_ROWS = 2048  # keeps a chunk's temporaries in the processor's cache


class BaseCompositionFeaturizer(RowFeaturizer):
    """Base of the transformers that turn compositions into numbers.

    A subclass implements ``_feature_names(self) -> list of str`` and
    ``_compute(self, table) -> (values, errors)`` with ``values`` a float64 array of shape
    (n_rows, n_features) and ``errors`` a list of ``RowError`` whose ``row`` counts from the start
    of ``table``. The table handed to ``_compute`` never has an empty row. What must be read once
    (element tables, vectors) is read in ``_prepare``, which ``fit`` calls; ``_compute`` may run
    in another process and must not change the featurizer.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for data that an element lacks: the mean over the elements that have it, NaN,
        or an error of that row, which ``on_error`` then treats.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows; None is 1, -1 all processors. Pays off for
        slow descriptors and very many rows only.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize, with the columns row (position
        from 0), formula, featurizer and cause.
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of columns given out.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.
    """

    _parameter_constraints: dict = {
        **RowFeaturizer._parameter_constraints,
        "missing": [StrOptions({"nan", "mean", "raise"})],
    }

    def __init__(self, *, on_error="raise", missing="mean", n_jobs=None):
        super().__init__(on_error=on_error, n_jobs=n_jobs)
        self.missing = missing

    def fit(self, X, y=None):
        """Check the parameters and load the element data; nothing is learned from X.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Formula strings, dicts, pymatgen ``Composition`` or ``Structure`` objects, ASE
            ``Atoms``, or a mixture.
        y : None
            Ignored.

        Returns
        -------
        BaseCompositionFeaturizer
            The fitted featurizer itself.
        """
        return self._fit_rows(X, "compositions")

    def transform(self, X):
        """Featurize compositions.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Formula strings, dicts, pymatgen ``Composition`` or ``Structure`` objects, ASE
            ``Atoms``, or a mixture.

        Returns
        -------
        pandas.DataFrame of shape (n_samples, n_features_out)
            One row per composition, under the index of X if X is a pandas object.

        Raises
        ------
        FeaturizationError
            With ``on_error="raise"``, when a row cannot be featurized.
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        table, errors = parse_compositions(X, on_error=self.on_error)
        if errors and self.on_error == "raise":
            raise FeaturizationError(errors, self._remedy())
        name = type(self).__name__
        errors = [replace(error, featurizer=name) for error in errors]
        values, failures = self._compute_chunked(table)
        self._report(sorted(errors + failures, key=lambda error: error.row), table.n_rows)
        index = X.index if hasattr(X, "iloc") else None
        return pd.DataFrame(values, columns=self._feature_names(), index=index, copy=False)

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, except that it must match the column name seen in ``fit``.

        Returns
        -------
        ndarray of str objects of shape (n_features_out,)
            The names.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._feature_names(), dtype=object)

    def _set_up(self):
        """Become able to compute, whatever the input."""
        super()._set_up()
        self.n_features_out_ = len(self._feature_names())
        return self

    def _feature_names(self):
        raise NotImplementedError

    def _compute(self, table):
        raise NotImplementedError

    def _compute_chunked(self, table):
        """Compute all readable rows chunk by chunk into one array, NaN elsewhere."""
        values = np.empty((table.n_rows, self.n_features_out_))
        values[table.lengths == 0] = np.nan
        readable = np.flatnonzero(table.lengths)
        size = self._chunk_rows(len(readable))
        chunks = [readable[start : start + size] for start in range(0, len(readable), size)]
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(self._compute)(table.take(chunk)) for chunk in chunks
        )
        errors = []
        for chunk, (chunk_values, chunk_errors) in zip(chunks, results, strict=True):
            values[chunk] = chunk_values
            errors += [replace(error, row=int(chunk[error.row])) for error in chunk_errors]
        return values, errors

    def _chunk_rows(self, n_rows):
        """Rows of a chunk: few enough for the cache, and four chunks for each worker."""
        n_workers = effective_n_jobs(self.n_jobs)
        return _CHUNK_ROWS if n_workers == 1 else min(_CHUNK_ROWS, 1 + n_rows // (4 * n_workers))

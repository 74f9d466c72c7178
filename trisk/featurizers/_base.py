"""What all composition featurizers share: input, chunks, errors, output."""

import warnings
from dataclasses import replace
from numbers import Integral

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    check_is_fitted,
)

from trisk.featurizers._compositions import as_value_list, parse_compositions

_CHUNK_ROWS = 2048  # keeps a chunk's temporaries in the processor's cache
_ERRORS_SHOWN = 5
_ERROR_COLUMNS = ["row", "formula", "featurizer", "cause"]


class FeaturizationError(ValueError):
    """Rows that could not be featurized.

    Parameters
    ----------
    errors : list of RowError
        The rows; the first ones are named in the message.
    remedy : str
        What the caller can do.

    Attributes
    ----------
    errors : list of RowError
        The rows, with ``row``, ``formula``, ``featurizer`` and ``cause``.
    """

    def __init__(self, errors, remedy=""):
        self.errors = list(errors)
        self.remedy = remedy
        shown = [f"row {e.row}: {e.formula!r}: {e.cause}" for e in self.errors[:_ERRORS_SHOWN]]
        if len(self.errors) > _ERRORS_SHOWN:
            shown.append(f"and {len(self.errors) - _ERRORS_SHOWN} more")
        lines = "\n  ".join(shown)
        super().__init__(
            f"{len(self.errors)} row(s) could not be featurized:\n  {lines}\n{remedy}".rstrip()
        )

    def __reduce__(self):
        return type(self), (self.errors, self.remedy)


class BaseCompositionFeaturizer(TransformerMixin, BaseEstimator):
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
        "on_error": [StrOptions({"raise", "nan"})],
        "missing": [StrOptions({"nan", "mean", "raise"})],
        "n_jobs": [None, Integral],
    }

    def __init__(self, *, on_error="raise", missing="mean", n_jobs=None):
        self.on_error = on_error
        self.missing = missing
        self.n_jobs = n_jobs

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
        self._set_up()
        as_value_list(X)
        _check_feature_names(self, X, reset=True)
        self.n_features_in_ = 1
        self.errors_ = pd.DataFrame([], columns=_ERROR_COLUMNS)
        return self

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
        errors = sorted(errors + failures, key=lambda error: error.row)
        if errors and self.on_error == "raise":
            raise FeaturizationError(errors, self._remedy())
        self._report(errors, table.n_rows)
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
        self._validate_params()
        self._prepare()
        self.n_features_out_ = len(self._feature_names())
        return self

    def _prepare(self):
        """Read what ``_compute`` needs; a hook of ``fit``."""

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

    def _report(self, errors, n_rows):
        self.errors_ = pd.DataFrame(
            [(e.row, e.formula, e.featurizer, e.cause) for e in errors], columns=_ERROR_COLUMNS
        )
        if errors:
            n_failed = self.errors_["row"].nunique()
            first = errors[0]
            warnings.warn(
                f"{type(self).__name__}: {n_failed} of {n_rows} rows hold NaN because they could "
                f"not be featurized, first row {first.row} ({first.formula!r}: {first.cause}); "
                "see errors_",
                UserWarning,
                stacklevel=4,  # the caller of transform, past scikit-learn's wrapper
            )

    def _remedy(self):
        return (
            f'Correct or drop these rows, or use {type(self).__name__}(on_error="nan") to get NaN '
            "rows and a report in errors_."
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.dict = True
        tags.transformer_tags.preserves_dtype = []
        return tags

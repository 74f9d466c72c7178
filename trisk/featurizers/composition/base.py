"""What all composition featurizers share: input, chunks, output, data that elements lack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from trisk._compat import StrOptions
from trisk.featurizers._rows import TableFeaturizer
from trisk.featurizers.composition.formulas import parse_compositions
from trisk.structures.elements import ELEMENT_SYMBOLS, impute_element_means, read_element_table
from trisk.structures.rows import RowError

_CHUNK_ROWS = 2048  # keeps a chunk's temporaries in the processor's cache
UNKNOWN_FROM = 113  # of Nh to Og next to nothing is known
_NAMES_SHOWN = 3


@dataclass(kw_only=True, repr=False, eq=False)
class BaseCompositionFeaturizer(TableFeaturizer):
    """Base of the transformers that turn compositions into numbers.

    A subclass gives the names of its columns in ``_columns``, or ``_feature_names(self)`` where
    they depend on parameters, and ``_compute(self, table) -> (values, errors)`` with ``values`` a
    float64 array of shape (n_rows, n_features) and ``errors`` a list of ``RowError`` whose ``row``
    counts from the start of ``table``, a ``CompositionTable`` without empty rows. What must be read
    once is read in ``_prepare``, which ``fit`` calls; ``_compute`` may run in another process and
    must not change the featurizer.
    """

    missing: str = "mean"

    _columns: ClassVar[Sequence[str]] = ()
    _rows_are = "compositions"
    _texts = {
        "Parameters to missing": """Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        Whether a row that cannot be featurized is an error, or gives NaN and one warning.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows; None is 1, -1 all processors.
    missing : {"mean", "nan", "raise"}, default="mean\""""
    }
    _parameter_constraints = {"missing": [StrOptions({"nan", "mean", "raise"})]}

    def _transform_rows(self, X):
        table, errors = parse_compositions(X, type(self).__name__)
        if self.on_error == "raise":
            self._report(errors, table.n_rows)
        values, failures = self._compute_chunked(table)
        return values, errors + failures

    def _feature_names(self):
        return list(self._columns)

    def _compute(self, table):
        raise NotImplementedError

    def _featurize(self, table):
        """Values and errors, with NaN in the rows of the errors."""
        values, errors = self._compute(table)
        values[[error.row for error in errors]] = np.nan
        return values, errors

    def _compute_chunked(self, table):
        """Compute all readable rows chunk by chunk into one array, NaN elsewhere."""
        values = np.empty((table.n_rows, self.n_features_out_))
        values[table.lengths == 0] = np.nan
        readable = np.flatnonzero(table.lengths)
        n_workers = effective_n_jobs(self.n_jobs)
        size = _CHUNK_ROWS
        if n_workers > 1:
            size = min(size, 1 + len(readable) // (4 * n_workers))
        chunks = [readable[start : start + size] for start in range(0, len(readable), size)]
        if n_workers > 1:
            results = Parallel(n_jobs=self.n_jobs)(
                delayed(self._featurize)(table.take(chunk)) for chunk in chunks
            )
        else:
            results = (self._featurize(table.take(chunk)) for chunk in chunks)
        errors = []
        for chunk, (chunk_values, chunk_errors) in zip(chunks, results, strict=True):
            values[chunk] = chunk_values
            errors += [replace(error, row=int(chunk[error.row])) for error in chunk_errors]
        return values, errors

    def _row_errors(self, table, causes):
        """Errors of this featurizer from a dict of row to cause."""
        name = type(self).__name__
        return [RowError(row, table.formulas[row], name, cause) for row, cause in causes.items()]


class ElementTableFeaturizer(BaseCompositionFeaturizer):
    """Base of the featurizers that look up element properties.

    ``_sources`` lists the columns of each table (None for all) that ``fit`` gathers, in that order,
    in ``element_values_`` of shape (119, n_properties).
    """

    _sources: dict = {}

    def _prepare(self):
        self._names, columns = [], []
        for filename, wanted in self._sources.items():
            names, values = read_element_table(filename)
            wanted = wanted or names
            self._names += wanted
            columns.append(values[:, [names.index(name) for name in wanted]])
        self.element_values_ = self._impute(np.concatenate(columns, axis=1))

    def _impute(self, values):
        """Fill in the means over the elements, if ``missing`` says so."""
        if self.missing != "mean":
            return values
        filled = impute_element_means(values)
        filled[UNKNOWN_FROM:] = values[UNKNOWN_FROM:]
        return filled

    def _lookup(self, table):
        """Properties of every entry, shape (n_properties, n_entries)."""
        return self.element_values_[table.elements].T

    def _missing_errors(self, table):
        """One error for each row with an element without data, unless NaN stands for them."""
        if self.missing == "nan":
            return []
        lacking = np.isnan(self.element_values_)
        causes: dict[int, list[str]] = {}
        for entry in np.flatnonzero(lacking[table.elements].any(axis=1)):
            element = table.elements[entry]
            names = list(dict.fromkeys(np.array(self._names)[lacking[element]].tolist()))
            shown = ", ".join(names[:_NAMES_SHOWN]) + " …" * (len(names) > _NAMES_SHOWN)
            causes.setdefault(int(table.rows[entry]), []).append(
                f"{ELEMENT_SYMBOLS[element - 1]} has no {shown}"
            )
        return self._row_errors(table, {row: "; ".join(found) for row, found in causes.items()})

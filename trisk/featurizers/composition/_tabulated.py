"""Base of the descriptors that read tables of element data, and their treatment of gaps."""

import numpy as np

from trisk.featurizers.composition._base import BaseCompositionFeaturizer
from trisk.structures.elements import (
    ELEMENT_SYMBOLS,
    element_columns,
    impute_element_means,
)
from trisk.structures.rows import RowError


class ElementTableFeaturizer(BaseCompositionFeaturizer):
    """Base of the featurizers that look up element properties.

    A subclass lists in ``_sources`` the columns it needs, file by file; ``fit`` gathers them,
    in that order, in ``element_values_`` of shape (119, n_properties), filled with means over the
    elements if ``missing="mean"``.
    """

    _sources: dict[str, tuple[str, ...]] = {}

    def _prepare(self):
        columns = [element_columns(filename, names) for filename, names in self._sources.items()]
        values = np.concatenate(columns, axis=1)
        self.element_values_ = impute_element_means(values) if self.missing == "mean" else values

    def _lookup(self, table):
        """Properties of every entry, shape (n_properties, n_entries)."""
        return self.element_values_[table.elements].T

    def _missing_errors(self, table):
        """One error for each row with an element without data, if ``missing="raise"``."""
        if self.missing != "raise":
            return []
        names = [name for columns in self._sources.values() for name in columns]
        lacking = np.isnan(self.element_values_)
        causes: dict[int, list[str]] = {}
        for entry in np.flatnonzero(lacking[table.elements].any(axis=1)):
            element = table.elements[entry]
            properties = ", ".join(np.array(names)[lacking[element]])
            causes.setdefault(int(table.rows[entry]), []).append(
                f"{ELEMENT_SYMBOLS[element - 1]} has no {properties}"
            )
        return self._row_errors(table, {row: "; ".join(found) for row, found in causes.items()})

    def _row_errors(self, table, causes):
        """Errors of this featurizer from a dict of row to cause."""
        name = type(self).__name__
        return [RowError(row, table.formulas[row], name, cause) for row, cause in causes.items()]

"""Collections of formulas, compositions, structures or atoms → one table of flat arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trisk.featurizers.composition._bulk_formulas import parse_plain_formulas
from trisk.featurizers.composition._formula import FormulaError, parse_formula
from trisk.featurizers.composition._objects import describe_value, parse_object
from trisk.structures.rows import RowError, as_value_list

_ROWS_PER_BLOCK = 100_000  # bounds the memory of the bulk path; larger blocks gain no speed
_LONGEST_SHOWN = 200  # characters of an unreadable value that messages repeat


@dataclass(frozen=True)
class CompositionTable:
    """Compositions as flat arrays: row ``i`` owns entries ``offsets[i]:offsets[i + 1]``.

    Parameters
    ----------
    offsets : ndarray of int64 of shape (n_rows + 1,)
        An empty slice is a row that could not be read.
    elements : ndarray of int64 of shape (n_entries,)
        Atomic numbers, 1 to 118; each occurs once in a row, in order of first appearance.
    amounts : ndarray of float64 of shape (n_entries,)
        Amounts as given, not normalised, all positive.
    formulas : ndarray of object of shape (n_rows,)
        The rows as text, for messages.
    """

    offsets: np.ndarray
    elements: np.ndarray
    amounts: np.ndarray
    formulas: np.ndarray

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self):
        """Number of elements of each row, shape (n_rows,)."""
        return np.diff(self.offsets)

    @cached_property
    def rows(self):
        """Row index of each entry, shape (n_entries,)."""
        return np.repeat(np.arange(self.n_rows), self.lengths)

    @cached_property
    def totals(self):
        """Sum of each row's amounts, shape (n_rows,)."""
        return np.bincount(self.rows, weights=self.amounts, minlength=self.n_rows)

    @cached_property
    def fractions(self):
        """Atomic fraction of each entry, shape (n_entries,)."""
        return self.amounts / self.totals[self.rows]

    def take(self, indices):
        """Select rows.

        Parameters
        ----------
        indices : slice or array-like of int
            Rows to keep, in the order wanted.

        Returns
        -------
        CompositionTable
        """
        if isinstance(indices, slice):
            start, stop, step = indices.indices(self.n_rows)
            if step == 1:
                return self._take_contiguous(start, max(start, stop))
            indices = np.arange(start, stop, step)
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(offsets[-1]) + np.repeat(
            self.offsets[:-1][indices] - offsets[:-1], lengths
        )
        return CompositionTable(
            offsets, self.elements[entries], self.amounts[entries], self.formulas[indices]
        )

    def _take_contiguous(self, start, stop):
        offsets = self.offsets[start : stop + 1]
        entries = slice(offsets[0], offsets[-1])
        return CompositionTable(
            offsets - offsets[0],
            self.elements[entries],
            self.amounts[entries],
            self.formulas[start:stop],
        )


def parse_compositions(X, on_error="raise"):
    """Read a collection of compositions of any accepted kind.

    Parameters
    ----------
    X : array-like of shape (n_samples,) or (n_samples, 1)
        Formula strings, dicts, pymatgen ``Composition`` or ``Structure`` objects, ASE ``Atoms``,
        or a mixture.
    on_error : {"raise", "nan"}, default="raise"
        "raise" stops at the end of the first block of rows that holds an unreadable one;
        "nan" reads all rows. Either way the unreadable rows are returned, not raised.

    Returns
    -------
    table : CompositionTable
        With an empty slice for each row that could not be read.
    errors : list of RowError
        The unreadable rows, in order.
    """
    values = as_value_list(X)
    blocks, errors = [], []
    for start in range(0, max(len(values), 1), _ROWS_PER_BLOCK):
        table, failures = _parse_block(values[start : start + _ROWS_PER_BLOCK])
        blocks.append(table)
        errors += [
            RowError(start + row, table.formulas[row], "parser", cause) for row, cause in failures
        ]
        if errors and on_error == "raise":
            break
    return _concatenate(blocks), errors


def _parse_block(values):
    """Parse up to one block of rows: strings in bulk, what is left one by one."""
    n_rows = len(values)
    is_text = np.fromiter((isinstance(value, str) for value in values), bool, n_rows)
    text_rows = np.flatnonzero(is_text)
    texts = values if len(text_rows) == n_rows else [values[row] for row in text_rows]
    formulas = np.empty(n_rows, dtype=object)
    formulas[text_rows] = texts
    lengths, elements, amounts, plain = parse_plain_formulas(texts)
    row_lengths = np.zeros(n_rows, dtype=np.int64)
    row_lengths[text_rows] = lengths
    left = np.ones(n_rows, dtype=bool)
    left[text_rows[plain]] = False

    parsed, failures, known = {}, [], {}
    for row in np.flatnonzero(left).tolist():
        value = values[row]
        try:
            if is_text[row]:
                if value not in known:
                    known[value] = parse_formula(value)
                parsed[row] = known[value]
            else:
                formulas[row], parsed[row] = parse_object(value)
        except FormulaError as error:
            formulas[row] = _shorten(describe_value(value))
            failures.append((row, str(error)))
    if parsed:
        row_lengths, elements, amounts = _insert_rows(row_lengths, elements, amounts, parsed)
    offsets = np.concatenate([[0], np.cumsum(row_lengths)])
    return CompositionTable(offsets, elements, amounts, formulas), failures


def _insert_rows(row_lengths, elements, amounts, parsed):
    """Merge rows that were parsed one by one into the arrays of the bulk path."""
    lengths = row_lengths.copy()
    rows = np.fromiter(parsed, np.int64, len(parsed))
    lengths[rows] = [len(pairs) for pairs in parsed.values()]
    bulk = np.repeat(row_lengths > 0, lengths)
    merged_elements = np.empty(len(bulk), dtype=np.int64)
    merged_amounts = np.empty(len(bulk))
    merged_elements[bulk], merged_amounts[bulk] = elements, amounts
    merged_elements[~bulk] = [z for pairs in parsed.values() for z in pairs]
    merged_amounts[~bulk] = [amount for pairs in parsed.values() for amount in pairs.values()]
    return lengths, merged_elements, merged_amounts


def _concatenate(blocks):
    if len(blocks) == 1:
        return blocks[0]
    lengths = np.concatenate([block.lengths for block in blocks])
    return CompositionTable(
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([block.elements for block in blocks]),
        np.concatenate([block.amounts for block in blocks]),
        np.concatenate([block.formulas for block in blocks]),
    )


def _shorten(text):
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."

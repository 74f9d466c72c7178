"""Arithmetic over the rows of a composition table: sums within rows, and pairs within rows."""

import numpy as np


def row_sum(table, values):
    """Sum of one value per entry over each row, of shape (n_rows,)."""
    return np.bincount(table.rows, weights=values, minlength=table.n_rows)


def row_any(table, flags):
    """Whether any entry of a row is flagged, of shape (n_rows,)."""
    return row_sum(table, flags) > 0


def row_mean(table, values):
    """Mean of one value per entry, weighted by atomic fraction, of shape (n_rows,)."""
    return row_sum(table, table.fractions * values)


def row_minimum(table, values):
    """Least value per entry in each row, of shape (n_rows,); no row may be empty."""
    return np.minimum.reduceat(values, table.offsets[:-1])


def row_maximum(table, values):
    """Largest value per entry in each row, of shape (n_rows,); no row may be empty."""
    return np.maximum.reduceat(values, table.offsets[:-1])


def positions(table):
    """Place of each entry within its row, counted from 0, of shape (n_entries,)."""
    return np.arange(len(table.elements)) - table.offsets[table.rows]


def row_pairs(table):
    """Every pair of entries of the same row.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions.

    Returns
    -------
    first, second : ndarray of shape (n_pairs,)
        Entry indices, ``first < second``.
    rows : ndarray of shape (n_pairs,)
        Row of each pair, ascending.
    """
    earlier = positions(table)
    second = np.repeat(np.arange(len(earlier)), earlier)
    within = np.arange(len(second)) - np.repeat(np.cumsum(earlier) - earlier, earlier)
    rows = table.rows[second]
    return table.offsets[rows] + within, second, rows

"""Amounts as small whole numbers, by the approximate common divisor that pymatgen uses."""

import numpy as np

from trisk.featurizers._segments import positions

_TOLERANCE = 1e-4
_LARGEST = 1e14  # so that electrons can be counted in 64 bits, whatever the amounts


def integer_formula(table):
    """Round amounts to whole multiples of their approximate greatest common divisor.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions.

    Returns
    -------
    ndarray of int64 of shape (n_entries,)
        Whole amounts; 0 for an element far below the tolerance of 1e-4.
    """
    place = positions(table)
    divisor = table.amounts[table.offsets[:-1]]
    for step in range(1, table.lengths.max(initial=1)):
        entries = np.flatnonzero(place == step)
        rows = table.rows[entries]
        divisor[rows] = _common_divisor(divisor[rows], table.amounts[entries])
    counts = np.minimum(table.amounts / divisor[table.rows], _LARGEST)
    return np.rint(counts).astype(np.int64)


def _common_divisor(a, b):
    """Euclid's algorithm, element by element, which takes remainders up to the tolerance as 0."""
    a, b = a.copy(), b.copy()
    active = np.flatnonzero(b > _TOLERANCE)
    while len(active):
        a[active], b[active] = b[active], a[active] % b[active]
        active = active[b[active] > _TOLERANCE]
    return a

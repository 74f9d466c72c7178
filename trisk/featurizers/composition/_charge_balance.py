"""Can the atoms of a formula take oxidation states that add up to zero? Decided exactly, in bulk.

Every atom takes one of its element's states on its own, as in Fe3O4, so the question is whether
zero is a sum of ``n`` states of the first element, ``m`` of the second, and so on. Measured from
every atom's lowest state, that becomes a bounded subset sum: can increments of single atoms add
up to a given total? Two facts keep it small, however many atoms a formula has.

1. Fill the total greedily, one element after the other to its highest state. If the sum is
   possible at all, some solution differs from that start in fewer than 2Δ atoms, where Δ is the
   widest span of states of an element (order the changes so that the running sum stays within
   ±Δ; a sum that comes back twice encloses changes that cancel and can be left out). All other
   atoms may be frozen: formulas with millions of atoms shrink to a few dozen.
2. The sums that can be reached are the bits of an integer, and one more atom shifts and joins
   them. Most formulas fit into 64 bits and are done as one array; the rest use Python's
   integers, and their answers are kept.
"""

from functools import lru_cache

import numpy as np

from trisk.featurizers._segments import row_sum
from trisk.structures.elements import read_element_table

_WORD_BITS = 64
_MAX_ATOMS_IN_BULK = 64  # a single huge row would cost more as an array than as an integer
_REMEMBERED_PROBLEMS = 65_536
#: Amounts are read as integer ratios to this relative accuracy, so that 0.333333 is a third.
_AMOUNT_TOLERANCE = 2e-6
_FACTORS = (*range(1, 121), *(10**power for power in range(3, 16)))
_MAX_ATOMS = 2.0**43  # so that sums of charges stay exact in floats


@lru_cache(maxsize=1)
def oxidation_states():
    """Common oxidation states of the elements.

    Returns
    -------
    lowest : ndarray of int64 of shape (119,)
        Lowest state of each element; 0 where none is known.
    increments : ndarray of int64 of shape (119, 9)
        Every state less the lowest one, ascending, padded by its largest value.
    known : ndarray of bool of shape (119,)
        Whether the element has a common oxidation state.
    """
    _, states = read_element_table("oxidation_states.csv")
    known = ~np.isnan(states[:, 0])
    widest = np.fmax.reduce(states, axis=1, keepdims=True)
    filled = np.where(known[:, None], np.where(np.isnan(states), widest, states), 0)
    lowest = filled[:, 0].astype(np.int64)
    return lowest, filled.astype(np.int64) - lowest[:, None], known


def integer_counts(table):
    """Whole numbers of atoms in the ratio of each row's amounts.

    Rows of whole amounts are kept as they are; others are multiplied by the smallest factor found
    that makes every amount whole to six digits, so that Ag0.5GeS1.5 is read as AgGe2S3.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions.

    Returns
    -------
    counts : ndarray of int64 of shape (n_entries,)
        Atoms of each entry, all positive where the row is decided.
    decided : ndarray of bool of shape (n_rows,)
        False where no factor was found: the amounts differ by too many orders of magnitude.
    """
    counts = np.zeros(len(table.elements), dtype=np.int64)
    factors = np.zeros(table.n_rows, dtype=np.int64)
    pending = np.arange(len(counts))
    for factor in _FACTORS:
        scaled = table.amounts[pending] * factor
        nearest = np.rint(scaled)
        wrong = np.abs(scaled - nearest) > _AMOUNT_TOLERANCE * scaled
        wrong |= (nearest < 1) | (nearest > _MAX_ATOMS)
        rows = table.rows[pending]
        done = np.bincount(rows, weights=wrong, minlength=table.n_rows)[rows] == 0
        counts[pending[done]] = nearest[done].astype(np.int64)
        factors[rows[done]] = factor
        pending = pending[~done]
        if not len(pending):
            break
    # A power of ten may be a multiple of the smallest factor.
    common = np.gcd(np.gcd.reduceat(counts, table.offsets[:-1]), factors)
    return counts // np.maximum(common, 1)[table.rows], factors > 0


def balance_possible(table, counts):
    """Whether oxidation states of the atoms can add up to zero.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions.
    counts : ndarray of int64 of shape (n_entries,)
        Number of atoms of each entry.

    Returns
    -------
    ndarray of bool of shape (n_rows,)
        False, too, where an element has no known state.
    """
    lowest, increments, known = oxidation_states()
    lowest, span = lowest[table.elements], increments[table.elements, -1]
    target = -row_sum(table, counts * lowest).astype(np.int64)
    capacity = row_sum(table, counts * span).astype(np.int64)
    possible = (row_sum(table, ~known[table.elements]) == 0) & (target >= 0) & (target <= capacity)
    undecided = possible & (target > 0) & (target < capacity)
    entries = np.flatnonzero(undecided[table.rows] & (span > 0))
    if len(entries):
        rows = (np.cumsum(undecided) - 1)[table.rows[entries]]
        counts, target = _freeze(rows, counts[entries], span[entries], target[undecided])
        possible[undecided] = _subset_sums(rows, table.elements[entries], counts, target)
    return possible


def _freeze(rows, counts, span, target):
    """Shrink every row to the atoms that may differ from the greedy start (fact 1)."""
    limit = 2 * oxidation_states()[1].max() - 1
    room = counts * span
    before = np.cumsum(room) - room
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    before -= before[starts][rows]
    filled = np.clip(target[rows] - before, 0, room) // span
    highest = np.minimum(filled, limit)
    frozen = np.bincount(rows, weights=(filled - highest) * span, minlength=len(target))
    free = highest + np.minimum(counts - filled, limit)
    return free, target - frozen.astype(np.int64)


def _subset_sums(rows, elements, counts, target):
    """Whether increments of the atoms can add up to the target (fact 2), per row."""
    increments = oxidation_states()[1]
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    place = np.arange(len(rows)) - starts[rows]
    n_atoms = np.bincount(rows, weights=counts, minlength=len(target))
    fits = (target < _WORD_BITS) & (n_atoms <= _MAX_ATOMS_IN_BULK)
    reached = np.ones(len(target), dtype=np.uint64)
    entries = np.flatnonzero(fits[rows])
    for step in range(place[entries].max(initial=-1) + 1):
        here = entries[place[entries] == step]
        for atom in range(counts[here].max(initial=0)):
            here = here[counts[here] > atom]
            before = reached[rows[here]]
            for shift in increments[elements[here], 1:].T.astype(np.uint64):
                reached[rows[here]] |= before << shift
    answer = (reached >> np.minimum(target, _WORD_BITS - 1).astype(np.uint64)) & np.uint64(1) > 0
    stops = np.append(starts[1:], len(rows))
    for row in np.flatnonzero(~fits):
        own = slice(starts[row], stops[row])
        atoms = sorted(zip(elements[own].tolist(), counts[own].tolist(), strict=True))
        answer[row] = _reachable(int(target[row]), tuple(atoms))
    return answer


@lru_cache(maxsize=_REMEMBERED_PROBLEMS)
def _reachable(target, atoms):
    """Whether increments of ``atoms``, pairs of (atomic number, count), add up to ``target``."""
    increments = oxidation_states()[1]
    reached, window = 1, (2 << target) - 1
    for element, count in atoms:
        shifts = sorted({int(shift) for shift in increments[element, 1:]} - {0})
        for _ in range(count):
            before = reached
            for shift in shifts:
                reached |= before << shift
            reached &= window
    return bool(reached >> target & 1)

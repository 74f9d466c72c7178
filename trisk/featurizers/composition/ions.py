"""Ionic character, and whether the atoms of a formula can have charges that add up to zero."""

from functools import lru_cache

import numpy as np

from trisk.featurizers.composition.base import ElementTableFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS, read_element_table

_REMEMBERED = 65_536  # answers
#: Amounts are read as integer ratios to this relative accuracy, so that 0.333333 is a third.
_AMOUNT_TOLERANCE = 2e-6
_FACTORS = (*range(1, 121), *(10**power for power in range(3, 16)))
_MAX_ATOMS = 2.0**43  # so that sums of charges stay exact in floats


class IonPropertyFeaturizer(ElementTableFeaturizer):
    """Whether an ionic compound is possible, and how ionic its bonds are.

    Three columns, equal to matminer's ``IonProperty``:

    1. *compound possible* is 1 where the atoms can take oxidation states that add up to zero,
       every atom on its own as in Fe3O4, each from its element's common states (pymatgen's
       table); else 0. Where the input gives the oxidation state of every species, theirs have to
       add up to zero. A single element is possible.
    2. *max ionic char* is the largest I = 1 − exp(−(χᵢ − χⱼ)²/4) of any two elements, with
       Pauling electronegativities χ.
    3. *avg ionic char* is Σ_{i<j} fᵢ fⱼ I_{ij}, with atomic fractions f.

    The first is decided as a bounded subset sum: always exactly, in microseconds, at worst a few
    milliseconds a row, whatever the number of atoms, where matminer enumerates combinations.

    {Parameters to missing}
        What stands for data that an element lacks. For an electronegativity (He, Ne, Ar and Rf to
        Cn): the mean over the elements that have one (as in matminer), NaN, or an error of
        its row. For oxidation states (He, Ne, Ar, Rn and from Db on), which have no mean:
        "mean" has *compound possible* 0, as in matminer, "nan" NaN, and "raise" an error.

    Notes
    -----
    Whole amounts are taken as they stand: with X of +2 or +4 and Y of −3, X2Y2 is possible and
    XY is not. Fractional amounts, where matminer gives up, are multiplied by the smallest factor
    that makes them whole to six digits. The only rows left undecided have amounts so different
    (some twelve orders of magnitude) that no such factor is found; they are reported as errors,
    never guessed. With several states of one element (Fe2+ and Fe3+), matminer mixes up fractions
    in *avg ionic char*; here they are those of the elements.

    Examples
    --------
    >>> from trisk.featurizers import IonPropertyFeaturizer
    >>> IonPropertyFeaturizer().fit_transform(["Fe3O4", "FeAl"]).round(4).to_numpy().tolist()
    [[1.0, 0.4769, 0.1168], [0.0, 0.012, 0.003]]
    """

    _sources = {"descriptor_elements.csv": ["pauling_electronegativity"]}
    _columns = [
        f"IonProperty {label}"
        for label in ("compound possible", "max ionic char", "avg ionic char")
    ]

    def _compute(self, table):
        possible, causes = self._balance(table)
        values = np.column_stack([possible, *self._ionic_character(table)])
        return values, self._missing_errors(table) + self._row_errors(table, causes)

    def _balance(self, table):
        """Feasibility of charge balance as 0, 1 or NaN, and causes of the rows not decided."""
        counts, decided = integer_counts(table)
        possible = balance_possible(table, counts).astype(np.float64)
        stateless = ~oxidation_states()[2][table.elements]
        causes = {}
        if self.missing != "mean":
            possible[table.any(stateless)] = np.nan
        if self.missing == "raise":
            for entry in np.flatnonzero(stateless & (table.lengths[table.rows] > 1)):
                symbol = ELEMENT_SYMBOLS[table.elements[entry] - 1]
                causes[int(table.rows[entry])] = f"{symbol} has no common oxidation state"
        for row in np.flatnonzero(~decided):
            causes[int(row)] = (
                "the amounts differ by too many orders of magnitude to be whole numbers of atoms, "
                "so charge balance was not decided; drop the traces"
            )
        if table.charges is not None:
            given = ~np.isnan(table.charges)
            possible[given] = np.isclose(table.charges[given], 0)
            causes = {row: cause for row, cause in causes.items() if not given[row]}
        possible[table.lengths == 1] = 1.0
        return possible, causes

    def _ionic_character(self, table):
        """Largest and average ionic character over the pairs of elements of each row."""
        (electronegativity,) = self._lookup(table)
        first, second, rows = table.pairs
        character = -np.expm1(-0.25 * (electronegativity[first] - electronegativity[second]) ** 2)
        average = table.sum_pairs(table.fractions[first] * table.fractions[second] * character)
        largest, starts = np.zeros(table.n_rows), np.flatnonzero(np.diff(rows, prepend=-1))
        if len(rows):
            largest[rows[starts]] = np.maximum.reduceat(character, starts)
        return largest, average


@lru_cache(maxsize=1)
def oxidation_states():
    """Lowest common state of each element, all states less it, ascending, and who has any."""
    _, states = read_element_table("oxidation_states.csv")
    known = ~np.isnan(states[:, 0])
    widest = np.fmax.reduce(states, axis=1, keepdims=True)
    filled = np.where(known[:, None], np.where(np.isnan(states), widest, states), 0)
    lowest = filled[:, 0].astype(np.int64)
    return lowest, filled.astype(np.int64) - lowest[:, None], known


def integer_counts(table):
    """Whole numbers of atoms in the ratio of each row's amounts, and where they were found.

    Whole amounts stay; others take the smallest factor that makes all whole to six digits.
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


# Every atom takes one of its element's states on its own, as in Fe3O4, so the question is whether
# zero is a sum of n states of the first element, m of the second, and so on. Measured from every
# atom's lowest state, that becomes a bounded subset sum: can increments of single atoms add up to
# a given total? Two facts keep it small, however many atoms a formula has.
#
# 1. Fill the total greedily, one element after the other to its highest state. If the sum is
#    possible at all, some solution differs from that start in fewer than 2Δ atoms, where Δ is the
#    widest span of states of an element (order the changes so that the running sum stays within
#    ±Δ; a sum that comes back twice encloses changes that cancel and can be left out). All other
#    atoms may be frozen: formulas with millions of atoms shrink to a few dozen.
# 2. The sums that can be reached are the bits of an integer; another element shifts and joins them
#    by each of its own sums. Sums and answers are kept.


def balance_possible(table, counts):
    """Whether states of the atoms can add up to zero; False, too, if an element has none."""
    lowest, increments, known = oxidation_states()
    lowest, span = lowest[table.elements], increments[table.elements, -1]
    target = -table.sum(counts * lowest).astype(np.int64)
    capacity = table.sum(counts * span).astype(np.int64)
    possible = ~table.any(~known[table.elements]) & (target >= 0) & (target <= capacity)
    undecided = possible & (target > 0) & (target < capacity)
    entries = np.flatnonzero(undecided[table.rows] & (span > 0))
    if len(entries):
        rows = (np.cumsum(undecided) - 1)[table.rows[entries]]
        counts, target = _freeze(rows, counts[entries], span[entries], target[undecided])
        atoms = np.stack([table.elements[entries], counts], axis=1)
        possible[undecided] = [
            _reachable(total, tuple(sorted(map(tuple, own.tolist()))))
            for total, own in zip(
                target.tolist(), np.split(atoms, np.flatnonzero(np.diff(rows)) + 1), strict=True
            )
        ]
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


@lru_cache(maxsize=_REMEMBERED)
def _reachable(target, atoms):
    """Whether increments of ``atoms``, pairs of (atomic number, count), add up to ``target``."""
    reached, window = 1, (2 << target) - 1
    for element, count in atoms:
        left, before, reached = _sums(element, count), reached, 0
        while left:
            lowest = left & -left
            reached |= before * lowest
            left ^= lowest
        reached &= window
    return bool(reached >> target & 1)


@lru_cache(maxsize=_REMEMBERED)
def _sums(element, count):
    """Sums of one increment of each atom of an element, as the bits of an integer."""
    sums = 1
    for _ in range(count):
        before = sums
        for shift in oxidation_states()[1][element, 1:].tolist():
            sums |= before << shift
    return sums

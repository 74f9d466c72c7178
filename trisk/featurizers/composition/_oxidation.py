"""Ionic character, and whether oxidation states can balance."""

import numpy as np

from trisk.featurizers._segments import row_any, row_pairs
from trisk.featurizers.composition._charge_balance import (
    balance_possible,
    integer_counts,
    oxidation_states,
)
from trisk.featurizers.composition._tabulated import ElementTableFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS


class IonPropertyFeaturizer(ElementTableFeaturizer):
    """Whether an ionic compound is possible, and how ionic its bonds are [1]_.

    Three columns, equal to matminer's ``IonProperty``:

    1. *compound possible* is 1 where the atoms can take oxidation states that add up to zero,
       every atom on its own as in Fe3O4, each from its element's common states (pymatgen's
       table); else 0. A single element is possible.
    2. *max ionic char* is the largest I = 1 − exp(−(χᵢ − χⱼ)²/4) of any two elements, with
       Pauling electronegativities χ.
    3. *avg ionic char* is Σ_{i<j} fᵢ fⱼ I_{ij}, with atomic fractions f.

    matminer enumerates combinations of states, which takes minutes to years for formulas with
    dozens of atoms. Here the same question is decided as a bounded subset sum: always exactly,
    in microseconds, at worst a few milliseconds a row, whatever the number of atoms. Larger
    problems are remembered, so that formulas that come back cost nothing.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for data that an element lacks. For an electronegativity (He, Ne, Ar and from
        Rf on): the mean over the elements that have one (as in matminer), NaN, or an error of
        its row. For oxidation states (He, Ne, Ar, Rn and from Db on), which have no mean:
        "mean" has *compound possible* 0, as in matminer, "nan" NaN, and "raise" an error.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    Notes
    -----
    Whole amounts are taken as they stand: with X of +2 or +4 and Y of −3, X2Y2 is possible and
    XY is not. Fractional amounts, where matminer gives up, are multiplied by the smallest factor
    that makes them whole to six digits. The only rows left undecided have amounts so different
    (some twelve orders of magnitude) that no such factor is found; they are reported as errors
    and *compound possible* is NaN, never guessed. Oxidation states given in the input are
    ignored.

    References
    ----------
    .. [1] L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, npj Computational Materials 2 (2016)
       16028, https://doi.org/10.1038/npjcompumats.2016.28

    Examples
    --------
    >>> from trisk.featurizers import IonPropertyFeaturizer
    >>> IonPropertyFeaturizer().fit_transform(["Fe3O4", "FeAl"]).round(4).to_numpy().tolist()
    [[1.0, 0.4769, 0.1168], [0.0, 0.012, 0.003]]
    """

    _sources = {"descriptor_elements.csv": ("pauling_electronegativity",)}

    def _feature_names(self):
        return [
            f"IonProperty {label}"
            for label in ("compound possible", "max ionic char", "avg ionic char")
        ]

    def _compute(self, table):
        possible, causes = self._balance(table)
        values = np.column_stack([possible, *self._ionic_character(table)])
        errors = self._missing_errors(table) + self._row_errors(table, causes)
        return values, errors

    def _balance(self, table):
        """Feasibility of charge balance as 0, 1 or NaN, and causes of the rows not decided."""
        counts, decided = integer_counts(table)
        possible = balance_possible(table, counts).astype(np.float64)
        stateless = ~oxidation_states()[2][table.elements]
        causes = {}
        if self.missing != "mean":
            possible[row_any(table, stateless)] = np.nan
        if self.missing == "raise":
            for entry in np.flatnonzero(stateless & (table.lengths[table.rows] > 1)):
                symbol = ELEMENT_SYMBOLS[table.elements[entry] - 1]
                causes[int(table.rows[entry])] = f"{symbol} has no common oxidation state"
        for row in np.flatnonzero(~decided):
            causes[int(row)] = (
                "the amounts differ by too many orders of magnitude to be whole numbers of atoms, "
                "so charge balance was not decided; drop the traces"
            )
        possible[~decided] = np.nan
        possible[table.lengths == 1] = 1.0
        return possible, causes

    def _ionic_character(self, table):
        """Largest and average ionic character over the pairs of elements of each row."""
        (electronegativity,) = self._lookup(table)
        first, second, rows = row_pairs(table)
        difference = electronegativity[first] - electronegativity[second]
        character = -np.expm1(-0.25 * difference**2)
        weights = table.fractions[first] * table.fractions[second]
        average = np.bincount(rows, weights=weights * character, minlength=table.n_rows)
        largest = np.zeros(table.n_rows)
        if len(rows):
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            largest[rows[starts]] = np.maximum.reduceat(character, starts)
        return largest, average

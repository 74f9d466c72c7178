"""Statistics of element properties over a composition: the Magpie feature set."""

import numpy as np

from trisk.featurizers.composition.base import ElementTableFeaturizer

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")

# Amounts this close to a row's largest count as equally frequent, as numpy.isclose has it.
_TIE_RELATIVE, _TIE_ABSOLUTE = 1e-5, 1e-8


class MagpieFeaturizer(ElementTableFeaturizer):
    """Six statistics of 22 element properties: the 132 Magpie columns [1]_.

    Over the elements of a composition, each property gives its minimum, maximum, range, mean and
    mean absolute deviation (both weighted by atomic fraction), and mode (the value of the most
    abundant element; the smallest one if several are equally abundant). Names, order and values
    are those of matminer's ``ElementProperty.from_preset("magpie")``.

    {Parameters to missing}
        What stands for a property that the table lacks (electronegativity of He, Ne, Ar and Rn,
        melting point of He and Fr, space group of At, Rn and Fr; several beyond curium): its mean
        over the elements that have it (matminer's ``impute_nan=True``), but an error for Nh to
        Og, of which the table knows nothing; NaN in every statistic that it enters
        (``impute_nan=False``); or an error of that row.

    Attributes
    ----------
    element_values_ : ndarray of shape (119, 22)
        Properties by atomic number, imputed as ``missing`` says; row 0 is NaN.

    References
    ----------
    .. [1] L. Ward et al., npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28

    Examples
    --------
    >>> from trisk.featurizers import MagpieFeaturizer
    >>> X = MagpieFeaturizer().fit_transform(["Fe2O3", "GaAs"])
    >>> X["MagpieData mean Number"].tolist()
    [15.2, 32.0]
    """

    _sources = {"magpie_elements.csv": None}

    def _feature_names(self):
        return [
            f"MagpieData {statistic} {name}" for name in self._names for statistic in STATISTICS
        ]

    def _compute(self, table):
        return property_statistics(table, self.element_values_), self._missing_errors(table)


def property_statistics(table, element_values):
    """Six statistics of each element property over each composition."""
    # All first elements of the rows, then all second ones, and so on: with the rows sorted by
    # length no step has gaps, which is four times as fast as numpy.ufunc.reduceat.
    order = np.argsort(-table.lengths, kind="stable")
    slots = [
        (element_values[table.elements[e]], table.fractions[e, None], table.amounts[e, None])
        for e in _entries_by_place(table, order)
    ]
    n_properties = element_values.shape[1]
    ordered = np.empty((len(STATISTICS), table.n_rows, n_properties))
    minimum, maximum, spread, mean, deviation, mode = ordered
    first_values, first_fractions, largest = slots[0]
    minimum[:] = maximum[:] = first_values
    mean[:] = first_values * first_fractions
    largest = largest.copy()
    for values, fractions, amounts in slots[1:]:
        n = len(values)
        np.minimum(minimum[:n], values, out=minimum[:n])
        np.maximum(maximum[:n], values, out=maximum[:n])
        np.maximum(largest[:n], amounts, out=largest[:n])
        mean[:n] += values * fractions
    np.subtract(maximum, minimum, out=spread)

    deviation[:], mode[:] = 0.0, np.inf
    margin = _TIE_ABSOLUTE + _TIE_RELATIVE * largest
    for values, fractions, amounts in slots:
        n = len(values)
        deviation[:n] += np.abs(values - mean[:n]) * fractions
        most_frequent = largest[:n] - amounts <= margin[:n]
        np.minimum(mode[:n], values, out=mode[:n], where=most_frequent)

    statistics = np.empty((table.n_rows, n_properties * len(STATISTICS)))
    statistics[order] = ordered.transpose(1, 2, 0).reshape(table.n_rows, -1)
    return statistics


def _entries_by_place(table, order):
    """Entry indices of the first elements of the rows, then of the second, …, longest row first."""
    starts, lengths = table.offsets[:-1][order], table.lengths[order]
    for place in range(lengths[0] if len(lengths) else 0):
        n_rows = np.searchsorted(-lengths, -place, side="left")
        yield starts[:n_rows] + place

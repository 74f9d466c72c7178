"""Valence electrons by orbital."""

import numpy as np

from trisk.featurizers._segments import row_mean
from trisk.featurizers._tabulated import ElementTableFeaturizer

_ORBITALS = ("s", "p", "d", "f")


class ValenceOrbitalFeaturizer(ElementTableFeaturizer):
    """Average number and share of s, p, d and f valence electrons [1]_.

    Equal to matminer's ``ValenceOrbital``: first the four averages per atom, weighted by atomic
    fraction, then each divided by the average number of valence electrons. The electron counts
    are Magpie's, where the filled 4f shell of the elements from Lu on counts as valence.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"nan", "mean", "raise"}, default="nan"
        What an element without data contributes: NaN, the mean over the elements that have data
        (as matminer does by default), or an error of its row. Only elements beyond the end of
        Magpie's table are concerned.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    References
    ----------
    .. [1] L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, npj Computational Materials 2 (2016)
       16028, https://doi.org/10.1038/npjcompumats.2016.28

    Examples
    --------
    >>> from trisk.featurizers import ValenceOrbitalFeaturizer
    >>> X = ValenceOrbitalFeaturizer().fit_transform(["NaCl"])
    >>> X["ValenceOrbital avg p valence electrons"].tolist()
    [2.5]
    """

    _sources = {
        "magpie_elements.csv": (*(f"N{orbital}Valence" for orbital in _ORBITALS), "NValence")
    }

    def _feature_names(self):
        return [
            f"ValenceOrbital {statistic} {orbital} valence electrons"
            for statistic in ("avg", "frac")
            for orbital in _ORBITALS
        ]

    def _compute(self, table):
        *averages, total = (row_mean(table, electrons) for electrons in self._lookup(table))
        averages = np.stack(averages, axis=1)
        values = np.concatenate([averages, averages / total[:, None]], axis=1)
        return values, self._missing_errors(table)

"""Valence electrons by orbital."""

import numpy as np

from trisk.featurizers._segments import row_mean
from trisk.featurizers.composition._tabulated import ElementTableFeaturizer

_ORBITALS = ("s", "p", "d", "f")


class ValenceOrbitalFeaturizer(ElementTableFeaturizer):
    """Average number and share of s, p, d and f valence electrons [1]_.

    Equal to matminer's ``ValenceOrbital``: first the four averages per atom, weighted by atomic
    fraction, then each divided by the average number of valence electrons. The electron counts
    are Magpie's, where filled d and f shells below count as well: Ga has 13, Pb 28.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for data that an element lacks: the mean over the elements that have it (as
        in matminer), NaN, or an error of its row. Only elements from Nh on are concerned.
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
        means = np.stack([row_mean(table, electrons) for electrons in self._lookup(table)], axis=1)
        averages, total = means[:, :-1], means[:, -1:]
        values = np.concatenate([averages, averages / total], axis=1)
        return values, self._missing_errors(table)

"""Descriptors of the amounts alone: element fractions, stoichiometry norms, a metal fraction."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from trisk.featurizers._segments import row_sum
from trisk.featurizers.composition._base import BaseCompositionFeaturizer
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS

_NORMS = (0, 2, 3, 5, 7, 10)
_TRANSITION_METALS = (
    *("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu"),
    *("Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag"),
    *("Ta", "W", "Re", "Os", "Ir", "Pt"),
)
_IS_TRANSITION_METAL = np.zeros(N_ELEMENTS + 1)
_IS_TRANSITION_METAL[[ATOMIC_NUMBERS[symbol] for symbol in _TRANSITION_METALS]] = 1.0


class ElementFractionFeaturizer(BaseCompositionFeaturizer):
    """Atomic fraction of every element, optionally on a logarithmic scale.

    The linear columns equal matminer's ``ElementFraction``: 118 columns, one per element in order
    of atomic number. Networks that read dilute alloys also want the logarithm, where 0.01 % and
    0.1 % of carbon are as far apart as 1 % and 10 %.

    Parameters
    ----------
    scale : {"linear", "log10", "both"}, default="linear"
        Fractions, their decimal logarithms, or first the one block and then the other.
    log_floor : float, default=1e-4
        Fractions below this value, absent elements among them, are raised to it before the
        logarithm. Lower it to tell apart traces below 0.01 %.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        Without effect: no element data is used.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    Examples
    --------
    >>> from trisk.featurizers import ElementFractionFeaturizer
    >>> X = ElementFractionFeaturizer(scale="both").fit_transform(["Fe2O3", "Fe0.999C0.001"])
    >>> X[["ElementFraction Fe", "ElementFraction log10 C"]].round(3)
       ElementFraction Fe  ElementFraction log10 C
    0               0.400                     -4.0
    1               0.999                     -3.0
    """

    _parameter_constraints: dict = {
        **BaseCompositionFeaturizer._parameter_constraints,
        "scale": [StrOptions({"linear", "log10", "both"})],
        "log_floor": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self, *, scale="linear", log_floor=1e-4, on_error="raise", missing="mean", n_jobs=None
    ):
        super().__init__(on_error=on_error, missing=missing, n_jobs=n_jobs)
        self.scale = scale
        self.log_floor = log_floor

    def _feature_names(self):
        linear = [f"ElementFraction {symbol}" for symbol in ELEMENT_SYMBOLS]
        log10 = [f"ElementFraction log10 {symbol}" for symbol in ELEMENT_SYMBOLS]
        return {"linear": linear, "log10": log10, "both": linear + log10}[self.scale]

    def _compute(self, table):
        fractions = np.zeros((table.n_rows, N_ELEMENTS))
        fractions[table.rows, table.elements - 1] = table.fractions
        if self.scale == "linear":
            return fractions, []
        logarithms = np.full_like(fractions, np.log10(self.log_floor))
        logarithms[table.rows, table.elements - 1] = np.log10(
            np.maximum(table.fractions, self.log_floor)
        )
        if self.scale == "log10":
            return logarithms, []
        return np.concatenate([fractions, logarithms], axis=1), []


class StoichiometryFeaturizer(BaseCompositionFeaturizer):
    """Norms of the vector of atomic fractions, equal to matminer's ``Stoichiometry``.

    The p-norm is (Σ fᵢᵖ)^(1/p) over the atomic fractions fᵢ, for p = 2, 3, 5, 7 and 10; the
    0-norm is the number of elements. None depends on which elements they are [1]_.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        Without effect: no element data is used.
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
    >>> from trisk.featurizers import StoichiometryFeaturizer
    >>> StoichiometryFeaturizer().fit_transform(["NaCl"]).iloc[0, :2].round(4).to_dict()
    {'Stoichiometry 0-norm': 2.0, 'Stoichiometry 2-norm': 0.7071}
    """

    def _feature_names(self):
        return [f"Stoichiometry {p}-norm" for p in _NORMS]

    def _compute(self, table):
        norms = [
            row_sum(table, table.fractions**p) ** (1.0 / p) if p else table.lengths for p in _NORMS
        ]
        return np.stack(norms, axis=1).astype(np.float64), []


class TransitionMetalFractionFeaturizer(BaseCompositionFeaturizer):
    """Fraction of the atoms that are transition metals, equal to matminer's ``TMetalFraction``.

    The 21 metals counted are those of [1]_: Ti to Cu, Nb to Ag and Ta to Pt. Groups 3 and 12, Zr,
    Hf and Au are not among them.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        Without effect: no element data is used.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    References
    ----------
    .. [1] A. M. Deml, R. O'Hayre, C. Wolverton, V. Stevanović, Physical Review B 93 (2016) 085142,
       https://doi.org/10.1103/PhysRevB.93.085142

    Examples
    --------
    >>> from trisk.featurizers import TransitionMetalFractionFeaturizer
    >>> float(TransitionMetalFractionFeaturizer().fit_transform(["Fe3O4"]).squeeze().round(4))
    0.4286
    """

    def _feature_names(self):
        return ["TMetalFraction transition metal fraction"]

    def _compute(self, table):
        counted = _IS_TRANSITION_METAL[table.elements]
        return row_sum(table, table.fractions * counted)[:, None], []

"""Descriptors of the amounts alone: element fractions, stoichiometry norms, a metal fraction."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from trisk._compat import Interval, StrOptions
from trisk.featurizers.composition.base import BaseCompositionFeaturizer
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS

_NORMS = (0, 2, 3, 5, 7, 10)
_TRANSITION_METALS = "Ti V Cr Mn Fe Co Ni Cu Nb Mo Tc Ru Rh Pd Ag Ta W Re Os Ir Pt"
_IS_TRANSITION_METAL = np.zeros(N_ELEMENTS + 1)
_IS_TRANSITION_METAL[[ATOMIC_NUMBERS[symbol] for symbol in _TRANSITION_METALS.split()]] = 1.0


@dataclass(kw_only=True, repr=False, eq=False)
class ElementFractionFeaturizer(BaseCompositionFeaturizer):
    """Atomic fraction of every element, optionally on a logarithmic scale.

    The linear columns equal matminer's ``ElementFraction``: 118 columns, one per element in order
    of atomic number. Networks that read dilute alloys also want the logarithm, where 0.01 % and
    0.1 % of carbon are as far apart as 1 % and 10 %.

    {Parameters to missing}
        Without effect: no element data is used.
    scale : {"linear", "log10", "both"}, default="linear"
        Fractions, their decimal logarithms, or first the one block and then the other.
    log_floor : float, default=1e-4
        Fractions below this value, absent elements among them, are raised to it before the
        logarithm. Lower it to tell apart traces below 0.01 %.

    Examples
    --------
    >>> from trisk.featurizers import ElementFractionFeaturizer
    >>> X = ElementFractionFeaturizer(scale="both").fit_transform(["Fe2O3", "Fe0.999C0.001"])
    >>> X[["ElementFraction Fe", "ElementFraction log10 C"]].round(3)
       ElementFraction Fe  ElementFraction log10 C
    0               0.400                     -4.0
    1               0.999                     -3.0
    """

    scale: str = "linear"
    log_floor: float = 1e-4

    _parameter_constraints = {
        "scale": [StrOptions({"linear", "log10", "both"})],
        "log_floor": [Interval(Real, 0, 1, closed="neither")],
    }

    def _feature_names(self):
        linear = [f"ElementFraction {symbol}" for symbol in ELEMENT_SYMBOLS]
        log10 = [f"ElementFraction log10 {symbol}" for symbol in ELEMENT_SYMBOLS]
        return {"linear": linear, "log10": log10, "both": linear + log10}[self.scale]

    def _compute(self, table):
        columns = table.rows, table.elements - 1
        blocks = []
        if self.scale != "log10":
            blocks.append(np.zeros((table.n_rows, N_ELEMENTS)))
            blocks[0][columns] = table.fractions
        if self.scale != "linear":
            blocks.append(np.full((table.n_rows, N_ELEMENTS), np.log10(self.log_floor)))
            blocks[-1][columns] = np.log10(np.maximum(table.fractions, self.log_floor))
        return blocks[0] if len(blocks) == 1 else np.hstack(blocks), []


class StoichiometryFeaturizer(BaseCompositionFeaturizer):
    """Norms of the vector of atomic fractions, equal to matminer's ``Stoichiometry``.

    The p-norm is (Σ fᵢᵖ)^(1/p) over the atomic fractions fᵢ, for p = 2, 3, 5, 7 and 10; the
    0-norm is the number of elements. None depends on which elements they are.

    {Parameters to missing}
        Without effect: no element data is used.

    Examples
    --------
    >>> from trisk.featurizers import StoichiometryFeaturizer
    >>> StoichiometryFeaturizer().fit_transform(["NaCl"]).iloc[0, :2].round(4).to_dict()
    {'Stoichiometry 0-norm': 2.0, 'Stoichiometry 2-norm': 0.7071}
    """

    _columns = [f"Stoichiometry {p}-norm" for p in _NORMS]

    def _compute(self, table):
        norms = [table.sum(table.fractions**p) ** (1.0 / p) if p else table.lengths for p in _NORMS]
        return np.stack(norms, axis=1).astype(np.float64), []


class TransitionMetalFractionFeaturizer(BaseCompositionFeaturizer):
    """Fraction of the atoms that are transition metals, equal to matminer's ``TMetalFraction``.

    The 21 metals counted are those of [1]_: Ti to Cu, Nb to Ag and Ta to Pt. Groups 3 and 12, Zr,
    Hf and Au are not among them.

    {Parameters to missing}
        Without effect: no element data is used.

    References
    ----------
    .. [1] A. M. Deml et al., Phys. Rev. B 93, 085142 (2016), doi:10.1103/PhysRevB.93.085142

    Examples
    --------
    >>> from trisk.featurizers import TransitionMetalFractionFeaturizer
    >>> float(TransitionMetalFractionFeaturizer().fit_transform(["Fe3O4"]).squeeze().round(4))
    0.4286
    """

    _columns = ["TMetalFraction transition metal fraction"]

    def _compute(self, table):
        return table.mean(_IS_TRANSITION_METAL[table.elements])[:, None], []

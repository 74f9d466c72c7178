"""Mixing thermodynamics and size mismatch of alloys."""

from functools import lru_cache

import numpy as np

from trisk.data import data_file

from trisk.featurizers._segments import row_mean, row_pairs, row_sum
from trisk.featurizers.composition._mismatch import (
    mean_packing_efficiency,
    mixing_entropy,
    packing_angle_ratio,
    pairwise_spread,
    relative_spread,
    strengthening,
    yang_omega,
)
from trisk.featurizers.composition._tabulated import ElementTableFeaturizer
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS

_LEAST_ENTHALPY = 1e-6  # kJ/mol; keeps Ω finite where the enthalpies of mixing cancel
_UNFILLED = ("NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled")
_CAPACITIES = (2, 6, 10, 14)


@lru_cache(maxsize=1)
def mixing_enthalpies():
    """Enthalpies of mixing of pairs of elements in the liquid, in kJ/mol.

    Returns
    -------
    ndarray of shape (119, 119)
        Symmetric, indexed by atomic numbers; NaN for pairs that are not tabulated.
    """
    matrix = np.full((N_ELEMENTS + 1, N_ELEMENTS + 1), np.nan)
    for line in data_file("mixing_enthalpies.csv").read_text("utf-8").splitlines()[1:]:
        first, second, enthalpy = line.split(",")
        a, b = ATOMIC_NUMBERS[first], ATOMIC_NUMBERS[second]
        matrix[a, b] = matrix[b, a] = float(enthalpy)
    matrix.setflags(write=False)
    return matrix


class _MixingFeaturizer(ElementTableFeaturizer):
    """What the descriptors with enthalpies of mixing share."""

    def _prepare(self):
        super()._prepare()
        enthalpies = mixing_enthalpies()
        if self.missing == "mean":
            mean = np.nanmean(enthalpies[np.tril_indices_from(enthalpies)])
            enthalpies = np.where(np.isnan(enthalpies), mean, enthalpies)
        self.mixing_enthalpies_ = enthalpies

    def _mixing_enthalpy(self, table):
        """Absolute enthalpy of mixing 4 |Σ_{i<j} fᵢ fⱼ ΔH_{ij}| of each row, in kJ/mol."""
        first, second, rows = row_pairs(table)
        enthalpy = self.mixing_enthalpies_[table.elements[first], table.elements[second]]
        weights = 4 * table.fractions[first] * table.fractions[second]
        total = np.bincount(rows, weights=weights * enthalpy, minlength=table.n_rows)
        return np.maximum(np.abs(total), _LEAST_ENTHALPY)

    def _missing_errors(self, table):
        errors = super()._missing_errors(table)
        if self.missing != "raise":
            return errors
        first, second, rows = row_pairs(table)
        first, second = table.elements[first], table.elements[second]
        causes = {
            int(rows[pair]): "no enthalpy of mixing is tabulated for "
            f"{ELEMENT_SYMBOLS[first[pair] - 1]} and {ELEMENT_SYMBOLS[second[pair] - 1]}"
            for pair in np.flatnonzero(np.isnan(self.mixing_enthalpies_[first, second]))
        }
        return errors + self._row_errors(table, causes)


class YangFeaturizer(_MixingFeaturizer):
    """Yang and Zhang's Ω and δ, which tell solid solutions from intermetallics and glasses [1]_.

    Ω = T ΔS / |ΔH| weighs the ideal entropy of mixing, at the mean melting temperature, against
    the enthalpy of mixing in the liquid (Takeuchi and Inoue's table [2]_), which is taken as at
    least 1e-6 kJ/mol; δ² = Σ fᵢ (1 − rᵢ/r̄)² is the mismatch of the atomic radii (Miracle's).
    Both are 0 for a single element. Equal to matminer's ``YangSolidSolution``.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for the radius that an element lacks (H, the halogens and noble gases among
        them) or the enthalpy that a pair lacks (with O, S, Se, Te, a halogen or noble gas): the
        mean over the elements or pairs that have it (as in matminer), NaN, or an error of its
        row.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    Notes
    -----
    With ``missing="nan"``, Ω of a pair that is not tabulated is NaN; matminer without imputation
    takes its enthalpy for 1e-6 kJ/mol and gives an Ω of millions.

    References
    ----------
    .. [1] X. Yang, Y. Zhang, Materials Chemistry and Physics 132 (2012) 233,
       https://doi.org/10.1016/j.matchemphys.2011.11.021
    .. [2] A. Takeuchi, A. Inoue, Materials Transactions 46 (2005) 2817,
       https://doi.org/10.2320/matertrans.46.2817

    Examples
    --------
    >>> from trisk.featurizers import YangFeaturizer
    >>> YangFeaturizer().fit_transform(["ZrHfTiCuNi"]).round(3).to_numpy().tolist()
    [[0.945, 0.101]]
    """

    _sources = {
        "magpie_elements.csv": ("MeltingT",),
        "descriptor_elements.csv": ("miracle_radius",),
    }

    def _feature_names(self):
        return ["YangSolidSolution Yang omega", "YangSolidSolution Yang delta"]

    def _compute(self, table):
        melting, radius = self._lookup(table)
        omega = yang_omega(table, melting, self._mixing_enthalpy(table))
        values = np.column_stack([omega, relative_spread(table, radius)])
        return values, self._missing_errors(table)


class WenFeaturizer(_MixingFeaturizer):
    """The 23 numeric descriptors of high-entropy alloys of Wen et al. [1]_.

    Equal to the numeric columns of matminer's ``WenAlloys``: Yang's Ω and δ, packing efficiency
    [2]_, mismatches of radii, electronegativities and shear moduli, entropy (kJ/(mol K)) and
    enthalpy (kJ/mol) of mixing, weights (g/mol), valence and unpaired electron counts, cohesive
    energy (eV) and shear modulus (GPa). Melting temperatures, weights and unfilled orbitals are
    Magpie's; electronegativities, valences and shear moduli those of Miedema's model.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for data that an element or a pair lacks, column by column: the mean over
        the elements or pairs that have it (as in matminer), NaN, or an error of its row.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    Notes
    -----
    "Total weight" is that of the formula as written, not per atom. Where all elements have the
    same radius or modulus, the mismatch is exactly 0, and so is "Lambda entropy", ΔS/δ²; matminer
    divides by the rounding error of δ there, and gives NaN for the moduli of H and N, which are
    both 0.

    References
    ----------
    .. [1] C. Wen et al., Acta Materialia 170 (2019) 109,
       https://doi.org/10.1016/j.actamat.2019.03.010
    .. [2] K. J. Laws, D. B. Miracle, M. Ferry, Nature Communications 6 (2015) 8123,
       https://doi.org/10.1038/ncomms9123

    Examples
    --------
    >>> from trisk.featurizers import WenFeaturizer
    >>> X = WenFeaturizer().fit_transform(["CoCrFeNi"])
    >>> X["WenAlloys VEC mean"].tolist()
    [8.25]
    """

    _sources = {
        "magpie_elements.csv": ("MeltingT", "AtomicWeight", *_UNFILLED),
        "descriptor_elements.csv": (
            "miracle_radius",
            "atomic_mass",
            "cohesive_energy",
            "miedema_electronegativity",
            "miedema_valence_electrons",
            "miedema_shear_modulus",
        ),
    }
    _labels = (
        "Yang delta",
        "Yang omega",
        "APE mean",
        "Radii local mismatch",
        "Radii gamma",
        "Configuration entropy",
        "Atomic weight mean",
        "Total weight",
        "Lambda entropy",
        "Electronegativity delta",
        "Electronegativity local mismatch",
        "VEC mean",
        "Mixing enthalpy",
        "Mean cohesive energy",
        "Interant electrons",
        "Interant s electrons",
        "Interant p electrons",
        "Interant d electrons",
        "Interant f electrons",
        "Shear modulus mean",
        "Shear modulus delta",
        "Shear modulus local mismatch",
        "Shear modulus strength model",
    )

    def _feature_names(self):
        return [f"WenAlloys {label}" for label in self._labels]

    def _compute(self, table):
        melting, weight, *unfilled, radius, mass, cohesion, electronegativity, valence, shear = (
            self._lookup(table)
        )
        enthalpy = self._mixing_enthalpy(table)
        entropy = mixing_entropy(table)
        delta = relative_spread(table, radius)
        unpaired = [
            row_sum(table, np.where(empty != 0, capacity - empty, 0.0))
            for capacity, empty in zip(_CAPACITIES, unfilled, strict=True)
        ]
        columns = [
            delta,
            yang_omega(table, melting, enthalpy),
            mean_packing_efficiency(table, radius),
            pairwise_spread(table, radius),
            packing_angle_ratio(table, radius),
            entropy,
            row_mean(table, weight),
            row_sum(table, table.amounts * mass),
            np.divide(entropy, delta**2, out=np.zeros_like(delta), where=delta != 0),
            relative_spread(table, electronegativity),
            pairwise_spread(table, electronegativity),
            row_mean(table, valence),
            enthalpy,
            row_mean(table, cohesion),
            sum(unpaired),
            *unpaired,
            row_mean(table, shear),
            relative_spread(table, shear),
            pairwise_spread(table, shear),
            strengthening(table, shear),
        ]
        return np.stack(columns, axis=1), self._missing_errors(table)

"""Mixing thermodynamics and size mismatch of alloys."""

from functools import lru_cache
from importlib import resources

import numpy as np

from trisk.featurizers._element_data import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS
from trisk.featurizers._packing import mean_packing_efficiency
from trisk.featurizers._segments import row_maximum, row_mean, row_minimum, row_pairs, row_sum
from trisk.featurizers._tabulated import ElementTableFeaturizer

_GAS_CONSTANT = 8.314 / 1000  # kJ/(mol K), rounded as in matminer, to equal its values
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
    source = resources.files("trisk.featurizers").joinpath("data", "mixing_enthalpies.csv")
    matrix = np.full((N_ELEMENTS + 1, N_ELEMENTS + 1), np.nan)
    for line in source.read_text("utf-8").splitlines()[1:]:
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
        self._enthalpies = enthalpies

    def _mixing_enthalpy(self, table):
        """Absolute enthalpy of mixing 4 |Σ_{i<j} fᵢ fⱼ ΔH_{ij}| of each row, in kJ/mol."""
        first, second, rows = row_pairs(table)
        enthalpy = self._enthalpies[table.elements[first], table.elements[second]]
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
            for pair in np.flatnonzero(np.isnan(self._enthalpies[first, second]))
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
    missing : {"nan", "mean", "raise"}, default="nan"
        What an element without a radius (H, the halogens and noble gases) or a pair without an
        enthalpy (any with O, F, S, Cl, Se, Br, Te, I) contributes: NaN, the mean over the
        elements or pairs that have data (as matminer does by default), or an error of its row.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

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
    [[0.949, 0.102]]
    """

    _sources = {
        "magpie_elements.csv": ("MeltingT",),
        "descriptor_elements.csv": ("miracle_radius",),
    }

    def _feature_names(self):
        return ["YangSolidSolution Yang omega", "YangSolidSolution Yang delta"]

    def _compute(self, table):
        melting, radius = self._lookup(table)
        omega = _omega(table, melting, self._mixing_enthalpy(table))
        values = np.column_stack([omega, _relative_spread(table, radius)])
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
    missing : {"nan", "mean", "raise"}, default="nan"
        What an element or a pair without data contributes to the columns that need it: NaN, the
        mean over the elements or pairs that have data (as matminer does by default), or an error
        of its row. Formulas of H and N alone, whose shear moduli are 0, have no relative
        mismatch of them: NaN there, as in matminer, whatever the policy.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    Notes
    -----
    "Total weight" is that of the formula as written, not per atom. "Lambda entropy" is ΔS/δ²,
    and 0 where all radii are equal; matminer divides by the rounding error of δ there.

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
        entropy = _entropy(table)
        delta = _relative_spread(table, radius)
        unpaired = [
            row_sum(table, np.where(empty != 0, capacity - empty, 0.0))
            for capacity, empty in zip(_CAPACITIES, unfilled, strict=True)
        ]
        columns = [
            delta,
            _omega(table, melting, enthalpy),
            mean_packing_efficiency(table, radius),
            _pairwise_spread(table, radius),
            _packing_angle_ratio(table, radius),
            entropy,
            row_mean(table, weight),
            row_sum(table, table.amounts * mass),
            np.divide(entropy, delta**2, out=np.zeros_like(delta), where=delta != 0),
            _relative_spread(table, electronegativity),
            _pairwise_spread(table, electronegativity),
            row_mean(table, valence),
            enthalpy,
            row_mean(table, cohesion),
            sum(unpaired),
            *unpaired,
            row_mean(table, shear),
            _relative_spread(table, shear),
            _pairwise_spread(table, shear),
            _strengthening(table, shear),
        ]
        return np.stack(columns, axis=1), self._missing_errors(table)


def _entropy(table):
    """Ideal entropy of mixing R Σ f ln f, in kJ/(mol K); negative, as matminer gives it."""
    return _GAS_CONSTANT * row_sum(table, table.fractions * np.log(table.fractions))


def _omega(table, melting, enthalpy):
    """Yang's Ω; 0 for a single element."""
    omega = np.abs(row_mean(table, melting) * _entropy(table) / enthalpy)
    return np.where(table.lengths == 1, 0.0, omega)


def _relative_spread(table, values):
    """Root mean square of 1 − v/v̄; exactly 0 where all values of a row are equal."""
    with np.errstate(invalid="ignore"):
        ratio = values / row_mean(table, values)[table.rows]
    spread = np.sqrt(row_mean(table, (1 - ratio) ** 2))
    equal = row_maximum(table, values) == row_minimum(table, values)
    undefined = np.isnan(spread) & (table.lengths > 1)
    return np.where((equal & ~undefined) | (table.lengths == 1), 0.0, spread)


def _pairwise_spread(table, values):
    """Σ_{i<j} fᵢ fⱼ |vᵢ − vⱼ|."""
    first, second, rows = row_pairs(table)
    weights = table.fractions[first] * table.fractions[second]
    spread = weights * np.abs(values[first] - values[second])
    return np.bincount(rows, weights=spread, minlength=table.n_rows)


def _packing_angle_ratio(table, radius):
    """Ratio of the solid angles around the smallest and around the largest atom (γ)."""
    mean = row_mean(table, radius)

    def solid_angle(extreme):
        return 1 - np.sqrt((mean * extreme + extreme**2) / (mean + extreme) ** 2)

    return solid_angle(row_minimum(table, radius)) / solid_angle(row_maximum(table, radius))


def _strengthening(table, shear):
    """Mismatch of shear moduli in the model of solid-solution strengthening."""
    mean = row_mean(table, shear)[table.rows]
    with np.errstate(invalid="ignore"):
        mismatch = 2 * table.fractions * (shear - mean) / (shear + mean)
    strength = row_sum(table, mismatch / (1 + 0.5 * np.abs(mismatch)))
    return np.where(table.lengths == 1, 0.0, strength)

"""Thermodynamics and size mismatch of alloys: Miedema's, Yang's and Wen's descriptors."""

from functools import lru_cache

import numpy as np

from trisk.data import data_file
from trisk.featurizers.composition.base import ElementTableFeaturizer
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS

_GAS_CONSTANT = 8.314 / 1000  # kJ/(mol K), rounded as in matminer, to equal its values
_KJ_PER_MOL_PER_EV = 96.4853
_LEAST_ENTHALPY = 1e-6  # kJ/mol; keeps Ω finite where the enthalpies of mixing cancel
_CAPACITIES = {"NsUnfilled": 2, "NpUnfilled": 6, "NdUnfilled": 10, "NfUnfilled": 14}
_PARAMETERS = (
    "molar_volume electron_density electronegativity valence_electrons a_const r_const h_trans "
    "compressibility shear_modulus melting_point structural_stability"
)
_ORDERING = {"inter": 8, "amor": 5, "ss": 0}  # how strongly unlike atoms order, by phase
# Lattice stability (kJ/mol) against the mean number of valence electrons, linear in between.
_VALENCE = (0, 1, 2, 3, 4, 5, 5.5, 6, 7, 8, 8.5, 9, 10, 11, 12)
_LATTICE_STABILITY = (
    (0, 0, 0, -2, -1.5, 9, 14, 11, -3, -9.5, -11, -9, -2, 1.5, 0),  # fcc
    (0, 0, 0, 2.2, 2, -9.5, -14.5, -12, 4, 10, 11, 8.5, 1.5, 1.5, 0),  # bcc
    (0, 0, 0, -2.5, -2.5, 10, 15, 13, -5, -10.5, -11, -8, -1, 2.5, 0),  # hcp
)
# Radius of a sphere, in units of its neighbours', around which 3, 4, ... 24 of them just fit.
_IDEAL_RATIOS = np.array(
    [
        0.154701, 0.224745, 0.361654, 0.414214, 0.518145, 0.616517, 0.709914, 0.798907,
        0.884003, 0.902113, 0.976006, 1.04733, 1.11632, 1.18318, 1.2481, 1.31123, 1.37271,
        1.43267, 1.49119, 1.5484, 1.60436, 1.65915,
    ]
)  # fmt: skip
_WEN_LABELS = (
    "Yang delta, Yang omega, APE mean, Radii local mismatch, Radii gamma, Configuration entropy, "
    "Atomic weight mean, Total weight, Lambda entropy, Electronegativity delta, "
    "Electronegativity local mismatch, VEC mean, Mixing enthalpy, Mean cohesive energy, "
    "Interant electrons, Interant s electrons, Interant p electrons, Interant d electrons, "
    "Interant f electrons, Shear modulus mean, Shear modulus delta, Shear modulus local mismatch, "
    "Shear modulus strength model"
)


class MiedemaFeaturizer(ElementTableFeaturizer):
    """Formation enthalpy as intermetallic, amorphous phase and solid solution, in eV per atom.

    Miedema's semi-empirical model [1]_ with the parameters of 73 elements, as in [2]_; alloys of
    more than two elements are sums over their pairs [3]_. Three columns, equal to those of
    matminer's ``Miedema``: intermetallic compound (chemical term), amorphous phase (chemical and
    topological term) and solid solution (chemical and elastic term, and the most favourable of
    the structural terms of fcc, bcc, hcp and no lattice).

    {Parameters to missing}
        What stands for the parameters that an element lacks (O, S, Se, Te, Po, the halogens and
        noble gases, Fr, Ra and most actinides): the means over the 73 elements (as in matminer,
        though the model has no such atom), NaN, or an error of its row.

    References
    ----------
    .. [1] F. R. de Boer et al., "Cohesion in metals", North-Holland (1988).
    .. [2] R. F. Zhang et al., Comput. Phys. Commun. 209, 58 (2016), doi:10.1016/j.cpc.2016.08.013
    .. [3] L. J. Gallego et al., J. Phys. Condens. Matter 2, 6245 (1990).
       https://doi.org/10.1088/0953-8984/2/29/002

    Examples
    --------
    >>> from trisk.featurizers import MiedemaFeaturizer
    >>> MiedemaFeaturizer().fit_transform(["TiZr"]).round(4).to_numpy().tolist()
    [[-0.0034, 0.0708, 0.0366]]
    """

    _sources = {"descriptor_elements.csv": [f"miedema_{name}" for name in _PARAMETERS.split()]}
    _columns = [f"Miedema Miedema_deltaH_{label}" for label in ("inter", "amor", "ss_min")]

    def _compute(self, table):
        parameters = self._lookup(table)
        first, second, _ = table.pairs
        a, b = parameters[:, first], parameters[:, second]
        x_a, x_b = table.fractions[first], table.fractions[second]
        chemical = {
            phase: table.sum_pairs(_chemical_term(a, b, x_a, x_b, ordering))
            for phase, ordering in _ORDERING.items()
        }
        elastic = table.sum_pairs(_elastic_term(a, b, x_a, x_b))
        valence, melting, stability = (table.mean(parameters[place]) for place in (3, 9, 10))
        # The most favourable change of lattice stability; 0 is that of no lattice.
        structural = [np.interp(valence, _VALENCE, s) - stability for s in _LATTICE_STABILITY]
        enthalpies = [
            chemical["inter"],
            chemical["amor"] + 3.5 * melting / 1000,
            chemical["ss"] + elastic + np.minimum(np.minimum.reduce(structural), 0.0),
        ]
        return np.stack(enthalpies, axis=1) / _KJ_PER_MOL_PER_EV, self._missing_errors(table)


def _chemical_term(a, b, x_a, x_b, ordering):
    """Enthalpy of mixing two kinds of atomic cells, in kJ/mol."""
    volume_a, density_a, phi_a, valence_a, a_a, r_a, transition_a = a[:7]
    volume_b, density_b, phi_b, valence_b, a_b, r_b, transition_b = b[:7]
    surface_a, surface_b = volume_a ** (2 / 3), volume_b ** (2 / 3)
    around_a, around_b = _surroundings(x_a * surface_a, x_b * surface_b, ordering)
    alloyed_a = surface_a * (1 + a_a * around_a * (phi_a - phi_b))
    alloyed_b = surface_b * (1 + a_b * around_b * (phi_b - phi_a))
    around_a, _ = _surroundings(x_a * alloyed_a, x_b * alloyed_b, ordering)

    transition_metal_a, transition_metal_b = _is_transition(valence_a), _is_transition(valence_b)
    mixed = transition_metal_a != transition_metal_b
    p = np.where(mixed, 12.35, np.where(transition_metal_a, 14.1, 10.7))
    hybridisation = np.where(mixed, r_a * r_b * p, 0.0)
    boundary_a, boundary_b = np.cbrt(density_a), np.cbrt(density_b)
    interface = (
        2
        * (-p * (phi_a - phi_b) ** 2 - hybridisation + 9.4 * p * (boundary_a - boundary_b) ** 2)
        / (1 / boundary_a + 1 / boundary_b)
    )
    return around_a * x_a * alloyed_a * interface + x_a * transition_a + x_b * transition_b


def _surroundings(cells_a, cells_b, ordering):
    """Degree to which A is surrounded by B, and B by A, from their surface concentrations."""
    share_a = cells_a / (cells_a + cells_b)
    ordered = 1 + ordering * (share_a * (1 - share_a)) ** 2
    return (1 - share_a) * ordered, share_a * ordered


def _is_transition(valence):
    """Three to eleven valence electrons; the model's own, wide, notion."""
    return (valence >= 3) & (valence <= 11) & (valence == np.rint(valence))


def _elastic_term(a, b, x_a, x_b):
    """Enthalpy of fitting atoms of one volume into the lattice of another, in kJ/mol."""
    (volume_a, density_a, phi_a), (bulk_a, shear_a) = a[:3], a[7:9]
    (volume_b, density_b, phi_b), (bulk_b, shear_b) = b[:3], b[7:9]
    slope = 1.5 * (phi_a - phi_b) / (1 / np.cbrt(density_a) + 1 / np.cbrt(density_b))
    transfer_a = slope * np.abs(volume_a + slope * volume_a ** (2 / 3) / density_a) ** (2 / 3)
    transfer_b = -slope * np.abs(volume_b - slope * volume_b ** (2 / 3) / density_b) ** (2 / 3)
    a_in_b = _misfit(
        bulk_a, shear_b, volume_a + transfer_a / density_a, volume_b + transfer_a / density_b
    )
    b_in_a = _misfit(
        bulk_b, shear_a, volume_b + transfer_b / density_b, volume_a + transfer_b / density_a
    )
    return x_a * x_b * (x_b * a_in_b + x_a * b_in_a)


def _misfit(bulk, shear, volume, hole):
    """Energy of a sphere in a hole of another size; none where both moduli are 0 (H in N)."""
    stiffness = 4 * shear * volume + 3 * bulk * hole
    energy = 2 * bulk * shear * (volume - hole) ** 2
    return np.divide(energy, stiffness, out=np.zeros_like(energy), where=stiffness != 0)


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
        first, second, _ = table.pairs
        enthalpy = self.mixing_enthalpies_[table.elements[first], table.elements[second]]
        total = table.sum_pairs(4 * table.fractions[first] * table.fractions[second] * enthalpy)
        return np.maximum(np.abs(total), _LEAST_ENTHALPY)

    def _missing_errors(self, table):
        errors = super()._missing_errors(table)
        if self.missing != "raise":
            return errors
        first, second, rows = table.pairs
        first, second = table.elements[first], table.elements[second]
        causes = {
            int(rows[pair]): "no enthalpy of mixing is tabulated for "
            f"{ELEMENT_SYMBOLS[first[pair] - 1]} and {ELEMENT_SYMBOLS[second[pair] - 1]}"
            for pair in np.flatnonzero(np.isnan(self.mixing_enthalpies_[first, second]))
        }
        return errors + self._row_errors(table, causes)


@lru_cache(maxsize=1)
def mixing_enthalpies():
    """Enthalpies of mixing of pairs of atomic numbers in the liquid, in kJ/mol, NaN if unknown."""
    matrix = np.full((N_ELEMENTS + 1, N_ELEMENTS + 1), np.nan)
    for line in data_file("mixing_enthalpies.csv").read_text("utf-8").splitlines()[1:]:
        first, second, enthalpy = line.split(",")
        a, b = ATOMIC_NUMBERS[first], ATOMIC_NUMBERS[second]
        matrix[a, b] = matrix[b, a] = float(enthalpy)
    matrix.setflags(write=False)
    return matrix


class YangFeaturizer(_MixingFeaturizer):
    """Yang and Zhang's Ω and δ, which tell solid solutions from intermetallics and glasses [1]_.

    Ω = T ΔS / |ΔH| weighs the ideal entropy of mixing, at the mean melting temperature, against
    the enthalpy of mixing in the liquid (Takeuchi and Inoue's table [2]_), which is taken as at
    least 1e-6 kJ/mol; δ² = Σ fᵢ (1 − rᵢ/r̄)² is the mismatch of the atomic radii (Miracle's).
    Both are 0 for a single element. Equal to matminer's ``YangSolidSolution``.

    {Parameters to missing}
        What stands for the radius that an element lacks (H, the halogens and noble gases among
        them) or the enthalpy that a pair lacks (with O, S, Se, Te, a halogen or noble gas): the
        mean over the elements or pairs that have it (as in matminer), NaN, or an error of its row.

    Notes
    -----
    With ``missing="nan"``, Ω of a pair that is not tabulated is NaN; matminer without imputation
    takes its enthalpy for 1e-6 kJ/mol and gives an Ω of millions.

    References
    ----------
    .. [1] X. Yang, Y. Zhang, Mater. Chem. Phys. 132, 233 (2012).
       https://doi.org/10.1016/j.matchemphys.2011.11.021
    .. [2] A. Takeuchi, A. Inoue, Mater. Trans. 46, 2817 (2005), doi:10.2320/matertrans.46.2817

    Examples
    --------
    >>> from trisk.featurizers import YangFeaturizer
    >>> YangFeaturizer().fit_transform(["ZrHfTiCuNi"]).round(3).to_numpy().tolist()
    [[0.945, 0.101]]
    """

    _sources = {
        "magpie_elements.csv": ["MeltingT"],
        "descriptor_elements.csv": ["miracle_radius"],
    }
    _columns = ["YangSolidSolution Yang omega", "YangSolidSolution Yang delta"]

    def _compute(self, table):
        melting, radius = self._lookup(table)
        omega = _yang_omega(table, melting, self._mixing_enthalpy(table))
        return np.column_stack([omega, _spread(table, radius)]), self._missing_errors(table)


class WenFeaturizer(_MixingFeaturizer):
    """The 23 numeric descriptors of high-entropy alloys of Wen et al. [1]_.

    Equal to the numeric columns of matminer's ``WenAlloys``: Yang's Ω and δ, packing efficiency
    [2]_, mismatches of radii, electronegativities and shear moduli, entropy (kJ/(mol K)) and
    enthalpy (kJ/mol) of mixing, weights (g/mol), valence and unpaired electron counts, cohesive
    energy (eV) and shear modulus (GPa). Melting temperatures, weights and unfilled orbitals are
    Magpie's; electronegativities, valences and shear moduli those of Miedema's model.

    {Parameters to missing}
        What stands for data that an element or a pair lacks, column by column: the mean over
        the elements or pairs that have it (as in matminer), NaN, or an error of its row.

    Notes
    -----
    "Total weight" is that of the formula as written, not per atom. Where all elements have the
    same radius or modulus, the mismatch is exactly 0, and so is "Lambda entropy", ΔS/δ²; matminer
    divides by the rounding error of δ there, and gives NaN for the moduli of H and N, which are
    both 0.

    References
    ----------
    .. [1] C. Wen et al., Acta Mater. 170, 109 (2019). https://doi.org/10.1016/j.actamat.2019.03.010
    .. [2] K. J. Laws et al., Nat. Commun. 6, 8123 (2015). https://doi.org/10.1038/ncomms9123

    Examples
    --------
    >>> from trisk.featurizers import WenFeaturizer
    >>> X = WenFeaturizer().fit_transform(["CoCrFeNi"])
    >>> X["WenAlloys VEC mean"].tolist()
    [8.25]
    """

    _sources = {
        "magpie_elements.csv": ["MeltingT", "AtomicWeight", *_CAPACITIES],
        "descriptor_elements.csv": [
            *("miracle_radius", "atomic_mass", "cohesive_energy", "miedema_electronegativity"),
            *("miedema_valence_electrons", "miedema_shear_modulus"),
        ],
    }
    _columns = [f"WenAlloys {label}" for label in _WEN_LABELS.split(", ")]

    def _compute(self, table):
        melting, weight, *unfilled, radius, mass, cohesion, electronegativity, valence, shear = (
            self._lookup(table)
        )
        enthalpy, entropy = self._mixing_enthalpy(table), _mixing_entropy(table)
        delta = _spread(table, radius)
        unpaired = [
            table.sum(np.where(empty != 0, capacity - empty, 0.0))
            for capacity, empty in zip(_CAPACITIES.values(), unfilled, strict=True)
        ]
        columns = [
            delta,
            _yang_omega(table, melting, enthalpy),
            _packing_efficiency(table, radius),
            _pairwise_spread(table, radius),
            _solid_angle_ratio(table, radius),
            entropy,
            table.mean(weight),
            table.sum(table.amounts * mass),
            np.divide(entropy, delta**2, out=np.zeros_like(delta), where=delta != 0),
            _spread(table, electronegativity),
            _pairwise_spread(table, electronegativity),
            table.mean(valence),
            enthalpy,
            table.mean(cohesion),
            sum(unpaired),
            *unpaired,
            table.mean(shear),
            _spread(table, shear),
            _pairwise_spread(table, shear),
            _strengthening(table, shear),
        ]
        return np.stack(columns, axis=1), self._missing_errors(table)


def _mixing_entropy(table):
    """Ideal entropy of mixing R Σ f ln f, in kJ/(mol K); negative, as matminer gives it."""
    return _GAS_CONSTANT * table.mean(np.log(table.fractions))


def _yang_omega(table, melting, enthalpy):
    """Yang's Ω; 0 for a single element."""
    omega = np.abs(table.mean(melting) * _mixing_entropy(table) / enthalpy)
    return np.where(table.lengths == 1, 0.0, omega)


def _spread(table, values):
    """Root mean square of 1 − v/v̄; exactly 0 where all values of a row are equal."""
    with np.errstate(invalid="ignore"):  # 0/0 where all are 0
        ratio = values / table.mean(values)[table.rows]
    return _unless_uniform(table, values, np.sqrt(table.mean((1 - ratio) ** 2)))


def _unless_uniform(table, values, mismatch):
    """A mismatch that is 0 where the values of a row are equal, whatever rounding says."""
    equal = table.maximum(values) == table.minimum(values)
    return np.where(equal | (table.lengths == 1), 0.0, mismatch)


def _pairwise_spread(table, values):
    """Σ_{i<j} fᵢ fⱼ |vᵢ − vⱼ|."""
    first, second, _ = table.pairs
    weights = table.fractions[first] * table.fractions[second]
    return table.sum_pairs(weights * np.abs(values[first] - values[second]))


def _solid_angle_ratio(table, radius):
    """Ratio of the solid angles around the smallest and around the largest atom (γ)."""
    mean = table.mean(radius)

    def solid_angle(extreme):
        return 1 - np.sqrt((mean * extreme + extreme**2) / (mean + extreme) ** 2)

    return solid_angle(table.minimum(radius)) / solid_angle(table.maximum(radius))


def _strengthening(table, shear):
    """Mismatch of shear moduli in the model of solid-solution strengthening."""
    mean = table.mean(shear)[table.rows]
    with np.errstate(invalid="ignore"):  # 0/0 where all are 0
        mismatch = 2 * table.fractions * (shear - mean) / (shear + mean)
    return _unless_uniform(table, shear, table.sum(mismatch / (1 + 0.5 * np.abs(mismatch))))


def _packing_efficiency(table, radius):
    """Mean atomic packing efficiency if every atom's neighbours have the mean radius."""
    ratio = radius / table.mean(radius)[table.rows]
    efficiency = 1 - _IDEAL_RATIOS / ratio[:, None]
    best = np.argmin(np.abs(efficiency), axis=1)
    return table.mean(efficiency[np.arange(len(ratio)), best])

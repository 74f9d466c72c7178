"""Formation enthalpies of alloys from Miedema's model."""

import numpy as np

from trisk.featurizers._segments import row_mean, row_pairs
from trisk.featurizers.composition._tabulated import ElementTableFeaturizer

_KJ_PER_MOL_PER_EV = 96.4853
_CONCENTRATION_FACTOR = {"inter": 8, "amor": 5, "ss": 0}  # how strongly unlike atoms order
_COLUMNS = (
    "miedema_molar_volume",
    "miedema_electron_density",
    "miedema_electronegativity",
    "miedema_valence_electrons",
    "miedema_a_const",
    "miedema_r_const",
    "miedema_h_trans",
    "miedema_compressibility",
    "miedema_shear_modulus",
    "miedema_melting_point",
    "miedema_structural_stability",
)
# Lattice stability (kJ/mol) against the mean number of valence electrons, linear in between.
_VALENCE = (0, 1, 2, 3, 4, 5, 5.5, 6, 7, 8, 8.5, 9, 10, 11, 12)
_LATTICE_STABILITY = (
    (0, 0, 0, -2, -1.5, 9, 14, 11, -3, -9.5, -11, -9, -2, 1.5, 0),  # fcc
    (0, 0, 0, 2.2, 2, -9.5, -14.5, -12, 4, 10, 11, 8.5, 1.5, 1.5, 0),  # bcc
    (0, 0, 0, -2.5, -2.5, 10, 15, 13, -5, -10.5, -11, -8, -1, 2.5, 0),  # hcp
)


class MiedemaFeaturizer(ElementTableFeaturizer):
    """Formation enthalpy as intermetallic, amorphous phase and solid solution, in eV per atom.

    Miedema's semi-empirical model [1]_ with the parameters of 73 elements, as in [2]_; alloys of
    more than two elements are sums over their pairs [3]_. Three columns, equal to those of
    matminer's ``Miedema``: intermetallic compound (chemical term), amorphous phase (chemical and
    topological term) and solid solution (chemical and elastic term, and the most favourable of
    the structural terms of fcc, bcc, hcp and no lattice).

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for the parameters that an element lacks (O, S, Se, Te, Po, the halogens and
        noble gases, Fr, Ra and most actinides): the means over the 73 elements (as in matminer,
        though the model has no such atom), NaN, or an error of its row.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    References
    ----------
    .. [1] F. R. de Boer, R. Boom, W. C. M. Mattens, A. R. Miedema, A. K. Niessen, Cohesion in
       Metals, North-Holland (1988)
    .. [2] R. F. Zhang, S. H. Zhang, Z. J. He, J. Jing, S. H. Sheng, Computer Physics
       Communications 209 (2016) 58, https://doi.org/10.1016/j.cpc.2016.08.013
    .. [3] L. J. Gallego, J. A. Somoza, J. A. Alonso, Journal of Physics: Condensed Matter 2
       (1990) 6245, https://doi.org/10.1088/0953-8984/2/29/002

    Examples
    --------
    >>> from trisk.featurizers import MiedemaFeaturizer
    >>> MiedemaFeaturizer().fit_transform(["TiZr"]).round(4).to_numpy().tolist()
    [[-0.0034, 0.0708, 0.0366]]
    """

    _sources = {"descriptor_elements.csv": _COLUMNS}

    def _feature_names(self):
        return [f"Miedema Miedema_deltaH_{label}" for label in ("inter", "amor", "ss_min")]

    def _compute(self, table):
        parameters = self._lookup(table)
        first, second, rows = row_pairs(table)
        pair = (parameters[:, first], parameters[:, second])
        fractions = (table.fractions[first], table.fractions[second])
        chemical = {
            phase: _sum_pairs(table, rows, _chemical_term(pair, fractions, factor))
            for phase, factor in _CONCENTRATION_FACTOR.items()
        }
        elastic = _sum_pairs(table, rows, _elastic_term(pair, fractions))
        valence, melting, stability = parameters[3], parameters[9], parameters[10]
        enthalpies = [
            chemical["inter"],
            chemical["amor"] + 3.5 * row_mean(table, melting) / 1000,
            chemical["ss"] + elastic + _structural_term(table, valence, stability),
        ]
        values = np.stack(enthalpies, axis=1) / _KJ_PER_MOL_PER_EV
        return values, self._missing_errors(table)


def _sum_pairs(table, rows, values):
    return np.bincount(rows, weights=values, minlength=table.n_rows)


def _chemical_term(pair, fractions, factor):
    """Enthalpy of mixing two kinds of atomic cells, in kJ/mol."""
    volume_a, density_a, phi_a, valence_a, a_a, r_a, transition_a = pair[0][:7]
    volume_b, density_b, phi_b, valence_b, a_b, r_b, transition_b = pair[1][:7]
    x_a, x_b = fractions
    surface_a, surface_b = volume_a ** (2 / 3), volume_b ** (2 / 3)
    around_a, around_b = _surroundings(x_a * surface_a, x_b * surface_b, factor)
    alloyed_a = surface_a * (1 + a_a * around_a * (phi_a - phi_b))
    alloyed_b = surface_b * (1 + a_b * around_b * (phi_b - phi_a))
    around_a, _ = _surroundings(x_a * alloyed_a, x_b * alloyed_b, factor)

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


def _surroundings(cells_a, cells_b, factor):
    """Degree to which A is surrounded by B, and B by A, from their surface concentrations."""
    share_a = cells_a / (cells_a + cells_b)
    ordering = 1 + factor * (share_a * (1 - share_a)) ** 2
    return (1 - share_a) * ordering, share_a * ordering


def _is_transition(valence):
    """Three to eleven valence electrons; the model's own, wide, notion."""
    return (valence >= 3) & (valence <= 11) & (valence == np.rint(valence))


def _elastic_term(pair, fractions):
    """Enthalpy of fitting atoms of one volume into the lattice of another, in kJ/mol."""
    volume_a, density_a, phi_a = pair[0][:3]
    volume_b, density_b, phi_b = pair[1][:3]
    bulk_a, shear_a = pair[0][7:9]
    bulk_b, shear_b = pair[1][7:9]
    x_a, x_b = fractions
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


def _structural_term(table, valence, stability):
    """Most favourable change of lattice stability, in kJ/mol; 0 is that of no lattice."""
    mean_valence, mean_stability = row_mean(table, valence), row_mean(table, stability)
    terms = [
        np.interp(mean_valence, _VALENCE, lattice) - mean_stability
        for lattice in _LATTICE_STABILITY
    ]
    return np.minimum(np.minimum.reduce(terms), 0.0)

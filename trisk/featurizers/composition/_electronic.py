"""Estimates of band edges from free-atom data: band centre, and HOMO and LUMO energies."""

import numpy as np

from trisk.featurizers._segments import row_any, row_mean
from trisk.featurizers.composition._base import BaseCompositionFeaturizer
from trisk.featurizers.composition._integer_formula import integer_formula
from trisk.featurizers.composition._orbital_filling import band_edges, mean_levels, orbital_table
from trisk.featurizers.composition._tabulated import ElementTableFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS
from trisk.structures.rows import RowError

_KJ_PER_MOL_PER_EV = 96.48  # rounded as in matminer, to equal its values


class BandCenterFeaturizer(ElementTableFeaturizer):
    """Geometric mean of the elements' Mulliken electronegativities, in eV.

    The middle of the band gap of a semiconductor lies about that far below vacuum [1]_. An
    element's electronegativity is the mean of its first ionization energy (Deml's table) and its
    electron affinity (Magpie's); the geometric mean is weighted by atomic fraction. Equal to
    matminer's ``BandCenter``.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for data that an element lacks (Fr, Ra and from Ac on): the mean over the
        elements that have it (as in matminer), NaN, or an error of its row.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    References
    ----------
    .. [1] M. A. Butler, D. S. Ginley, Journal of The Electrochemical Society 125 (1978) 228,
       https://doi.org/10.1149/1.2131419

    Examples
    --------
    >>> from trisk.featurizers import BandCenterFeaturizer
    >>> BandCenterFeaturizer().fit_transform(["TiO2"]).round(3)
       BandCenter band center
    0                   5.812
    """

    _sources = {"descriptor_elements.csv": ("first_ionization_energy", "electron_affinity")}

    def _feature_names(self):
        return ["BandCenter band center"]

    def _compute(self, table):
        ionization, affinity = self._lookup(table)  # J/mol and kJ/mol
        mulliken = 0.5 * (ionization / 1000 + affinity) / _KJ_PER_MOL_PER_EV
        return np.exp(row_mean(table, np.log(mulliken)))[:, None], self._missing_errors(table)


class AtomicOrbitalFeaturizer(BaseCompositionFeaturizer):
    """Highest occupied and lowest unoccupied atomic orbital of a formula, and their distance.

    The orbitals of all atoms, at the energies of the free neutral atoms (local density
    approximation [1]_), are filled from the lowest with all electrons of the formula. The last
    orbital to receive one is the HOMO; the LUMO is the same orbital while it has room, else the
    next. Equal to the numeric columns of matminer's ``AtomicOrbitals``. Energies are in hartree,
    as in the source, though matminer's documentation says eV.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for an unknown level: its mean over the elements, but a LUMO at least as high
        as the HOMO; NaN; or an error of the row. Unknown are both levels of formulas with
        elements beyond uranium, and the LUMO where the electrons fill every tabulated orbital
        (He, Mg, CaZn5). matminer raises in both cases.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize.

    Notes
    -----
    Amounts are first made whole with pymatgen's greatest common divisor of tolerance 1e-4, as
    matminer does: elements far below that share of the others drop out.

    References
    ----------
    .. [1] S. Kotochigova, Z. H. Levine, E. L. Shirley, M. D. Stiles, C. W. Clark, Physical
       Review A 55 (1997) 191, https://doi.org/10.1103/PhysRevA.55.191

    Examples
    --------
    >>> from trisk.featurizers import AtomicOrbitalFeaturizer
    >>> AtomicOrbitalFeaturizer().fit_transform(["SrTiO3"]).round(4).to_numpy().tolist()
    [[-0.3384, -0.17, 0.1684]]
    """

    def _feature_names(self):
        return [f"AtomicOrbitals {label}" for label in ("HOMO_energy", "LUMO_energy", "gap_AO")]

    def _compute(self, table):
        counts = integer_formula(table)
        homo, lumo = band_edges(table, counts)
        unknown = row_any(table, (orbital_table().n_orbitals[table.elements] == 0) & (counts > 0))
        homo[unknown] = lumo[unknown] = np.nan
        errors = self._unknown_levels(table, unknown, lumo) if self.missing == "raise" else []
        if self.missing == "mean":
            mean_homo, mean_lumo = mean_levels()
            homo[unknown] = mean_homo
            lumo = np.where(np.isnan(lumo), np.maximum(homo, mean_lumo), lumo)
        return np.column_stack([homo, lumo, lumo - homo]), errors

    def _unknown_levels(self, table, unknown, lumo):
        errors = []
        for row in np.flatnonzero(np.isnan(lumo)):
            elements = table.elements[table.offsets[row] : table.offsets[row + 1]]
            lacking = [z for z in elements if orbital_table().n_orbitals[z] == 0]
            symbols = ", ".join(ELEMENT_SYMBOLS[z - 1] for z in lacking)
            cause = (
                f"no orbital energies are tabulated for {symbols}"
                if unknown[row]
                else "its electrons fill every tabulated orbital, so there is no LUMO"
            )
            errors.append(RowError(int(row), table.formulas[row], type(self).__name__, cause))
        return errors

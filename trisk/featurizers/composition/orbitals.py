"""Electrons and band edges from free-atom data: valence orbitals, band centre, HOMO and LUMO."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trisk.data import data_file
from trisk.featurizers.composition.base import (
    UNKNOWN_FROM,
    BaseCompositionFeaturizer,
    ElementTableFeaturizer,
)
from trisk.featurizers.composition.formulas import CompositionTable
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS

_CAPACITIES = {"s": 2, "p": 6, "d": 10, "f": 14}
_KJ_PER_MOL_PER_EV = 96.48  # rounded as in matminer, to equal its values
_DIVISOR_TOLERANCE = 1e-4
_MOST_ATOMS = 1e14  # so that electrons can be counted in 64 bits, whatever the amounts


class ValenceOrbitalFeaturizer(ElementTableFeaturizer):
    """Average number and share of s, p, d and f valence electrons.

    Equal to matminer's ``ValenceOrbital``: first the four averages per atom, weighted by atomic
    fraction, then each divided by the average number of valence electrons. The electron counts
    are Magpie's, where filled d and f shells below count as well: Ga has 13, Pb 28.

    {Parameters to missing}
        Only Nh to Og have no data: NaN in their rows with "nan", an error of the row otherwise.

    Examples
    --------
    >>> from trisk.featurizers import ValenceOrbitalFeaturizer
    >>> X = ValenceOrbitalFeaturizer().fit_transform(["NaCl"])
    >>> X["ValenceOrbital avg p valence electrons"].tolist()
    [2.5]
    """

    _sources = {"magpie_elements.csv": [*(f"N{orbital}Valence" for orbital in "spdf"), "NValence"]}
    _columns = [
        f"ValenceOrbital {statistic} {orbital} valence electrons"
        for statistic in ("avg", "frac")
        for orbital in "spdf"
    ]

    def _compute(self, table):
        means = np.stack([table.mean(electrons) for electrons in self._lookup(table)], axis=1)
        averages, total = means[:, :-1], means[:, -1:]
        return np.concatenate([averages, averages / total], axis=1), self._missing_errors(table)


class BandCenterFeaturizer(ElementTableFeaturizer):
    """Geometric mean of the elements' Mulliken electronegativities, in eV.

    The middle of the band gap of a semiconductor lies about that far below vacuum [1]_. An
    element's electronegativity is the mean of its first ionization energy (Deml's table) and its
    electron affinity (Magpie's); the geometric mean is weighted by atomic fraction. Equal to
    matminer's ``BandCenter``.

    {Parameters to missing}
        What stands for data that an element lacks (Fr, Ra and Ac to Cn): the mean over the
        elements that have it (as in matminer), NaN, or an error of its row.

    References
    ----------
    .. [1] M. A. Butler, D. S. Ginley, J. Electrochem. Soc. 125, 228 (1978), doi:10.1149/1.2131419

    Examples
    --------
    >>> from trisk.featurizers import BandCenterFeaturizer
    >>> BandCenterFeaturizer().fit_transform(["TiO2"]).round(3)
       BandCenter band center
    0                   5.812
    """

    _sources = {"descriptor_elements.csv": ["first_ionization_energy", "electron_affinity"]}
    _columns = ["BandCenter band center"]

    def _compute(self, table):
        ionization, affinity = self._lookup(table)  # J/mol and kJ/mol
        mulliken = 0.5 * (ionization / 1000 + affinity) / _KJ_PER_MOL_PER_EV
        return np.exp(table.mean(np.log(mulliken)))[:, None], self._missing_errors(table)


class AtomicOrbitalFeaturizer(BaseCompositionFeaturizer):
    """Highest occupied and lowest unoccupied atomic orbital of a formula, and their distance.

    The orbitals of all atoms, at the energies of the free neutral atoms (local density
    approximation [1]_), are filled from the lowest with all electrons of the formula. The last
    orbital to receive one is the HOMO; the LUMO is the same orbital while it has room, else the
    next. Equal to the numeric columns of matminer's ``AtomicOrbitals``. Energies are in hartree,
    as in the source, though matminer's documentation says eV.

    {Parameters to missing}
        What stands for an unknown level: its mean over the elements, but a LUMO at least as high
        as the HOMO; NaN; or an error of the row. Unknown are both levels of formulas with
        elements beyond uranium, and the LUMO where the electrons fill every tabulated orbital
        (He, Mg, CaZn5). matminer raises in both cases.

    Notes
    -----
    Amounts are first made whole with pymatgen's greatest common divisor of tolerance 1e-4, as
    matminer does: elements far below that share of the others drop out.

    References
    ----------
    .. [1] S. Kotochigova et al., Phys. Rev. A 55, 191 (1997), doi:10.1103/PhysRevA.55.191

    Examples
    --------
    >>> from trisk.featurizers import AtomicOrbitalFeaturizer
    >>> AtomicOrbitalFeaturizer().fit_transform(["SrTiO3"]).round(4).to_numpy().tolist()
    [[-0.3384, -0.17, 0.1684]]
    """

    _columns = [f"AtomicOrbitals {label}" for label in ("HOMO_energy", "LUMO_energy", "gap_AO")]

    def _compute(self, table):
        counts = integer_formula(table)
        homo, lumo = band_edges(table, counts)
        lacking = (orbital_table().n_orbitals[table.elements] == 0) & (counts > 0)
        unknown = table.any(lacking)
        homo[unknown] = lumo[unknown] = np.nan
        causes = {}
        if self.missing == "raise":
            full = "its electrons fill every tabulated orbital, so there is no LUMO"
            causes = dict.fromkeys(np.flatnonzero(np.isnan(lumo)).tolist(), full)
        elif self.missing == "mean":
            mean_homo, mean_lumo = mean_levels()
            homo[unknown] = mean_homo
            lumo = np.where(np.isnan(lumo), np.maximum(homo, mean_lumo), lumo)
            lacking &= table.elements >= UNKNOWN_FROM
        if self.missing != "nan":
            for entry in np.flatnonzero(lacking):
                symbol = ELEMENT_SYMBOLS[table.elements[entry] - 1]
                cause = f"no orbital energies are tabulated for {symbol}"
                causes[int(table.rows[entry])] = cause
        return np.column_stack([homo, lumo, lumo - homo]), self._row_errors(table, causes)


class _OrbitalTable(NamedTuple):
    """Orbitals of all elements, element by element."""

    starts: np.ndarray  # first orbital of each atomic number
    n_orbitals: np.ndarray  # number of orbitals of each atomic number, 0 without data
    energies: np.ndarray  # of each orbital, in hartree
    ranks: np.ndarray  # place of each orbital in the order of energies
    capacities: np.ndarray  # electrons that each can hold


@lru_cache(maxsize=1)
def orbital_table():
    """Read the orbital energies that ship with the package."""
    text = data_file("atomic_orbital_energies.csv").read_text("utf-8")
    lines = [line.split(",") for line in text.splitlines()[1:]]
    elements = np.array([ATOMIC_NUMBERS[symbol] for symbol, _, _ in lines])
    energies = np.array([float(energy) for _, _, energy in lines])
    n_orbitals = np.bincount(elements, minlength=N_ELEMENTS + 1)
    return _OrbitalTable(
        starts=np.cumsum(n_orbitals) - n_orbitals,
        n_orbitals=n_orbitals,
        energies=energies,
        ranks=np.argsort(np.argsort(energies, kind="stable")),
        capacities=np.array([_CAPACITIES[orbital[-1]] for _, orbital, _ in lines]),
    )


def band_edges(table, counts):
    """HOMO and LUMO energy of each row, NaN where there is no such orbital."""
    orbitals = orbital_table()
    # One item per orbital of each entry, in each row by energy.
    elements = np.where(counts > 0, table.elements, 0)
    repeats = orbitals.n_orbitals[elements]
    entries = np.repeat(np.arange(len(elements)), repeats)
    within = np.arange(len(entries)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    chosen = orbitals.starts[elements[entries]] + within
    order = np.argsort(table.rows[entries] * len(orbitals.energies) + orbitals.ranks[chosen])
    entries, chosen = entries[order], chosen[order]
    rows, energies = table.rows[entries], orbitals.energies[chosen]
    room = np.cumsum(counts[entries] * orbitals.capacities[chosen])
    n_per_row = np.bincount(rows, minlength=table.n_rows)
    starts = np.cumsum(n_per_row) - n_per_row
    before_row = np.append(0, room)[starts]
    electrons = table.sum(counts * table.elements).astype(np.int64)

    filled = np.bincount(
        rows, weights=room - before_row[rows] < electrons[rows], minlength=table.n_rows
    ).astype(np.int64)  # orbitals that are full before the one that takes the last electron
    level = np.minimum(filled, n_per_row - 1)
    energies, room = np.append(energies, np.nan), np.append(room, 0)
    last = np.where(n_per_row > 0, starts + level, -1)
    partial = room[last] - before_row != electrons
    following = np.where(level + 1 < n_per_row, last + 1, -1)
    return energies[last], energies[np.where(partial, last, following)]


@lru_cache(maxsize=1)
def mean_levels():
    """Mean HOMO and mean LUMO energy of the elements that have them, in hartree."""
    elements = np.flatnonzero(orbital_table().n_orbitals)
    ones = np.ones(len(elements), dtype=np.int64)
    table = CompositionTable(np.arange(len(elements) + 1), elements, ones, elements)
    homo, lumo = band_edges(table, ones)
    return float(np.nanmean(homo)), float(np.nanmean(lumo))


def integer_formula(table):
    """Amounts as whole multiples of pymatgen's approximate greatest common divisor."""
    divisor = table.amounts[table.offsets[:-1]]
    for step in range(1, table.lengths.max(initial=1)):
        entries = np.flatnonzero(table.places == step)
        rows = table.rows[entries]
        divisor[rows] = _common_divisor(divisor[rows], table.amounts[entries])
    counts = np.minimum(table.amounts / divisor[table.rows], _MOST_ATOMS)
    return np.rint(counts).astype(np.int64)


def _common_divisor(a, b):
    """Euclid's algorithm, element by element, which takes remainders up to the tolerance as 0."""
    a, b = a.copy(), b.copy()
    active = np.flatnonzero(b > _DIVISOR_TOLERANCE)
    while len(active):
        a[active], b[active] = b[active], a[active] % b[active]
        active = active[b[active] > _DIVISOR_TOLERANCE]
    return a

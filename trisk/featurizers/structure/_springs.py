"""A crystal whose bonds are empirical springs: frequencies of atoms and pairs, and its bonds."""

from dataclasses import dataclass

import numpy as np

from trisk.featurizers.structure._bond_physics import WAVENUMBER, bond_sensors, bond_valences
from trisk.structures.elements import element_columns, impute_element_means

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_ELEMENT_COLUMNS = {
    "mass (u)": ("descriptor_elements.csv", "atomic_mass"),
    "electronegativity": ("magpie_elements.csv", "Electronegativity"),
    "covalent radius (pm)": ("magpie_elements.csv", "CovalentRadius"),
    "group": ("magpie_elements.csv", "Column"),
    "period": ("magpie_elements.csv", "Row"),
}
_ATOM_OF_BOND = [*_ELEMENT_COLUMNS, "valence sum", "Einstein frequency along the bond (1/cm)"]

#: Names of the columns that :func:`spring_columns` gives.
SPRING_COLUMNS = [
    "highest pair frequency (1/cm)",
    "mean pair frequency (1/cm)",
    "root mean square pair frequency (1/cm)",
    "highest bond frequency (1/cm)",
    *(
        f"{name} Einstein frequency (1/cm)"
        for name in ("lowest", *(f"quantile {q:g}" for q in _QUANTILES), "highest", "mean", "rms")
    ),
    *(f"fastest bond {name}" for name in ("stiffness (N/m)", "length (A)", "valence")),
    *(f"fastest bond lighter atom {name}" for name in _ATOM_OF_BOND),
    *(f"fastest bond heavier atom {name}" for name in _ATOM_OF_BOND),
    *(f"{name} valence sum" for name in ("lowest", "mean", "highest")),
    "shortest bond (A)",
    "volume per atom (A3)",
    "density (u/A3)",
]


@dataclass(frozen=True)
class Springs:
    """Bonds of many crystals as springs.

    Parameters
    ----------
    stiffness, valences : ndarray of shape (n_bonds,)
        Stiffness in N/m and bond valence.
    pair, bond : ndarray of shape (n_bonds,)
        Frequencies in cm⁻¹ of the two atoms of a bond while all others rest, and on their own
        spring alone.
    along_i, along_j : ndarray of shape (n_bonds,)
        Frequencies of each of the two atoms along the bond while all others rest.
    einstein : ndarray of shape (n_atoms, 3)
        Frequencies in cm⁻¹ of each atom while all others rest, ascending.
    valence_sums : ndarray of shape (n_atoms,)
        Sums of the bond valences of each atom.
    """

    stiffness: np.ndarray
    valences: np.ndarray
    pair: np.ndarray
    bond: np.ndarray
    along_i: np.ndarray
    along_j: np.ndarray
    einstein: np.ndarray
    valence_sums: np.ndarray


def make_springs(numbers, bonds, directions):
    """Make the springs of all bonds and let them vibrate.

    Parameters
    ----------
    numbers : ndarray of int of shape (n_atoms,)
        Atomic numbers.
    bonds : Bonds
        Bonds of all atoms.
    directions : ndarray of shape (n_bonds, 3)
        Unit vectors u of the bonds.

    Returns
    -------
    Springs
        With the on-site matrix A = Σ k u uᵀ of each atom, squared frequencies are the
        eigenvalues of A / m for an atom, and for a pair (a + b)/2 + √(((a − b)/2)² + k²/mᵢmⱼ)
        with a = u·Aᵢu / mᵢ and b = u·Aⱼu / mⱼ.
    """
    i, j = bonds.centers, bonds.neighbors
    stiffness, _, own = bond_sensors(numbers[i], numbers[j], bonds.lengths).T
    masses = _element_values()[numbers, 0]
    outer = stiffness[:, None, None] * directions[:, :, None] * directions[:, None, :]
    sites = np.add.reduceat(outer, bonds.offsets[:-1])
    einstein = np.linalg.eigvalsh(sites) / masses[:, None]
    a = np.einsum("bi,bij,bj->b", directions, sites[i], directions) / masses[i]
    b = np.einsum("bi,bij,bj->b", directions, sites[j], directions) / masses[j]
    coupling = stiffness / np.sqrt(masses[i] * masses[j])
    pair = (a + b) / 2 + np.hypot((a - b) / 2, coupling)
    valences = bond_valences(numbers[i], numbers[j], bonds.lengths)
    return Springs(
        stiffness,
        valences,
        _wavenumbers(pair),
        own,
        _wavenumbers(a),
        _wavenumbers(b),
        _wavenumbers(einstein),
        np.add.reduceat(valences, bonds.offsets[:-1]),
    )


def spring_columns(table, bonds, springs):
    """Summarise the springs of each crystal.

    Parameters
    ----------
    table : StructureTable
        The crystals; none without atoms.
    bonds : Bonds
        Bonds of all atoms, at least one each.
    springs : Springs
        The springs.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        Columns as in ``SPRING_COLUMNS``. They do not change with the choice of the cell.
    """
    atoms, bond_starts = table.offsets, bonds.offsets[table.offsets]
    first = bond_starts[:-1]
    weights = springs.valences / _spread(np.add.reduceat(springs.valences, first), bond_starts)
    einstein = springs.einstein.ravel()
    masses = _element_values()[table.numbers, 0]
    mass = np.add.reduceat(masses, atoms[:-1])
    volume = np.abs(np.linalg.det(table.lattices))
    return np.column_stack(
        [
            np.maximum.reduceat(springs.pair, first),
            np.add.reduceat(weights * springs.pair, first),
            np.sqrt(np.add.reduceat(weights * springs.pair**2, first)),
            np.maximum.reduceat(springs.bond, first),
            _quantiles(einstein, 3 * atoms),
            np.add.reduceat(einstein, 3 * atoms[:-1]) / (3 * table.lengths),
            np.sqrt(np.add.reduceat(einstein**2, 3 * atoms[:-1]) / (3 * table.lengths)),
            _fastest_bonds(table.numbers, bonds, springs, bond_starts),
            np.minimum.reduceat(springs.valence_sums, atoms[:-1]),
            np.add.reduceat(springs.valence_sums, atoms[:-1]) / table.lengths,
            np.maximum.reduceat(springs.valence_sums, atoms[:-1]),
            np.minimum.reduceat(bonds.lengths, first),
            volume / table.lengths,
            mass / volume,
        ]
    )


def _fastest_bonds(numbers, bonds, springs, offsets):
    """The bond of each crystal with the highest pair frequency, and its two atoms."""
    # By crystal and then frequency: the last of each crystal.
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fastest = np.lexsort((springs.pair, rows))[offsets[1:] - 1]
    atoms = bonds.centers[fastest], bonds.neighbors[fastest]
    along = springs.along_i[fastest], springs.along_j[fastest]
    properties = [
        np.column_stack([_element_values()[numbers[atom]], springs.valence_sums[atom], frequency])
        for atom, frequency in zip(atoms, along, strict=True)
    ]
    masses, sums = properties[0][:, 0] - properties[1][:, 0], np.subtract(*along)
    # Of two equal atoms the slower one stands first.
    swapped = ((masses > 0) | ((masses == 0) & (sums > 0)))[:, None]
    return np.column_stack(
        [
            springs.stiffness[fastest],
            bonds.lengths[fastest],
            springs.valences[fastest],
            np.where(swapped, properties[1], properties[0]),
            np.where(swapped, properties[0], properties[1]),
        ]
    )


def _quantiles(values, offsets):
    """Lowest value, quantiles and highest value of each run, none of them interpolated."""
    runs = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    ordered = values[np.lexsort((values, runs))]
    counts = np.diff(offsets)
    # Rounded against 0.9 · 10 = 9.000000000000002.
    ranks = [np.ceil(np.round(q * counts, 9)).astype(int) - 1 for q in _QUANTILES]
    ranks = [np.zeros_like(counts), *(np.maximum(rank, 0) for rank in ranks), counts - 1]
    return ordered[offsets[:-1, None] + np.stack(ranks, axis=1)]


def _spread(values, offsets):
    return np.repeat(values, np.diff(offsets))


def _wavenumbers(squared):
    """Frequencies in cm⁻¹ from squared ones in N/m/u."""
    return WAVENUMBER * np.sqrt(np.maximum(squared, 0))


def _element_values():
    columns = [element_columns(filename, (name,)) for filename, name in _ELEMENT_COLUMNS.values()]
    return impute_element_means(np.concatenate(columns, axis=1))

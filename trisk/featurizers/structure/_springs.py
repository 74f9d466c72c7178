"""SpringModelFeaturizer: what bonds, taken as springs, say of the vibrations of a structure."""

from typing import NamedTuple

import numpy as np

from trisk.featurizers.structure._base import StructureTableFeaturizer, bond_directions
from trisk.structures.elements import element_property

#: Sensors of a bond from its two elements and its length, in the order of their columns.
BOND_SENSORS = ("bond stiffness (N/m)", "reduced mass (u)", "Einstein frequency (1/cm)")

_GORDY = 167.0  # N/m for a bond order of one, electronegativities of Pauling, lengths in Å
_VALENCE_DECAY = 0.37  # Å
# √(N/m / u) / 2πc = √(1 / 1.66053907e-27) / (2π · 2.99792458e10) per centimetre
_WAVENUMBER = 130.2794
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
#: Column of an element → what it is in ``element_property``.
ELEMENT_COLUMNS = {
    "mass (u)": "atomic mass",
    "electronegativity": "electronegativity",
    "covalent radius (pm)": "covalent radius",
    "group": "group",
    "period": "period",
}
_ATOM_OF_BOND = [*ELEMENT_COLUMNS, "valence sum", "Einstein frequency along the bond (1/cm)"]

_COLUMNS = [
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


class SpringModelFeaturizer(StructureTableFeaturizer):
    """Vibrations of a structure whose bonds are empirical springs, without any potential.

    Every pair of atoms within the cutoff is a spring, whose stiffness follows from the two
    elements and the distance. Each atom, and each pair of bonded atoms, vibrates while all others
    rest. Columns tell of these frequencies, of the bond that vibrates fastest and of its two
    atoms, of bond valences and of density.

    The fastest pair is a good first guess of the highest phonon frequency (on Matbench's phonon
    task it correlates 0.976 with the last peak of the density of states), and what is left to
    learn is a correction. Nothing is learned from the data.

    {Parameters}

    {Attributes}

    Notes
    -----
    Stiffness is k = 167 N/m · n (χᵢ χⱼ / d²)^¾ [1]_ for electronegativities χ and a length d in
    Å, with the bond valence n = exp((rᵢ + rⱼ − d) / 0.37 Å) [2]_ of the covalent radii r in
    place of the bond order. An atom of mass m has the on-site matrix A = Σ k u uᵀ over its bonds
    of direction u, and three Einstein frequencies, the roots of the eigenvalues of A / m. A pair
    has ω² = (a + b)/2 + √(((a − b)/2)² + k²/mᵢmⱼ) with a = u·Aᵢu / mᵢ and b = u·Aⱼu / mⱼ. Means
    over pairs are weighted by bond valence. Volume and density are zero where a structure does not
    repeat in all directions.

    References
    ----------
    .. [1] W. Gordy, J. Chem. Phys. 14, 305 (1946). https://doi.org/10.1063/1.1724138
    .. [2] I. D. Brown, D. Altermatt, Acta Cryst. B 41, 244 (1985), doi:10.1107/S0108768185002063

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.featurizers import SpringModelFeaturizer
    >>> X = SpringModelFeaturizer().fit_transform([bulk("C"), bulk("Si"), bulk("Ge")])
    >>> X["SpringModel highest pair frequency (1/cm)"].round().astype(int).tolist()
    [1081, 349, 244]
    """

    def _feature_names(self):
        return [f"SpringModel {name}" for name in _COLUMNS]

    def _compute(self, atoms, pairs):
        offsets, counts, numbers = atoms.offsets["atom"], atoms.counts(), atoms.atomic_numbers
        bond_starts, starts = pairs.offsets[offsets], offsets[:-1]
        first = bond_starts[:-1]
        springs = _vibrate(atoms, pairs)
        sums = np.repeat(np.add.reduceat(springs.valences, first), np.diff(bond_starts))
        weights = springs.valences / sums
        valences = np.add.reduceat(springs.valences, pairs.offsets[:-1])
        einstein = springs.einstein.ravel()
        mass = np.add.reduceat(element_property("atomic mass")[numbers], starts)
        fills_space = atoms.pbc.all(axis=1)
        volume = np.abs(np.linalg.det(atoms.lattices)) * fills_space
        columns = [
            np.maximum.reduceat(springs.pair, first),
            np.add.reduceat(weights * springs.pair, first),
            np.sqrt(np.add.reduceat(weights * springs.pair**2, first)),
            np.maximum.reduceat(springs.bond, first),
            _quantiles(einstein, 3 * offsets),
            np.add.reduceat(einstein, 3 * starts) / (3 * counts),
            np.sqrt(np.add.reduceat(einstein**2, 3 * starts) / (3 * counts)),
            _fastest_bonds(numbers, pairs, springs, valences, bond_starts),
            np.minimum.reduceat(valences, starts),
            np.add.reduceat(valences, starts) / counts,
            np.maximum.reduceat(valences, starts),
            np.minimum.reduceat(pairs.lengths, first),
            volume / counts,
            np.divide(mass, volume, out=np.zeros_like(mass), where=fills_space),
        ]
        return np.column_stack(columns)


class _Springs(NamedTuple):
    """Of pairs: stiffness, valence, frequencies; of atoms: Einstein frequencies, ascending.

    The two atoms of a pair vibrate while all others rest (`pair`), on their own spring alone
    (`bond`), or each while the other rests as well (`along`, for both).
    """

    stiffness: np.ndarray
    valences: np.ndarray
    pair: np.ndarray
    bond: np.ndarray
    along: tuple[np.ndarray, np.ndarray]
    einstein: np.ndarray


def bond_valences(numbers_i, numbers_j, lengths):
    """Valences exp((rᵢ + rⱼ − d) / 0.37 Å) of bonds around the sum of the covalent radii."""
    radii = element_property("covalent radius") / 100
    return np.exp((radii[numbers_i] + radii[numbers_j] - lengths) / _VALENCE_DECAY)


def bond_sensors(numbers_i, numbers_j, lengths):
    """Columns as in ``BOND_SENSORS``: what :class:`SpringModelFeaturizer` says of a lone spring.

    Gordy's additive constant of 30 N/m is left out: it is meant for bonded pairs, and here a pair
    far apart has no stiffness.
    """
    electronegativities = element_property("electronegativity")
    masses = element_property("atomic mass")
    mass_i, mass_j = masses[numbers_i], masses[numbers_j]
    order = bond_valences(numbers_i, numbers_j, lengths)
    product = electronegativities[numbers_i] * electronegativities[numbers_j]
    stiffness = _GORDY * order * (product / lengths**2) ** 0.75
    reduced_mass = mass_i * mass_j / (mass_i + mass_j)
    return np.stack([stiffness, reduced_mass, _wavenumbers(stiffness / reduced_mass)], axis=1)


def _vibrate(atoms, bonds):
    """Frequencies of all atoms and pairs on their springs."""
    i, j, directions = bonds.centers, bonds.neighbors, bond_directions(atoms, bonds)
    numbers = atoms.atomic_numbers
    stiffness, _, own = bond_sensors(numbers[i], numbers[j], bonds.lengths).T
    masses = element_property("atomic mass")[numbers]
    outer = stiffness[:, None, None] * directions[:, :, None] * directions[:, None, :]
    sites = np.add.reduceat(outer, bonds.offsets[:-1])
    a = np.einsum("bi,bij,bj->b", directions, sites[i], directions) / masses[i]
    b = np.einsum("bi,bij,bj->b", directions, sites[j], directions) / masses[j]
    coupling = stiffness / np.sqrt(masses[i] * masses[j])
    return _Springs(
        stiffness,
        bond_valences(numbers[i], numbers[j], bonds.lengths),
        _wavenumbers((a + b) / 2 + np.hypot((a - b) / 2, coupling)),
        own,
        (_wavenumbers(a), _wavenumbers(b)),
        _wavenumbers(np.linalg.eigvalsh(sites) / masses[:, None]),
    )


def _fastest_bonds(numbers, bonds, springs, valences, offsets):
    """The bond of each crystal with the highest pair frequency, and its two atoms."""
    # By crystal and then frequency: the last of each crystal.
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fastest = np.lexsort((springs.pair, rows))[offsets[1:] - 1]
    values = np.stack([element_property(name) for name in ELEMENT_COLUMNS.values()], axis=1)
    first, second = (
        np.column_stack([values[numbers[ends]], valences[ends], along])
        for ends, along in (
            (bonds.centers[fastest], springs.along[0][fastest]),
            (bonds.neighbors[fastest], springs.along[1][fastest]),
        )
    )
    masses, steps = first[:, 0] - second[:, 0], first[:, -1] - second[:, -1]
    # Of two equal atoms the slower one stands first.
    swapped = ((masses > 0) | ((masses == 0) & (steps > 0)))[:, None]
    return np.column_stack(
        [
            springs.stiffness[fastest],
            bonds.lengths[fastest],
            springs.valences[fastest],
            np.where(swapped, second, first),
            np.where(swapped, first, second),
        ]
    )


def _quantiles(values, offsets):
    """Lowest value, quantiles and highest value of each run, none of them interpolated."""
    counts = np.diff(offsets)
    ordered = values[np.lexsort((values, np.repeat(np.arange(len(counts)), counts)))]
    # Rounded against 0.9 · 10 = 9.000000000000002.
    ranks = np.ceil(np.round(np.outer(counts, (0, *_QUANTILES, 1)), 9)).astype(int) - 1
    return ordered[offsets[:-1, None] + np.maximum(ranks, 0)]


def _wavenumbers(squared):
    """Frequencies in cm⁻¹ from squared ones in N/m/u."""
    return _WAVENUMBER * np.sqrt(np.maximum(squared, 0))

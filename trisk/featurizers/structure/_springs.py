"""SpringModelFeaturizer: what a crystal's bonds, taken as springs, say of its vibrations."""

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
    """Vibrations of a crystal whose bonds are empirical springs, without any potential.

    1. Every pair of atoms within the cutoff is a spring, whose stiffness follows from the two
       elements and the distance by Gordy's rule and the bond valence.
    2. Each atom, and each pair of bonded atoms, vibrates while all others rest.
    3. Columns tell of these frequencies, of the bond that vibrates fastest and of its two atoms,
       of bond valences and of density.

    The fastest pair is a good first guess of the highest phonon frequency (on Matbench's phonon
    task it correlates 0.976 with the last peak of the density of states), and what is left to
    learn is a correction. Nothing is learned from the data.

    Parameters
    ----------
    cutoff : float, default=6.0
        Length of the longest spring in Å, at most 100.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN and warn once;
        ``explain_errors`` then lists the causes.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar over structure files.

    Attributes
    ----------
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of columns given out.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    See Also
    --------
    CrystalGraphFeaturizer : Graphs, whose bonds carry the same stiffness.
    PotentialFeaturizer : Frequencies from an interatomic potential.

    Notes
    -----
    Stiffness is k = 167 N/m · n (χᵢ χⱼ / d²)^¾ [1]_ for electronegativities χ and a length d in
    Å, with the bond valence n = exp((rᵢ + rⱼ − d) / 0.37 Å) [2]_ of the covalent radii r in
    place of the bond order. An atom of mass m has the on-site matrix A = Σ k u uᵀ over its bonds
    of direction u, and three Einstein frequencies, the roots of the eigenvalues of A / m. A pair
    has ω² = (a + b)/2 + √(((a − b)/2)² + k²/mᵢmⱼ) with a = u·Aᵢu / mᵢ and b = u·Aⱼu / mⱼ. Means
    over pairs are weighted by bond valence.

    References
    ----------
    .. [1] W. Gordy, "A relation between bond force constants, bond orders, bond lengths, and the
       electronegativities of the bonded atoms", J. Chem. Phys. 14, 305 (1946).
    .. [2] I. D. Brown, D. Altermatt, "Bond-valence parameters obtained from a systematic
       analysis of the inorganic crystal structure database", Acta Cryst. B 41, 244 (1985).

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
        springs = _make_springs(atoms, pairs)
        return _spring_columns(atoms, pairs, springs)


class Springs(NamedTuple):
    """Pairs of atoms as springs: frequencies in cm⁻¹, stiffness in N/m.

    Of pairs: stiffness and bond valence; frequency of its two atoms while all others rest, and on
    their own spring alone; frequencies of each of the two along the bond while all others rest.
    Of atoms: three Einstein frequencies, ascending, and the sum of valences.
    """

    stiffness: np.ndarray
    valences: np.ndarray
    pair: np.ndarray
    bond: np.ndarray
    along_i: np.ndarray
    along_j: np.ndarray
    einstein: np.ndarray
    valence_sums: np.ndarray


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


def _make_springs(atoms, bonds):
    """Let the springs of all pairs vibrate."""
    i, j, directions = bonds.centers, bonds.neighbors, bond_directions(atoms, bonds)
    numbers, first = atoms.atomic_numbers, bonds.offsets[:-1]
    stiffness, _, own = bond_sensors(numbers[i], numbers[j], bonds.lengths).T
    masses = element_property("atomic mass")[numbers]
    outer = stiffness[:, None, None] * directions[:, :, None] * directions[:, None, :]
    sites = np.add.reduceat(outer, first)
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
        np.add.reduceat(valences, first),
    )


def _spring_columns(atoms, bonds, springs):
    """Summarise the springs of each crystal, whatever its cell."""
    offsets, counts = atoms.offsets["atom"], atoms.counts()
    bond_starts, starts = bonds.offsets[offsets], offsets[:-1]
    first = bond_starts[:-1]
    sums = np.add.reduceat(springs.valences, first)
    weights = springs.valences / np.repeat(sums, np.diff(bond_starts))
    einstein = springs.einstein.ravel()
    mass = np.add.reduceat(element_property("atomic mass")[atoms.atomic_numbers], starts)
    volume = np.abs(np.linalg.det(atoms.lattices))
    return np.column_stack(
        [
            np.maximum.reduceat(springs.pair, first),
            np.add.reduceat(weights * springs.pair, first),
            np.sqrt(np.add.reduceat(weights * springs.pair**2, first)),
            np.maximum.reduceat(springs.bond, first),
            _quantiles(einstein, 3 * offsets),
            np.add.reduceat(einstein, 3 * starts) / (3 * counts),
            np.sqrt(np.add.reduceat(einstein**2, 3 * starts) / (3 * counts)),
            _fastest_bonds(atoms.atomic_numbers, bonds, springs, bond_starts),
            np.minimum.reduceat(springs.valence_sums, starts),
            np.add.reduceat(springs.valence_sums, starts) / counts,
            np.maximum.reduceat(springs.valence_sums, starts),
            np.minimum.reduceat(bonds.lengths, first),
            volume / counts,
            mass / volume,
        ]
    )


def _fastest_bonds(numbers, bonds, springs, offsets):
    """The bond of each crystal with the highest pair frequency, and its two atoms."""
    # By crystal and then frequency: the last of each crystal.
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fastest = np.lexsort((springs.pair, rows))[offsets[1:] - 1]
    ends = bonds.centers[fastest], bonds.neighbors[fastest]
    along = springs.along_i[fastest], springs.along_j[fastest]
    values = np.stack([element_property(name) for name in ELEMENT_COLUMNS.values()], axis=1)
    properties = [
        np.column_stack([values[numbers[end]], springs.valence_sums[end], frequency])
        for end, frequency in zip(ends, along, strict=True)
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


def _wavenumbers(squared):
    """Frequencies in cm⁻¹ from squared ones in N/m/u."""
    return _WAVENUMBER * np.sqrt(np.maximum(squared, 0))

"""Neighbours under periodic boundary conditions, for many structures at once, as flat arrays."""

from dataclasses import dataclass

import numpy as np

__all__ = ["NeighborLists", "find_neighbors", "geometry_fault"]

# A sphere that holds n neighbours on average, widened by this factor, holds them around nearly
# every atom of a crystal; where it does not, the search is repeated with a wider one.
_FIRST_RADIUS, _NEXT_RADIUS = 1.3, 1.4

# What no crystal has, and what would make a search take any amount of time and memory.
_SMALLEST_VOLUME = 0.5  # Å³ per atom; solid hydrogen at 500 GPa has twice as much
_FLATTEST_CELL = 1e-4  # volume over the product of the edges
_SKEWED_CELL = 0.1  # where sums of edges may be much shorter than the edges
_SHORTEST_PERIOD = 0.2  # Å
_FARTHEST_CELL = 10_000  # lattice vectors between an atom and the cell it belongs to
_LARGEST_BOX = 2e8  # Å³ around all atoms of a structure
_MARGIN = 16.0  # Å around them, as a search looks beyond the cell
#: Å; the largest distance up to which featurizers and estimators look for neighbours.
LARGEST_CUTOFF = 100.0


@dataclass(frozen=True)
class NeighborLists:
    """Pairs of atoms, sorted by centre and then by length.

    Parameters
    ----------
    centers : ndarray of shape (n_pairs,), int64
        Centre i of every directed pair i → j, as a row of all atoms.
    neighbors : ndarray of shape (n_pairs,), int64
        Neighbour j.
    images : ndarray of shape (n_pairs, 3), int64
        Cell of the neighbour, in lattice vectors.
    lengths : ndarray of shape (n_pairs,)
        Distances in Å.
    """

    centers: np.ndarray
    neighbors: np.ndarray
    images: np.ndarray
    lengths: np.ndarray


def find_neighbors(
    positions, lattices, periodic, offsets, cutoff, *, n_neighbors=None, shell_gap=0.0
):
    """Find all neighbours of all atoms within a cutoff, or at least the nearest ones.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions in Å, inside the cell or not.
    lattices : ndarray of shape (n_structures, 3, 3)
        Lattice vectors in rows, in Å.
    periodic : ndarray of bool of shape (n_structures, 3)
        Directions in which each structure repeats.
    offsets : ndarray of int of shape (n_structures + 1,)
        Atoms of structure i are ``offsets[i]`` to ``offsets[i + 1]``.
    cutoff : float
        Largest distance in Å.
    n_neighbors : int, default=None
        Number of neighbours that are needed; the search of a structure may then end before the
        cutoff, once it has found these of every atom. None searches up to the cutoff.
    shell_gap : float, default=0.0
        With ``n_neighbors``, the search goes on until distances leave a gap of this width in Å
        behind the last needed neighbour.

    Returns
    -------
    NeighborLists
        Every pair in both directions. An atom is a neighbour of its own images, not of itself.

    Notes
    -----
    The search is pymatgen's ``find_points_in_spheres``. The position of a neighbour is
    ``positions[j] + images @ lattice``.
    """
    positions = np.ascontiguousarray(positions, dtype=float)
    lattices = np.ascontiguousarray(lattices, dtype=float)
    periodic = np.ascontiguousarray(periodic, dtype=np.int64)
    parts = []
    for row in np.flatnonzero(np.diff(offsets)):
        points = positions[offsets[row] : offsets[row + 1]]
        points, cells = _into_the_cell(points, lattices[row], periodic[row])
        radius = _first_radius(len(points), lattices[row], cutoff, n_neighbors)
        pairs = _find(points, lattices[row], periodic[row], radius)
        while radius < cutoff and not _complete(pairs, len(points), radius, n_neighbors, shell_gap):
            radius = min(_NEXT_RADIUS * radius, cutoff)
            pairs = _find(points, lattices[row], periodic[row], radius)
        i, j, images, lengths = pairs
        if cells is not None:
            images = images + cells[i] - cells[j]
        parts.append((i + offsets[row], j + offsets[row], images, lengths))
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return NeighborLists(none, none, np.empty((0, 3), dtype=np.int64), np.empty(0))
    i, j, images, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return NeighborLists(i, j, images.astype(np.int64), lengths)


def geometry_fault(positions, lattice, periodic):
    """Say why neighbours cannot be found in a structure.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions in Å.
    lattice : ndarray of shape (3, 3)
        Lattice vectors in rows, in Å.
    periodic : ndarray of bool of shape (3,)
        Directions in which it repeats.

    Returns
    -------
    str or None
        What is wrong with the cell or the positions, None if nothing is. A search through a
        structure without a fault takes time and memory in proportion to its atoms.
    """
    if not np.isfinite(lattice).all():
        return "its lattice is not finite"
    for index in np.flatnonzero(~np.isfinite(positions).all(axis=1))[:1]:
        return f"the coordinates of site {index} are not finite"
    with np.errstate(over="ignore", invalid="ignore"):
        volume = abs(np.linalg.det(lattice))
        edges = np.linalg.norm(lattice, axis=1)
        spanned = volume > _FLATTEST_CELL * edges.prod()
    lengths = ", ".join(f"{edge:.4g}" for edge in edges)
    if not spanned or not np.isfinite(volume):
        return (
            f"its lattice vectors (lengths {lengths} Å) span no volume; give it three "
            "independent ones, also along directions without periodicity"
        )
    if volume < _SMALLEST_VOLUME * len(positions):
        return (
            f"its cell has {volume / len(positions):.3g} Å³ per atom, denser than any crystal; "
            "lengths must be in Å"
        )
    shortest = _shortest_period(lattice, edges, periodic, volume)
    if shortest < _SHORTEST_PERIOD:
        return f"it repeats after {shortest:.3g} Å, shorter than any bond; lengths must be in Å"
    cells = np.floor(positions @ np.linalg.inv(lattice)) * periodic
    for index in np.flatnonzero((abs(cells) > _FARTHEST_CELL).any(axis=1))[:1]:
        return (
            f"site {index} is {abs(cells[index]).max():.3g} lattice vectors away from the cell; "
            "wrap the positions into it"
        )
    box = np.ptp(positions - cells @ lattice, axis=0)
    if (box + _MARGIN).prod() > _LARGEST_BOX:
        size = " × ".join(f"{length:.3g}" for length in box)
        return f"its atoms are spread over {size} Å, most of it empty; give it a smaller cell"
    return None


def _shortest_period(lattice, edges, periodic, volume):
    """Length of the shortest lattice vector, or a lower bound that is long enough."""
    periodic = np.asarray(periodic, dtype=bool)
    if periodic.all() and volume < _SKEWED_CELL * edges.prod():
        from pymatgen.core import Lattice

        edges = np.linalg.norm(Lattice(lattice).get_lll_reduced_lattice().matrix, axis=1)
    return edges[periodic].min(initial=np.inf)


def _into_the_cell(points, lattice, periodic):
    """Atoms moved to where the search is quick, and the cells from which they came, if any."""
    cells = np.floor(points @ np.linalg.inv(lattice)).astype(np.int64) * periodic
    if (abs(cells) <= 1).all():
        return points, None
    return np.ascontiguousarray(points - cells @ lattice), cells


def _first_radius(n_atoms, lattice, cutoff, n_neighbors):
    if n_neighbors is None:
        return cutoff
    volume = abs(np.linalg.det(lattice)) / n_atoms
    return min(cutoff, _FIRST_RADIUS * (3 * n_neighbors * volume / (4 * np.pi)) ** (1 / 3))


def _find(points, lattice, periodic, radius):
    """All pairs of one structure, sorted."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    i, j, images, lengths = find_points_in_spheres(
        points, points, r=float(radius), pbc=periodic, lattice=lattice, tol=1e-8
    )
    other = np.flatnonzero((i != j) | (images != 0).any(axis=1))
    order = other[np.lexsort((lengths[other], i[other]))]
    return i[order], j[order], images[order], lengths[order]


def _complete(pairs, n_atoms, radius, n_neighbors, shell_gap):
    """Whether every atom has its nearest neighbours, and a gap behind the last of them."""
    i, _, _, lengths = pairs
    counts = np.bincount(i, minlength=n_atoms)
    if counts.min() < n_neighbors:
        return False
    starts = np.cumsum(counts) - counts
    ranks = np.arange(len(i)) - np.repeat(starts, counts)
    # Behind each pair: the step to the atom's next pair, or to the end of the search.
    steps = np.append(lengths[1:], radius) - lengths
    steps[starts + counts - 1] = radius - lengths[starts + counts - 1]
    closed = i[(ranks >= n_neighbors - 1) & (steps > shell_gap)]
    return len(np.unique(closed)) == n_atoms

"""Neighbours under periodic boundary conditions, for many structures at once, as flat arrays."""

from dataclasses import dataclass

import numpy as np

__all__ = ["NeighborLists", "find_neighbors"]

# A sphere that holds n neighbours on average, widened by this factor, holds them around nearly
# every atom of a crystal; where it does not, the search is repeated with a wider one.
_FIRST_RADIUS, _NEXT_RADIUS = 1.3, 1.4


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
        radius = _first_radius(len(points), lattices[row], cutoff, n_neighbors)
        pairs = _find(points, lattices[row], periodic[row], radius)
        while radius < cutoff and not _complete(pairs, len(points), radius, n_neighbors, shell_gap):
            radius = min(_NEXT_RADIUS * radius, cutoff)
            pairs = _find(points, lattices[row], periodic[row], radius)
        i, j, images, lengths = pairs
        parts.append((i + offsets[row], j + offsets[row], images, lengths))
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return NeighborLists(none, none, np.empty((0, 3), dtype=np.int64), np.empty(0))
    i, j, images, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return NeighborLists(i, j, images.astype(np.int64), lengths)


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

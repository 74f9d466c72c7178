"""Neighbours under any boundary conditions, for many structures at once, as flat arrays."""

from dataclasses import dataclass

import numpy as np

__all__ = ["NeighborLists", "find_neighbors"]

# A sphere that holds n neighbours on average, widened by this factor, holds them around nearly
# every atom of a crystal; where it does not, the search is repeated with a wider one.
_FIRST_RADIUS, _NEXT_RADIUS = 1.3, 1.4
_LONG_VECTOR = 1e3  # Å; atoms beyond the cell lie far away

_MOST_CUBES = 1e6  # of the radius's size, into which a search sorts a structure
#: Å; the largest distance up to which featurizers and estimators look for neighbours.
LARGEST_CUTOFF = 100.0


@dataclass(frozen=True)
class NeighborLists:
    """Pairs of atoms, sorted by centre and then by length.

    Parameters
    ----------
    offsets : ndarray of shape (n_atoms + 1,), int64
        Atom i is the centre of the pairs ``offsets[i]`` to ``offsets[i + 1]``.
    centers : ndarray of shape (n_pairs,), int64
        Centre i of every directed pair i → j, as a row of all atoms.
    neighbors : ndarray of shape (n_pairs,), int64
        Neighbour j.
    images : ndarray of shape (n_pairs, 3), int64
        Cell of the neighbour, in lattice vectors.
    lengths : ndarray of shape (n_pairs,)
        Distances in Å.
    """

    offsets: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    images: np.ndarray
    lengths: np.ndarray


def find_neighbors(positions, lattices, pbc, offsets, cutoff, *, n_neighbors=None, shell_gap=0.0):
    """Find all neighbours of all atoms within a cutoff, or at least the nearest ones.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions in Å, inside the cell or not.
    lattices : ndarray of shape (n_structures, 3, 3)
        Lattice vectors in rows, in Å.
    pbc : ndarray of bool of shape (n_structures, 3)
        Directions in which each structure repeats; along the others an atom has no images.
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
    pbc = np.ascontiguousarray(pbc, dtype=np.int64)
    rows = np.flatnonzero(np.diff(offsets))
    points, cells = _into_the_cells(positions, lattices, pbc, offsets, rows)
    radii = np.full(len(rows), float(cutoff))
    if n_neighbors is not None:  # how far the search goes at first
        volumes = n_neighbors * abs(np.linalg.det(lattices[rows])) / np.diff(offsets)[rows]
        radii = np.minimum(cutoff, _FIRST_RADIUS * np.cbrt(3 * volumes / (4 * np.pi)))
    none = np.empty(0, dtype=np.int64)
    parts = [(none, none, np.empty((0, 3), dtype=np.int64), np.empty(0))]
    for row, radius in zip(rows.tolist(), radii.tolist(), strict=True):
        start, stop = offsets[row], offsets[row + 1]
        pairs = _find(points[start:stop], lattices[row], pbc[row], radius)
        while radius < cutoff and not _complete(
            pairs, stop - start, radius, n_neighbors, shell_gap
        ):
            radius = min(_NEXT_RADIUS * radius, cutoff)
            pairs = _find(points[start:stop], lattices[row], pbc[row], radius)
        i, j, images, lengths = pairs
        parts.append((i + start, j + start, images, lengths))
    i, j, images, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if cells is not None:
        images = images + cells[i] - cells[j]
    return NeighborLists(pair_offsets(i, len(positions)), i, j, images, lengths)


def pair_offsets(centers, n_atoms):
    """Offsets of the pairs of each atom, from the sorted centres of the pairs."""
    return np.concatenate([[0], np.cumsum(np.bincount(centers, minlength=n_atoms))])


def _into_the_cells(points, lattices, pbc, offsets, rows):
    """Atoms moved to where the search is quick, and the cells from which they came, if any."""
    lattices, counts = lattices[rows], np.diff(offsets)[rows]
    inverses = np.repeat(np.linalg.inv(lattices), counts, axis=0)
    cells = np.floor(np.einsum("ai,aij->aj", points, inverses))
    cells = (cells * np.repeat(pbc[rows], counts, axis=0)).astype(np.int64)
    # Atoms just outside may stay there, but not where a lattice vector leads far away.
    short = np.repeat((abs(lattices) < _LONG_VECTOR).all(axis=(1, 2)), counts)
    cells[short & (abs(cells) <= 1).all(axis=1)] = 0
    if not cells.any():
        return points, None
    shifts = np.einsum("ai,aij->aj", cells, np.repeat(lattices, counts, axis=0))
    return points - shifts, cells


def _find(points, lattice, pbc, radius):
    """All pairs of one structure, sorted."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    box = points.max(axis=0) - points.min(axis=0) + 2 * radius
    wide = max(radius, np.cbrt(box.prod() / _MOST_CUBES))
    i, j, images, lengths = find_points_in_spheres(
        points, points, r=float(wide), pbc=pbc, lattice=lattice, tol=1e-8
    )
    others = (i != j) | (images != 0).any(axis=1)
    other = np.flatnonzero(others if wide == radius else others & (lengths <= radius))
    order = other[np.lexsort((lengths[other], i[other]))]
    return i[order], j[order], images[order].astype(np.int64, copy=False), lengths[order]


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

"""Neighbours under periodic boundary conditions, for many structures at once, as flat arrays."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NeighborLists:
    """All pairs of atoms within a cutoff, sorted by centre and then by length.

    Attributes
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


def find_neighbors(positions, lattices, periodic, offsets, cutoff):
    """Find all neighbours of all atoms within a cutoff.

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

    Returns
    -------
    NeighborLists
        Every pair in both directions. An atom is a neighbour of its own images, not of itself.

    Notes
    -----
    The search is pymatgen's ``find_points_in_spheres``. The position of a neighbour is
    ``positions[j] + images @ lattice``.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = np.ascontiguousarray(positions, dtype=float)
    lattices = np.ascontiguousarray(lattices, dtype=float)
    periodic = np.ascontiguousarray(periodic, dtype=np.int64)
    parts = []
    for row in np.flatnonzero(np.diff(offsets)):
        start = offsets[row]
        points = positions[start : offsets[row + 1]]
        i, j, images, lengths = find_points_in_spheres(
            points, points, r=float(cutoff), pbc=periodic[row], lattice=lattices[row], tol=1e-8
        )
        other = np.flatnonzero((i != j) | (images != 0).any(axis=1))
        order = other[np.lexsort((lengths[other], i[other]))]
        parts.append((i[order] + start, j[order] + start, images[order], lengths[order]))
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return NeighborLists(none, none, np.empty((0, 3), dtype=np.int64), np.empty(0))
    i, j, images, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return NeighborLists(i, j, images.astype(np.int64), lengths)

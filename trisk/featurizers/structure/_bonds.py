"""Bonds between neighbours: chosen by whole shells, their directions, their faults."""

from dataclasses import dataclass

import numpy as np

_SHORTEST_BOND = 0.5  # Å; the bond of H2 has 0.74
SHELL_GAP = 0.01  # Å; what parts two shells, above the rounding of structure files


@dataclass(frozen=True)
class Bonds:
    """Directed bonds of many atoms, sorted by centre and then by length.

    Parameters
    ----------
    offsets : ndarray of int64 of shape (n_atoms + 1,)
        Atom i has the bonds ``offsets[i]`` to ``offsets[i + 1]``.
    centers, neighbors : ndarray of int64 of shape (n_bonds,)
        The two atoms.
    images : ndarray of int64 of shape (n_bonds, 3)
        Cell of the neighbour.
    lengths : ndarray of shape (n_bonds,)
        Lengths in Å.
    """

    offsets: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    images: np.ndarray
    lengths: np.ndarray

    @property
    def counts(self):
        """Number of bonds of each atom, shape (n_atoms,)."""
        return np.diff(self.offsets)


def nearest_bonds(pairs, n_atoms, n_neighbors):
    """Keep the nearest neighbours of every atom.

    Parameters
    ----------
    pairs : NeighborLists
        All pairs within the cutoff.
    n_atoms : int
        Number of atoms.
    n_neighbors : int or None
        Neighbours to keep, more where the last one is in the middle of a shell; None keeps all.

    Returns
    -------
    Bonds
        What is kept.
    """
    offsets = _offsets(pairs.centers, n_atoms)
    if n_neighbors is None:
        return Bonds(offsets, pairs.centers, pairs.neighbors, pairs.images, pairs.lengths)
    first, _ = _shell_ranks(pairs.lengths, offsets)
    kept = np.flatnonzero(first < n_neighbors)
    centers = pairs.centers[kept]
    return Bonds(
        _offsets(centers, n_atoms),
        centers,
        pairs.neighbors[kept],
        pairs.images[kept],
        pairs.lengths[kept],
    )


def n_in_whole_shells(bonds, n_neighbors, *, always_first):
    """Count the bonds of every atom in those shells that fit into a number of neighbours.

    Parameters
    ----------
    bonds : Bonds
        Bonds of all atoms.
    n_neighbors : int
        Largest number of neighbours.
    always_first : bool
        Whether the first shell counts even if it does not fit.

    Returns
    -------
    ndarray of int64 of shape (n_atoms,)
        The atom's nearest bonds, this many, make whole shells.
    """
    first, last = _shell_ranks(bonds.lengths, bonds.offsets)
    inside = last < n_neighbors
    if always_first:
        inside |= first == 0
    return np.bincount(bonds.centers[inside], minlength=len(bonds.offsets) - 1)


def bond_directions(table, bonds):
    """Unit vectors of bonds.

    Parameters
    ----------
    table : StructureTable
        The structures.
    bonds : Bonds
        Their bonds.

    Returns
    -------
    ndarray of shape (n_bonds, 3)
        From the centre to the neighbour.
    """
    i, j = bonds.centers, bonds.neighbors
    shifts = np.einsum("bi,bij->bj", bonds.images, table.lattices[table.rows[i]])
    vectors = table.positions[j] + shifts - table.positions[i]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def find_faults(table, pairs, cutoff):
    """Find the structures whose atoms are too close to each other or have no neighbour.

    Parameters
    ----------
    table : StructureTable
        The structures.
    pairs : NeighborLists
        All their pairs of atoms within a cutoff, or the nearest ones.
    cutoff : float
        The cutoff in Å.

    Returns
    -------
    dict of int to str
        Row → what is wrong with it.
    """
    causes, rows = {}, table.rows
    n_pairs = np.bincount(pairs.centers, minlength=len(rows))
    for atom in np.flatnonzero(n_pairs == 0)[::-1]:
        causes[int(rows[atom])] = (
            f"atom {atom - table.offsets[rows[atom]]} has no neighbour within {cutoff:g} Å; "
            "use a larger cutoff or a smaller cell"
        )
    for pair in np.flatnonzero(pairs.lengths < _SHORTEST_BOND)[::-1]:
        row = int(rows[pairs.centers[pair]])
        i, j = pairs.centers[pair] - table.offsets[row], pairs.neighbors[pair] - table.offsets[row]
        between = f"atoms {i} and {j} are" if i != j else f"atom {i} and its own image are"
        causes[row] = (
            f"{between} {pairs.lengths[pair]:.3g} Å apart, closer than any bond; remove one, or "
            "give lengths in Å"
        )
    return causes


def _offsets(centers, n_atoms):
    return np.concatenate([[0], np.cumsum(np.bincount(centers, minlength=n_atoms))])


def _shell_ranks(lengths, offsets):
    """Ranks, among its atom's bonds, of the first and the last bond of every bond's shell."""
    starts_atom = np.zeros(len(lengths), dtype=bool)
    starts_atom[offsets[:-1][np.diff(offsets) > 0]] = True
    starts_shell = starts_atom | (np.diff(lengths, prepend=-np.inf) > SHELL_GAP)
    first = np.flatnonzero(starts_shell)
    sizes = np.diff(first, append=len(lengths))
    atom_start = np.repeat(offsets[:-1], np.diff(offsets))
    first_rank = np.repeat(first, sizes) - atom_start
    return first_rank, first_rank + np.repeat(sizes, sizes) - 1

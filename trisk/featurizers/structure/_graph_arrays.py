"""From structures and their neighbours to the bonds, angles and dihedrals of graphs."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trisk.featurizers.structure._base import bond_directions, find_lone_atoms
from trisk.featurizers.structure._springs import BOND_SENSORS, bond_sensors
from trisk.structures.elements import ATOM_FEATURES, atom_feature_table
from trisk.structures.graphs import emptied, search, with_bonds
from trisk.structures.neighbors import NeighborLists, pair_offsets

SHELL_GAP = 0.01  # Å; what parts two shells, above the rounding of structure files
_STRAIGHT = 0.05  # sin θ below which (3° from straight) a plane through the bonds is noise


class Angles(NamedTuple):
    """Pairs of bonds (the shorter first) and cos θ, by atom; between so many nearest bonds each."""

    offsets: np.ndarray
    n_bonds: np.ndarray
    pairs: np.ndarray
    cosines: np.ndarray


def build_graphs(
    atoms, *, order, n_neighbors, cutoff, n_angle_neighbors, n_dihedral_neighbors, physics
):
    """Graphs of many structures without context, and by row why one lost its atoms."""
    table = atom_feature_table()
    atoms = replace(
        atoms,
        atom_features=table[atoms.atomic_numbers],
        names={**atoms.names, "atom_features": ATOM_FEATURES},
    )
    if order == 0:
        return atoms, {}
    pairs = search(atoms, cutoff, n_neighbors=n_neighbors, shell_gap=SHELL_GAP)
    causes = find_lone_atoms(atoms, pairs, cutoff)
    bonds = nearest_bonds(pairs, n_neighbors)
    graphs = with_bonds(atoms, bonds)
    if physics:
        i, j = atoms.atomic_numbers[bonds.centers], atoms.atomic_numbers[bonds.neighbors]
        graphs = replace(
            graphs,
            bond_sensors=bond_sensors(i, j, bonds.lengths).astype(np.float32),
            names={**graphs.names, "bond_sensors": BOND_SENSORS},
        )
    if order >= 2:
        directions = bond_directions(atoms, bonds)
        n_bonds = _n_in_whole_shells(bonds, n_angle_neighbors, always_first=True)
        angles = _find_angles(bonds, directions, n_bonds)
        dihedrals, cosines = np.empty((0, 2), dtype=np.int64), np.empty(0)
        if order >= 3:
            n_bonds = _n_in_whole_shells(bonds, n_dihedral_neighbors, always_first=False)
            n_bonds = np.minimum(n_bonds, angles.n_bonds)
            dihedrals, cosines = _find_dihedrals(bonds, directions, angles, n_bonds)
        starts = angles.offsets[atoms.offsets["atom"]]
        # Dihedrals stand in the order of the structures, and so do their first angles.
        rows = np.searchsorted(starts, dihedrals[:, 0], side="right") - 1
        graphs = replace(
            graphs,
            offsets={
                **graphs.offsets,
                "angle": starts,
                "dihedral": np.searchsorted(rows, np.arange(len(atoms) + 1)),
            },
            angle_bonds=angles.pairs.astype(np.int32),
            angle_cosines=angles.cosines.astype(np.float32),
            dihedral_angles=dihedrals.astype(np.int32),
            dihedral_cosines=cosines.astype(np.float32),
        )
    return (emptied(graphs, list(causes)) if causes else graphs), causes


def nearest_bonds(pairs, n_neighbors):
    """The nearest neighbours of every atom, more where the last is within a shell; None is all."""
    if n_neighbors is None:
        return pairs
    first, _ = _shell_ranks(pairs)
    kept = first < n_neighbors
    centers = pairs.centers[kept]
    offsets = pair_offsets(centers, len(pairs.offsets) - 1)
    return NeighborLists(
        offsets, centers, pairs.neighbors[kept], pairs.images[kept], pairs.lengths[kept]
    )


def _shell_ranks(bonds):
    """Ranks, among its atom's bonds, of the first and the last bond of every bond's shell."""
    starts, counts = bonds.offsets[:-1], np.diff(bonds.offsets)
    starts_atom = np.zeros(len(bonds.lengths), dtype=bool)
    starts_atom[starts[counts > 0]] = True
    starts_shell = starts_atom | (np.diff(bonds.lengths, prepend=-np.inf) > SHELL_GAP)
    first = np.flatnonzero(starts_shell)
    sizes = np.diff(first, append=len(bonds.lengths))
    first_rank = np.repeat(first, sizes) - np.repeat(starts, counts)
    return first_rank, first_rank + np.repeat(sizes, sizes) - 1


def _n_in_whole_shells(bonds, n_neighbors, *, always_first):
    """How many nearest bonds of every atom make shells that fit into a number of neighbours."""
    first, last = _shell_ranks(bonds)
    inside = last < n_neighbors
    if always_first:
        inside |= first == 0
    return np.bincount(bonds.centers[inside], minlength=len(bonds.offsets) - 1)


def _find_angles(bonds, directions, n_bonds):
    """All angles between so many nearest bonds of every atom."""
    first, rank = _prefixes(bonds.offsets, n_bonds)
    partners = np.repeat(n_bonds, n_bonds) - 1 - rank
    pairs = np.stack([np.repeat(first, partners), np.repeat(first + 1, partners)], axis=1)
    pairs[:, 1] += _ranges(partners)
    cosines = np.einsum("ij,ij->i", directions[pairs[:, 0]], directions[pairs[:, 1]])
    offsets = np.concatenate([[0], np.cumsum(n_bonds * (n_bonds - 1) // 2)])
    return Angles(offsets, n_bonds, pairs, cosines.clip(-1, 1))


def _find_dihedrals(bonds, directions, angles, n_bonds):
    """Dihedrals k-i-j-l, each once: the angles k-i-j and i-j-l, and cos φ.

    All three bonds are among so many nearest ones of their atoms, the middle one of both its own.
    """
    forward, backward = _both_ways(bonds, n_bonds)
    i, j = bonds.centers[forward], bonds.neighbors[forward]
    # All pairs of another bond i → k (slow index) and another bond j → l (fast index).
    n_ends = n_bonds[i] - 1, n_bonds[j] - 1
    middle = np.repeat(np.arange(len(forward)), n_ends[0] * n_ends[1])
    ends = np.divmod(_ranges(n_ends[0] * n_ends[1]), n_ends[1][middle])
    angle_i, out = _angle_with(bonds, angles, forward[middle], ends[0])
    angle_j, away = _angle_with(bonds, angles, backward[middle], ends[1])
    cos_i, cos_j = angles.cosines[angle_i], angles.cosines[angle_j]
    sines = np.sqrt((1 - cos_i**2) * (1 - cos_j**2))
    bent = np.minimum(1 - cos_i**2, 1 - cos_j**2) > _STRAIGHT**2
    dots = np.einsum("ij,ij->i", directions[out], directions[away])
    # With u along i → j: k⊥ = k − (k·u) u and l⊥ = l − (l·u) u, where l·u = −cos θ_j.
    cosines = (dots + cos_i * cos_j)[bent] / sines[bent]
    return np.stack([angle_i, angle_j], axis=1)[bent], cosines.clip(-1, 1)


def _prefixes(offsets, counts):
    """The first `counts` bonds of every atom, and their ranks."""
    rank = _ranges(counts)
    return np.repeat(offsets[:-1], counts) + rank, rank


def _ranges(counts):
    """0 … counts[0] − 1, 0 … counts[1] − 1, and so on, in one array."""
    starts = np.cumsum(counts) - counts
    return np.arange(counts.sum()) - np.repeat(starts, counts)


def _both_ways(bonds, n_bonds):
    """Bonds among the nearest of both their atoms: one direction, and its reverse."""
    nearest, _ = _prefixes(bonds.offsets, n_bonds)
    i, j, images = bonds.centers[nearest], bonds.neighbors[nearest], bonds.images[nearest]
    if not len(nearest):
        return nearest, nearest
    farthest = np.abs(images).max(axis=0)
    sizes = (len(n_bonds), len(n_bonds), *(2 * farthest + 1))
    keys = np.ravel_multi_index((i, j, *(images + farthest).T), sizes)
    reversed_keys = np.ravel_multi_index((j, i, *(farthest - images).T), sizes)
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys, reversed_keys, sorter=order), len(keys) - 1)
    reverse = order[place]
    # No bond is its own reverse, so that of each pair one key is the smaller.
    found = (keys[reverse] == reversed_keys) & (keys < reversed_keys)
    return nearest[found], nearest[reverse[found]]


def _angle_with(bonds, angles, bond, other):
    """Angle of a bond with the `other`-th of the remaining bonds of its atom, and that bond."""
    atom = bonds.centers[bond]
    rank = bond - bonds.offsets[atom]
    other = other + (other >= rank)
    low, high = np.minimum(rank, other), np.maximum(rank, other)
    before = low * angles.n_bonds[atom] - low * (low + 1) // 2
    return angles.offsets[atom] + before + high - low - 1, bonds.offsets[atom] + other

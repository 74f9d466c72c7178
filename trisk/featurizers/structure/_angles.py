"""Angles between bonds and dihedrals around bonds, for all atoms at once."""

from dataclasses import dataclass

import numpy as np

_STRAIGHT = 0.05  # sin θ below which (3° from straight) a plane through the bonds is noise


@dataclass(frozen=True)
class Angles:
    """Angles at the atoms, each pair of bonds once, in order of the atoms.

    Parameters
    ----------
    offsets : ndarray of int64 of shape (n_atoms + 1,)
        Atom i has the angles ``offsets[i]`` to ``offsets[i + 1]``.
    n_bonds : ndarray of int64 of shape (n_atoms,)
        The angles of an atom are those between its nearest bonds, this many.
    pairs : ndarray of int64 of shape (n_angles, 2)
        The two bonds, the shorter one first.
    cosines : ndarray of shape (n_angles,)
        cos θ.
    """

    offsets: np.ndarray
    n_bonds: np.ndarray
    pairs: np.ndarray
    cosines: np.ndarray


def find_angles(bonds, directions, n_bonds):
    """List the angles between the nearest bonds of every atom.

    Parameters
    ----------
    bonds : Bonds
        Bonds of all atoms.
    directions : ndarray of shape (n_bonds, 3)
        Unit vectors of the bonds.
    n_bonds : ndarray of int64 of shape (n_atoms,)
        How many of its nearest bonds each atom takes part with.

    Returns
    -------
    Angles
        n (n − 1) / 2 for an atom with n bonds.
    """
    first, rank = _prefixes(bonds.offsets, n_bonds)
    partners = np.repeat(n_bonds, n_bonds) - 1 - rank
    pairs = np.stack([np.repeat(first, partners), np.repeat(first + 1, partners)], axis=1)
    pairs[:, 1] += _ranges(partners)
    cosines = np.einsum("ij,ij->i", directions[pairs[:, 0]], directions[pairs[:, 1]])
    offsets = np.concatenate([[0], np.cumsum(n_bonds * (n_bonds - 1) // 2)])
    return Angles(offsets, n_bonds, pairs, cosines.clip(-1, 1))


def find_dihedrals(bonds, directions, angles, n_bonds):
    """List the dihedrals k-i-j-l whose three bonds are among the nearest of their atoms.

    Parameters
    ----------
    bonds : Bonds
        Bonds of all atoms.
    directions : ndarray of shape (n_bonds, 3)
        Unit vectors of the bonds.
    angles : Angles
        Angles of all atoms.
    n_bonds : ndarray of int64 of shape (n_atoms,)
        How many of its nearest bonds each atom takes part with; at most the angles' number. The
        middle bond must be among those of both its atoms.

    Returns
    -------
    pairs : ndarray of int64 of shape (n_dihedrals, 2)
        The angles k-i-j and i-j-l; each dihedral once.
    cosines : ndarray of shape (n_dihedrals,)
        cos φ, 1 where k and l are on the same side.
    """
    forward, backward = _both_ways(bonds, n_bonds)
    i, j = bonds.centers[forward], bonds.neighbors[forward]
    # All pairs of another bond i → k (slow index) and another bond j → l (fast index).
    n_ends = n_bonds[i] - 1, n_bonds[j] - 1
    middle = np.repeat(np.arange(len(forward)), n_ends[0] * n_ends[1])
    ends = np.divmod(_ranges(n_ends[0] * n_ends[1]), n_ends[1][middle])
    p, q = forward[middle], backward[middle]
    angle_i, out = _angle_with(bonds, angles, p, ends[0])
    angle_j, away = _angle_with(bonds, angles, q, ends[1])
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
    reach = np.abs(images).max(axis=0)
    sizes = (len(n_bonds), len(n_bonds), *(2 * reach + 1))
    keys = np.ravel_multi_index((i, j, *(images + reach).T), sizes)
    reversed_keys = np.ravel_multi_index((j, i, *(reach - images).T), sizes)
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

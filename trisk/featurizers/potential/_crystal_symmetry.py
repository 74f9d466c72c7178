"""Symmetry of a crystal as arrays: Cartesian rotations and the permutations of atoms they make."""

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Symmetry:
    """Operations that map a crystal onto itself.

    Parameters
    ----------
    rotations : ndarray of shape (n_operations, 3, 3)
        Cartesian matrices, applied from the left.
    permutations : ndarray of int of shape (n_operations, n_atoms)
        Atom that each atom is moved to.
    representatives : ndarray of int of shape (n_atoms,)
        One atom of each atom's orbit.
    """

    rotations: np.ndarray
    permutations: np.ndarray
    representatives: np.ndarray


def find_symmetry(atoms, tolerance):
    """Find the operations of a crystal's space group.

    Parameters
    ----------
    atoms : Atoms
        The crystal.
    tolerance : float or None
        Distance in Å within which atoms count as equivalent; None finds the identity alone.

    Returns
    -------
    Symmetry
        The identity alone where spglib finds no symmetry.
    """
    n_atoms = len(atoms)
    identity = Symmetry(np.eye(3)[None], np.arange(n_atoms)[None], np.arange(n_atoms))
    dataset = _dataset(atoms, tolerance)
    if dataset is None:
        return identity
    fractional = atoms.get_scaled_positions(wrap=False)
    moved = np.einsum("oij,aj->oai", dataset.rotations, fractional)
    moved += dataset.translations[:, None]
    apart = moved[:, :, None] - fractional
    apart = (apart - np.round(apart)) @ atoms.cell[:]
    distances = np.linalg.norm(apart, axis=-1)
    permutations = distances.argmin(axis=2)
    # An operation that spglib holds within its tolerance must also be a permutation here.
    whole = (np.sort(permutations, axis=1) == np.arange(n_atoms)).all(axis=1)
    cell = np.array(atoms.cell[:]).T
    rotations = cell @ dataset.rotations[whole] @ np.linalg.inv(cell)
    permutations = permutations[whole]
    return Symmetry(rotations, permutations, permutations.min(axis=0))


def reduce_to_primitive(atoms, tolerance):
    """Give the primitive cell of a crystal, in the same orientation.

    Parameters
    ----------
    atoms : Atoms
        The crystal, periodic in three directions.
    tolerance : float or None
        Distance in Å within which atoms count as equivalent; None keeps the cell.

    Returns
    -------
    Atoms
        The crystal itself if it is primitive.
    """
    from ase import Atoms

    if tolerance is None or not atoms.pbc.all():
        return atoms
    primitive = _spglib("standardize_cell", atoms, tolerance, to_primitive=True, no_idealize=True)
    if primitive is None or len(primitive[2]) >= len(atoms):
        return atoms
    cell, fractional, numbers = primitive
    return Atoms(numbers=numbers, scaled_positions=fractional, cell=cell, pbc=True)


def _dataset(atoms, tolerance):
    if tolerance is None or not atoms.pbc.all():
        return None
    return _spglib("get_symmetry_dataset", atoms, tolerance)


def _spglib(name, atoms, tolerance, **settings):
    """Call a function of spglib; None where it finds nothing, in every version."""
    import spglib

    failure = getattr(getattr(spglib, "error", None), "SpglibError", ())
    cell = np.array(atoms.cell[:]), atoms.get_scaled_positions(wrap=False), atoms.numbers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # tells of how failures will look
            return getattr(spglib, name)(cell, symprec=tolerance, **settings)
    except failure:
        return None

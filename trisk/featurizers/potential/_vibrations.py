"""Second derivatives of the energy of a cell, and the frequencies that follow from them."""

import numpy as np
from scipy import constants

from trisk.featurizers.potential._crystal_symmetry import find_symmetry

#: cm⁻¹ of the square root of 1 eV/(Å² u).
WAVENUMBER = np.sqrt(constants.e / constants.angstrom**2 / constants.atomic_mass) / (
    2 * np.pi * constants.c * 100
)


def force_constants(atoms, calls, displacement, tolerance):
    """Second derivatives at the Γ point, by central differences.

    All periodic images of an atom move together. Only one atom of each orbit is displaced; the
    space group gives the other rows. The result is symmetric, and uniform translations cost
    nothing (acoustic sum rule).

    Parameters
    ----------
    atoms : Atoms
        The crystal.
    calls : ForceCalls
        What evaluates forces.
    displacement : float
        Å by which atoms are moved, to either side.
    tolerance : float or None
        Of the symmetry, in Å; None displaces every atom.

    Returns
    -------
    ndarray of shape (3 * n_atoms, 3 * n_atoms)
        In eV/Å².
    """
    symmetry = find_symmetry(atoms, tolerance)
    displaced = np.unique(symmetry.representatives)
    images = []
    for atom in displaced:
        for axis in range(3):
            for sign in (1, -1):
                image = atoms.copy()
                image.positions[atom, axis] += sign * displacement
                images.append(image)
    _, forces, _ = calls(images)
    n_atoms = len(atoms)
    forces = forces.reshape(len(displaced), 3, 2, n_atoms, 3)
    # rows[a, b]: 3 × 3 block of the displaced atom a with atom b
    rows = (forces[:, :, 1] - forces[:, :, 0]).transpose(0, 2, 1, 3) / (2 * displacement)
    blocks = np.zeros((n_atoms, n_atoms, 3, 3))
    count = np.zeros(n_atoms)
    for row, atom in zip(rows, displaced, strict=True):
        for rotation, permutation in zip(symmetry.rotations, symmetry.permutations, strict=True):
            blocks[permutation[atom], permutation] += rotation @ row @ rotation.T
            count[permutation[atom]] += 1
    blocks /= count[:, None, None, None]
    hessian = blocks.transpose(0, 2, 1, 3).reshape(3 * n_atoms, 3 * n_atoms)
    hessian = _without_translations(hessian)
    return (hessian + hessian.T) / 2


def _without_translations(hessian):
    """Project uniform translations out of both sides."""
    blocks = hessian.reshape(-1, 3, hessian.shape[1])
    hessian = (blocks - blocks.mean(axis=0)).reshape(hessian.shape)
    blocks = hessian.reshape(hessian.shape[0], -1, 3)
    return (blocks - blocks.mean(axis=1, keepdims=True)).reshape(hessian.shape)


def gamma_frequencies(hessian, masses):
    """Frequencies of the optical modes at the Γ point.

    Parameters
    ----------
    hessian : ndarray of shape (3 * n_atoms, 3 * n_atoms)
        In eV/Å², free of translations.
    masses : ndarray of shape (n_atoms,)
        In u.

    Returns
    -------
    ndarray of shape (3 * n_atoms - 3,)
        Ascending, in cm⁻¹; imaginary frequencies are negative. A cell with one atom has none.
    """
    roots = np.sqrt(np.repeat(masses, 3))
    dynamical = hessian / np.outer(roots, roots)
    translations = (np.tile(np.eye(3), (len(masses), 1)).T * roots).T
    # The last columns of a full QR span everything but the translations.
    optical = np.linalg.qr(translations, mode="complete")[0][:, 3:]
    return to_wavenumbers(np.linalg.eigvalsh(optical.T @ dynamical @ optical))


def einstein_frequencies(hessian, masses):
    """Frequencies of each atom (and its periodic images) against the resting others.

    Parameters
    ----------
    hessian : ndarray of shape (3 * n_atoms, 3 * n_atoms)
        In eV/Å², free of translations.
    masses : ndarray of shape (n_atoms,)
        In u.

    Returns
    -------
    ndarray of shape (n_atoms, 3)
        Ascending for every atom, in cm⁻¹; imaginary frequencies are negative.
    """
    n_atoms = len(masses)
    atoms = np.arange(n_atoms)
    blocks = hessian.reshape(n_atoms, 3, n_atoms, 3)[atoms, :, atoms, :]
    return to_wavenumbers(np.linalg.eigvalsh(blocks) / np.asarray(masses)[:, None])


def to_wavenumbers(eigenvalues):
    """Frequencies of the eigenvalues of a dynamical matrix.

    Parameters
    ----------
    eigenvalues : ndarray
        In eV/(Å² u).

    Returns
    -------
    ndarray
        In cm⁻¹, negative for negative eigenvalues.
    """
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * WAVENUMBER

"""Phonons over the whole Brillouin zone, through phonopy."""

import warnings

import numpy as np

from trisk.featurizers.potential._supercell import supercell_phonons
from trisk.featurizers.potential._vibrations import to_wavenumbers

_THZ = 33.356409519815205  # cm⁻¹ of 1 THz


def mesh_frequencies(atoms, calls, displacement, tolerance, supercell_length, mesh_length):
    """Frequencies on a mesh of wave vectors, from forces in a supercell.

    Displacements are those that symmetry leaves. Nothing is added for the electric field of
    longitudinal modes.

    Parameters
    ----------
    atoms : Atoms
        The crystal.
    calls : ForceCalls
        What evaluates forces.
    displacement : float
        Å by which atoms are moved.
    tolerance : float or None
        Of the symmetry, in Å; None uses none.
    supercell_length : float
        Distance in Å between opposite faces of the supercell, at least.
    mesh_length : float
        Å; the mesh has about ``mesh_length`` / a points along a lattice vector of length a.

    Returns
    -------
    frequencies : ndarray of shape (n_wave_vectors, 3 * n_atoms)
        In cm⁻¹; imaginary frequencies are negative.
    weights : ndarray of shape (n_wave_vectors,)
        Share of the mesh that each wave vector stands for; they add up to 1.
    einstein : ndarray of shape (n_atoms, 3)
        Frequencies in cm⁻¹ of each atom while all others rest, images included.
    """
    phonons = supercell_phonons(atoms, calls, displacement, tolerance, supercell_length)
    with warnings.catch_warnings():
        # phonopy may take a mesh of another shape that keeps the symmetry; any dense one will do.
        warnings.filterwarnings("ignore", message="Mesh .* is incompatible")
        phonons.run_mesh(mesh_length)
    weights = phonons.mesh.weights / phonons.mesh.weights.sum()
    own = phonons.primitive.p2s_map
    on_site = phonons.force_constants[np.arange(len(own)), own]
    einstein = to_wavenumbers(
        np.linalg.eigvalsh((on_site + on_site.transpose(0, 2, 1)) / 2)
        / phonons.primitive.masses[:, None]
    )
    return phonons.mesh.frequencies * _THZ, weights, einstein


def density_of_states(frequencies, weights, grid, width):
    """Phonon density of states, broadened.

    Parameters
    ----------
    frequencies : ndarray of shape (n_wave_vectors, n_bands)
        In cm⁻¹.
    weights : ndarray of shape (n_wave_vectors,)
        Of the wave vectors, adding up to 1.
    grid : ndarray of shape (n_points,)
        Evenly spaced frequencies in cm⁻¹.
    width : float
        Standard deviation of the Gaussians in cm⁻¹.

    Returns
    -------
    ndarray of shape (n_points,)
        In modes per cm⁻¹, integrating to n_bands.
    """
    step = grid[1] - grid[0]
    edges = np.append(grid - step / 2, grid[-1] + step / 2)
    everywhere = np.broadcast_to(weights[:, None], frequencies.shape)
    counts, _ = np.histogram(frequencies, edges, weights=everywhere)
    reach = int(np.ceil(4 * width / step))
    offsets = np.arange(-reach, reach + 1) * step
    kernel = np.exp(-0.5 * (offsets / width) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same") / step


def last_peak(frequencies, weights, width, smallest=0.05):
    """Frequency of the highest peak in frequency of the density of states.

    Parameters
    ----------
    frequencies : ndarray of shape (n_wave_vectors, n_bands)
        In cm⁻¹.
    weights : ndarray of shape (n_wave_vectors,)
        Of the wave vectors, adding up to 1.
    width : float
        Standard deviation of the Gaussians in cm⁻¹.
    smallest : float, default=0.05
        Peaks lower than this share of the highest one do not count.

    Returns
    -------
    float
        In cm⁻¹.
    """
    step = width / 5
    low, high = frequencies.min() - 5 * width, frequencies.max() + 5 * width
    grid = np.arange(low, high + step, step)
    density = density_of_states(frequencies, weights, grid, width)
    inner = density[1:-1]
    peaks = (inner > density[:-2]) & (inner >= density[2:]) & (inner > smallest * inner.max())
    return float(grid[1:-1][peaks][-1])

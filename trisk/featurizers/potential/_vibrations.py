"""Primitive cells through spglib, force constants and phonons through phonopy."""

import warnings

import numpy as np
from scipy import constants

from trisk._optional import if_absent

#: cm⁻¹ of the square root of 1 eV/(Å² u).
WAVENUMBER = np.sqrt(constants.e / constants.angstrom**2 / constants.atomic_mass) / (
    2 * np.pi * constants.c * 100
)
#: cm⁻¹ of 1 THz.
THZ = 1e12 / (constants.c * 100)


def require_phonopy():
    """Import phonopy, or say how to install it."""
    with if_absent("vibrations and elasticity need phonopy: pip install 'trisk[phonopy]'"):
        import phonopy
    return phonopy


def reduce_to_primitive(atoms, tolerance):
    """Give the primitive cell of a crystal in the same orientation, or the crystal itself."""
    import spglib
    from ase import Atoms

    if tolerance is None or not atoms.pbc.all():
        return atoms
    failure = getattr(getattr(spglib, "error", None), "SpglibError", ())
    cell = np.array(atoms.cell[:]), atoms.get_scaled_positions(wrap=False), atoms.numbers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # tells of how failures will look
            primitive = spglib.standardize_cell(
                cell, to_primitive=True, no_idealize=True, symprec=tolerance
            )
    except failure:
        primitive = None
    if primitive is None or len(primitive[2]) >= len(atoms):
        return atoms
    return Atoms(numbers=primitive[2], scaled_positions=primitive[1], cell=primitive[0], pbc=True)


def supercell_phonons(atoms, calls, repeats, displacement, tolerance, differences="central"):
    """Force constants in a supercell, from the displacements that symmetry leaves, by phonopy.

    Forward differences displace to one side alone, central ones to both where symmetry does not
    make them equal.
    """
    from ase import Atoms
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = atoms.copy()
    # phonopy wraps atoms into the cell, also where it does not repeat.
    atoms.center(axis=tuple(np.flatnonzero(~atoms.pbc)))
    crystal = PhonopyAtoms(
        numbers=atoms.numbers,
        masses=atoms.get_masses(),
        cell=np.array(atoms.cell[:]),
        positions=atoms.positions,
    )
    with warnings.catch_warnings():
        # Where the supercell has less symmetry than the crystal, a few more displacements do.
        warnings.filterwarnings("ignore", message=".*point group symmetries")
        phonons = require_phonopy().Phonopy(
            crystal,
            np.diag(repeats),
            primitive_matrix=np.eye(3),
            symprec=1e-5 if tolerance is None else tolerance,
            is_symmetry=tolerance is not None and bool(atoms.pbc.all()),
        )
    sides = "auto" if differences == "central" else False
    phonons.generate_displacements(distance=displacement, is_diagonal=False, is_plusminus=sides)
    images = [
        Atoms(numbers=s.numbers, positions=s.positions, cell=s.cell, pbc=atoms.pbc)
        for s in phonons.supercells_with_displacements
    ]
    # Where there is no displacement to the other side, it is that of atoms at rest.
    phonons.forces = calls(images)[1] - calls([atoms])[1][0][_atoms_of_images(phonons)]
    calls.check_time()
    phonons.produce_force_constants(calculate_full_force_constants=False)
    phonons.symmetrize_force_constants()
    return phonons


def supercell_repeats(atoms, length):
    """Repeats along periodic directions that keep opposite faces ``length`` Å apart."""
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell[:]), axis=0)
    repeats = np.maximum(np.ceil(length / heights - 1e-3), 1).astype(int)
    return np.where(atoms.pbc, repeats, 1)


def force_constants(atoms, calls, displacement, tolerance, differences="central"):
    """Second derivatives at the Γ point in eV/Å², of shape (3 * n_atoms, 3 * n_atoms).

    All periodic images of an atom move together. The result is symmetric, and uniform
    translations cost nothing (acoustic sum rule).
    """
    return _at_gamma(
        supercell_phonons(atoms, calls, (1, 1, 1), displacement, tolerance, differences)
    )


def _at_gamma(phonons):
    """Force constants where all periodic images of an atom move together."""
    n_atoms, constants = len(phonons.primitive), phonons.force_constants
    summed = np.zeros((n_atoms, n_atoms, 3, 3))
    np.add.at(summed, _atoms_of_images(phonons), constants.swapaxes(0, 1))
    return summed.transpose(1, 2, 0, 3).reshape(2 * [3 * n_atoms])


def _atoms_of_images(phonons):
    """The atom of the cell of which each atom of the supercell is an image."""
    return [phonons.primitive.p2p_map[atom] for atom in phonons.primitive.s2p_map]


def gamma_frequencies(hessian, masses):
    """Frequencies of the optical modes at the Γ point, ascending; one atom has none."""
    roots = np.sqrt(np.repeat(masses, 3))
    dynamical = hessian / np.outer(roots, roots)
    translations = (np.tile(np.eye(3), (len(masses), 1)).T * roots).T
    # The last columns of a full QR span everything but the translations.
    optical = np.linalg.qr(translations, mode="complete")[0][:, 3:]
    return to_wavenumbers(np.linalg.eigvalsh(optical.T @ dynamical @ optical))


def einstein_frequencies(blocks, masses):
    """Frequencies of each atom against the resting others, from blocks (n_atoms, 3, 3)."""
    blocks = (blocks + blocks.transpose(0, 2, 1)) / 2
    return to_wavenumbers(np.linalg.eigvalsh(blocks) / np.asarray(masses)[:, None])


def mesh_frequencies(
    atoms, calls, displacement, symmetry_tolerance, differences, supercell_length, mesh_length
):
    """Frequencies on a mesh of wave vectors, their weights, and those of single atoms.

    Nothing is added for the electric field of longitudinal modes. The force constants at the Γ
    point follow from the same displacements.
    """
    repeats = supercell_repeats(atoms, supercell_length)
    phonons = supercell_phonons(
        atoms, calls, repeats, displacement, symmetry_tolerance, differences
    )
    with warnings.catch_warnings():
        # phonopy may take a mesh of another shape that keeps the symmetry; any dense one will do.
        warnings.filterwarnings("ignore", message="Mesh .* is incompatible")
        phonons.run_mesh(mesh_length)
    own = phonons.primitive.p2s_map
    on_site = phonons.force_constants[np.arange(len(own)), own]
    return {
        "frequencies": phonons.mesh.frequencies * THZ,
        "weights": phonons.mesh.weights / phonons.mesh.weights.sum(),
        "einstein": einstein_frequencies(on_site, phonons.primitive.masses),
        "hessian": _at_gamma(phonons),
    }


def to_wavenumbers(eigenvalues):
    """Wavenumbers in cm⁻¹ of eigenvalues in eV/(Å² u), negative for negative ones."""
    wavenumbers = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * WAVENUMBER
    return np.where(np.abs(wavenumbers) < 1e-3, 0.0, wavenumbers)  # rounding has no sign

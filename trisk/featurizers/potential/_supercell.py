"""Force constants in a supercell, through phonopy."""

import warnings

import numpy as np


def require_phonopy():
    """Import phonopy.

    Returns
    -------
    module
        phonopy.

    Raises
    ------
    ImportError
        Saying how to install it.
    """
    try:
        import phonopy
    except ImportError as error:
        raise ImportError(
            'the sensors "phonon_dos" need phonopy: pip install "trisk[phonopy]"'
        ) from error
    return phonopy


def supercell_phonons(atoms, calls, displacement, tolerance, supercell_length):
    """Force constants from forces in a supercell.

    Displacements are those that symmetry leaves.

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

    Returns
    -------
    phonopy.Phonopy
        With the force constants of the atoms of one cell.
    """
    phonopy = require_phonopy()
    from ase import Atoms
    from phonopy.structure.atoms import PhonopyAtoms

    cell = np.array(atoms.cell[:])
    crystal = PhonopyAtoms(
        numbers=atoms.numbers,
        masses=atoms.get_masses(),
        cell=cell,
        scaled_positions=atoms.get_scaled_positions(),
    )
    with warnings.catch_warnings():
        # Where the supercell has less symmetry than the crystal, a few more displacements do.
        warnings.filterwarnings("ignore", message=".*point group symmetries")
        phonons = phonopy.Phonopy(
            crystal,
            np.diag(supercell_repeats(cell, supercell_length)),
            primitive_matrix=np.eye(3),
            symprec=1e-5 if tolerance is None else tolerance,
            is_symmetry=tolerance is not None,
        )
    phonons.generate_displacements(distance=displacement)
    images = [
        Atoms(numbers=s.numbers, positions=s.positions, cell=s.cell, pbc=True)
        for s in phonons.supercells_with_displacements
    ]
    phonons.forces = calls(images)[1]
    calls.check_time()
    phonons.produce_force_constants(calculate_full_force_constants=False)
    phonons.symmetrize_force_constants()
    return phonons


def supercell_repeats(cell, length):
    """Repeats of a cell along its vectors that keep opposite faces some distance apart.

    Parameters
    ----------
    cell : ndarray of shape (3, 3)
        Lattice vectors in rows, in Å.
    length : float
        The distance in Å.

    Returns
    -------
    ndarray of int of shape (3,)
        At least 1 each.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return np.maximum(np.ceil(length / heights - 1e-3), 1).astype(int)

"""Elastic constants from stresses and forces under small strains."""

import numpy as np

GPA = 160.21766339999998  # GPa of 1 eV/Å³
# Voigt's order, as in ASE: xx, yy, zz, yz, xz, xy.
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def elastic_constants(atoms, calls, hessian, strain):
    """Elastic constants with relaxed atoms, by central differences.

    The stresses of homogeneously strained cells give the clamped constants; what the atoms
    relax follows from the forces under strain and the force constants, without any relaxation
    being run.

    Parameters
    ----------
    atoms : Atoms
        The crystal.
    calls : ForceCalls
        What evaluates forces and stresses.
    hessian : ndarray of shape (3 * n_atoms, 3 * n_atoms)
        Force constants at the Γ point in eV/Å².
    strain : float
        Largest strain.

    Returns
    -------
    ndarray of shape (6, 6)
        Symmetric, in GPa, in Voigt's order.

    Raises
    ------
    ValueError
        If the calculator gives no stress.
    """
    images = []
    for first, second in _VOIGT:
        for sign in (1, -1):
            deformation = np.eye(3)
            # Half of an engineering shear strain goes to either off-diagonal element.
            deformation[first, second] += sign * strain / 2
            deformation[second, first] += sign * strain / 2
            image = atoms.copy()
            image.set_cell(atoms.cell[:] @ deformation, scale_atoms=True)
            images.append(image)
    _, forces, stresses = calls(images)
    if not np.isfinite(stresses).all():
        raise ValueError("the calculator gives no stress, which elastic constants need")
    clamped = (stresses[0::2] - stresses[1::2]) / (2 * strain)
    response = ((forces[0::2] - forces[1::2]) / (2 * strain)).reshape(6, -1)
    stiffness, modes = np.linalg.eigh(hessian)
    # Translations and unstable modes do not relax.
    relaxing = stiffness > 1e-3
    along = response @ modes[:, relaxing]
    relaxed = clamped - (along / stiffness[relaxing]) @ along.T / atoms.get_volume()
    return (relaxed + relaxed.T) / 2 * GPA


def elastic_moduli(constants):
    """Moduli of a polycrystal, by Hill's average.

    Parameters
    ----------
    constants : ndarray of shape (6, 6)
        Elastic constants in GPa.

    Returns
    -------
    bulk : float
        Bulk modulus in GPa.
    shear : float
        Shear modulus in GPa.
    anisotropy : float
        Universal anisotropy index of Ranganathan and Ostoja-Starzewski; 0 is isotropic.
    softest : float
        Smallest eigenvalue of the constants in GPa, as a map of strains; negative for an unstable
        crystal.

    Notes
    -----
    Where the constants have no inverse, the averages are Voigt's and the anisotropy is 0.
    """
    normal, shear = constants[:3, :3], np.diag(constants)[3:].sum()
    trace, coupling = np.trace(normal), normal[0, 1] + normal[0, 2] + normal[1, 2]
    bulk_voigt = (trace + 2 * coupling) / 9
    shear_voigt = (trace - coupling + 3 * shear) / 15
    # Kelvin's notation: in Voigt's, shear counts half and eigenvalues depend on the orientation.
    kelvin = np.repeat([1, np.sqrt(2)], 3)
    softest = float(np.linalg.eigvalsh(constants * np.outer(kelvin, kelvin))[0])
    if softest <= 0:
        return float(bulk_voigt), float(shear_voigt), 0.0, softest
    compliance = np.linalg.inv(constants)
    normal, shear = compliance[:3, :3], np.diag(compliance)[3:].sum()
    trace, coupling = np.trace(normal), normal[0, 1] + normal[0, 2] + normal[1, 2]
    bulk_reuss = 1 / (trace + 2 * coupling)
    shear_reuss = 15 / (4 * trace - 4 * coupling + 3 * shear)
    anisotropy = bulk_voigt / bulk_reuss + 5 * shear_voigt / shear_reuss - 6
    bulk, shear = (bulk_voigt + bulk_reuss) / 2, (shear_voigt + shear_reuss) / 2
    return float(bulk), float(shear), float(anisotropy), softest

"""Force constants between the atoms of a crystal, as sensors of its sites and bonds."""

from dataclasses import replace
from itertools import product

import numpy as np
from scipy import constants

from trisk.featurizers.potential._supercell import supercell_phonons
from trisk.featurizers.potential._vibrations import to_wavenumbers

#: N/m of 1 eV/Å².
NEWTON_PER_METRE = constants.e / constants.angstrom**2
# Å; images of an atom whose distances differ by less share the force constants.
_EQUALLY_FAR = 0.01

#: Names of the sensors of sites, which follow the features of the atoms.
SITE_SENSORS = tuple(
    f"{which} Einstein frequency (1/cm)" for which in ("lowest", "middle", "highest")
)
#: Names of the sensors of bonds, which take the place of the empirical ones.
BOND_SENSORS = (
    "bond stiffness (N/m)",
    "transverse stiffness (N/m)",
    "reduced mass (u)",
    "Einstein frequency (1/cm)",
)


def bond_force_constants(atoms, calls, displacement, tolerance, supercell_length):
    """Second derivatives of the energy by the positions of pairs of atoms.

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
    ndarray of shape (n_atoms, n_atoms, repeats_1, repeats_2, repeats_3, 3, 3)
        ``[i, j, n1, n2, n3]`` is the block in eV/Å² of atom i in a cell of the supercell and
        atom j in the cell n1, n2, n3 lattice vectors from there.
    """
    phonons = supercell_phonons(atoms, calls, displacement, tolerance, supercell_length)
    supercell, own = phonons.supercell, phonons.primitive.p2s_map
    repeats = np.diag(phonons.supercell_matrix).astype(int)
    atom_of = np.array([supercell.u2u_map[s] for s in supercell.s2u_map])
    inverse = np.linalg.inv(atoms.cell[:])
    shifts = (supercell.positions - atoms.positions[atom_of]) @ inverse
    cells = np.rint(shifts).astype(int)
    blocks = np.zeros((len(atoms), len(atoms), *repeats, 3, 3))
    for home, rows in zip(own, phonons.force_constants, strict=True):
        n1, n2, n3 = ((cells - cells[home]) % repeats).T
        blocks[atom_of[home], atom_of, n1, n2, n3] = rows
    return blocks


def site_sensors(blocks, masses):
    """Measure how each atom vibrates while all others rest.

    Parameters
    ----------
    blocks : ndarray
        What :func:`bond_force_constants` gives.
    masses : ndarray of shape (n_atoms,)
        In u.

    Returns
    -------
    ndarray of shape (n_atoms, 3)
        Columns as in ``SITE_SENSORS``; imaginary frequencies are negative.
    """
    eigenvalues = np.linalg.eigvalsh(_on_site(blocks))
    return to_wavenumbers(eigenvalues / masses[:, None])


def bond_sensors(blocks, masses, lattice, bonds, images, vectors):
    """Measure how stiff bonds are and how fast they vibrate.

    A potential knows force constants between the atoms of a supercell only. Images of a
    neighbour share them; one that is not the closest, or one of several equally close, to the
    centre has none.

    Parameters
    ----------
    blocks : ndarray
        What :func:`bond_force_constants` gives, Φ.
    masses : ndarray of shape (n_atoms,)
        In u.
    lattice : ndarray of shape (3, 3)
        Lattice vectors in rows, in Å.
    bonds : ndarray of int of shape (n_bonds, 2)
        Centre i and neighbour j.
    images : ndarray of int of shape (n_bonds, 3)
        Cell of the neighbour.
    vectors : ndarray of shape (n_bonds, 3)
        From centre to neighbour, in Å.

    Returns
    -------
    ndarray of shape (n_bonds, 4)
        Columns as in ``BOND_SENSORS``, with the direction u of the bond:

        - Stiffness −u·Φᵢⱼu along the bond.
        - Stiffness −(tr Φᵢⱼ − u·Φᵢⱼu) / 2 across it, the mean of both directions.
        - Reduced mass µ = mᵢ mⱼ / (mᵢ + mⱼ).
        - Frequency of the two atoms along the bond while all others rest:
          ω² = (a + b)/2 + √(((a − b)/2)² + c²) with a = u·Φᵢᵢu / mᵢ, b = u·Φⱼⱼu / mⱼ and
          c = u·Φᵢⱼu / √(mᵢ mⱼ).

        The first two are negative for pairs that push each other's displacements apart.
    """
    i, j = bonds.T
    repeats = np.array(blocks.shape[2:5])
    n1, n2, n3 = (images % repeats).T
    block = blocks[i, j, n1, n2, n3] * _shares(lattice * repeats[:, None], vectors)[:, None, None]
    u = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def along(tensors):
        return np.einsum("bx,bxy,by->b", u, tensors, u)

    coupling = along(block)
    across = (np.trace(block, axis1=1, axis2=2) - coupling) / 2
    on_site = _on_site(blocks)
    a, b = along(on_site[i]) / masses[i], along(on_site[j]) / masses[j]
    c = coupling / np.sqrt(masses[i] * masses[j])
    squared = (a + b) / 2 + np.hypot((a - b) / 2, c)
    return np.stack(
        [
            -NEWTON_PER_METRE * coupling,
            -NEWTON_PER_METRE * across,
            masses[i] * masses[j] / (masses[i] + masses[j]),
            to_wavenumbers(squared),
        ],
        axis=1,
    )


def _on_site(blocks):
    """Blocks of each atom with itself, ``(n_atoms, 3, 3)``."""
    atoms = np.arange(len(blocks))
    tensors = blocks[atoms, atoms, 0, 0, 0]
    return (tensors + tensors.transpose(0, 2, 1)) / 2


def _shares(superlattice, vectors):
    """Share of each pair in the force constants of all its images in the supercells around."""
    around = np.array(list(product(range(-2, 3), repeat=3))) @ superlattice
    own = np.linalg.norm(vectors, axis=1)
    others = np.linalg.norm(vectors[:, None] + around, axis=2)
    closest = others.min(axis=1)
    equally_far = (others < closest[:, None] + _EQUALLY_FAR).sum(axis=1)
    return np.where(own < closest + _EQUALLY_FAR, 1 / equally_far, 0)


def with_force_constants(graphs, records):
    """Put the sensors of sites and bonds in the place of empirical ones.

    Parameters
    ----------
    graphs : CrystalGraphs
        Graphs of the structures that were measured.
    records : dict of int to ndarray
        What :func:`bond_force_constants` gives, for the rows whose graphs have atoms.

    Returns
    -------
    CrystalGraphs
        With other sensors of bonds and further features of atoms.
    """
    from ase.data import atomic_masses

    sites = np.zeros((graphs.offsets["atom"][-1], len(SITE_SENSORS)), dtype=np.float32)
    bonds = np.zeros((graphs.offsets["bond"][-1], len(BOND_SENSORS)), dtype=np.float32)
    for row, blocks in records.items():
        atoms = slice(*graphs.offsets["atom"][row : row + 2])
        rows = slice(*graphs.offsets["bond"][row : row + 2])
        masses = atomic_masses[graphs.atomic_numbers[atoms]]
        ends = graphs.bond_atoms[rows] - atoms.start
        images, lattice = graphs.bond_images[rows], graphs.lattices[row]
        positions = graphs.positions[atoms]
        vectors = positions[ends[:, 1]] + images @ lattice - positions[ends[:, 0]]
        sites[atoms] = site_sensors(blocks, masses)
        bonds[rows] = bond_sensors(blocks, masses, lattice, ends, images, vectors)
    names = {
        **graphs.names,
        "atom_features": (*graphs.names["atom_features"], *SITE_SENSORS),
        "bond_sensors": BOND_SENSORS,
    }
    return replace(
        graphs,
        atom_features=np.hstack([graphs.atom_features, sites]),
        bond_sensors=bonds,
        names=names,
    )

"""Small batches of graphs, written out by hand or drawn at random."""

import torch

from trisk.nn import GraphBatch


def make_batch(
    numbers,
    bonds,
    directions,
    *,
    stiffness=None,
    structures=None,
    angles=(),
    dihedrals=(),
    dtype=torch.float64,
):
    """One crystal, or several if `structures` says which atom is whose."""
    n_bonds = len(bonds)
    structures = structures or [0] * len(numbers)
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(*shape, dtype=dtype, generator=generator)

    def pairs(values):
        return torch.tensor(values, dtype=torch.long).view(-1, 2)

    return GraphBatch(
        atomic_numbers=torch.tensor(numbers),
        atom_features=draw(len(numbers), 3),
        context=draw(max(structures) + 1, 5),
        bond_lengths=1 + 2 * draw(n_bonds),
        bond_directions=torch.as_tensor(directions, dtype=dtype),
        bond_stiffness=torch.as_tensor(stiffness or [100.0] * n_bonds, dtype=dtype),
        bond_sensors=draw(n_bonds, 2),
        angle_cosines=2 * draw(len(angles)) - 1,
        dihedral_cosines=2 * draw(len(dihedrals)) - 1,
        atom_structure=torch.tensor(structures),
        bond_atoms=pairs(bonds),
        angle_bonds=pairs(angles),
        dihedral_angles=pairs(dihedrals),
    )


def three_chains(dtype=torch.float64):
    """Three crystals of two, three and two atoms with bonds, angles and dihedrals."""
    bonds, structures, numbers, angles = [], [], [], []
    start = 0
    for crystal, size in enumerate((2, 3, 2)):
        first = len(bonds)
        atoms = range(start, start + size)
        bonds += [(i, j) for i in atoms for j in atoms if i != j] + [(i, i) for i in atoms]
        angles += [(first, first + 1), (first + 1, first + 2), (first, first + 2)]
        structures += [crystal] * size
        numbers += [8, 14, 3][:size]
        start += size
    dihedrals = [(i, i + 1) for i in (0, 3, 6)]
    directions = torch.nn.functional.normalize(torch.rand(len(bonds), 3, dtype=dtype), dim=1)
    return make_batch(
        numbers,
        bonds,
        directions,
        structures=structures,
        angles=angles,
        dihedrals=dihedrals,
        dtype=dtype,
    )


def one_of(batch, crystal):
    """One of several crystals, as a batch of its own."""
    atoms = batch.atom_structure == crystal
    bonds = atoms[batch.bond_atoms[:, 0]]
    angles = bonds[batch.angle_bonds[:, 0]]
    dihedrals = angles[batch.dihedral_angles[:, 0]]

    def renumber(kept, index):
        return (kept.cumsum(0) - 1)[index]

    return GraphBatch(
        atomic_numbers=batch.atomic_numbers[atoms],
        atom_structure=torch.zeros_like(batch.atom_structure[atoms]),
        context=batch.context[[crystal]],
        atom_features=batch.atom_features[atoms],
        bond_lengths=batch.bond_lengths[bonds],
        bond_directions=batch.bond_directions[bonds],
        bond_stiffness=batch.bond_stiffness[bonds],
        bond_sensors=batch.bond_sensors[bonds],
        angle_cosines=batch.angle_cosines[angles],
        dihedral_cosines=batch.dihedral_cosines[dihedrals],
        bond_atoms=renumber(atoms, batch.bond_atoms[bonds]),
        angle_bonds=renumber(bonds, batch.angle_bonds[angles]),
        dihedral_angles=renumber(angles, batch.dihedral_angles[dihedrals]),
    )

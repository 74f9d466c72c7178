"""A batch of crystal graphs as tensors."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trisk.nn._segments import Segments


class KeptRows(NamedTuple):
    """Rows of a batch that a smaller one keeps, as indices of each level.

    Attributes
    ----------
    atoms, bonds, angles, dihedrals : Tensor
        Positions in the larger batch.
    """

    atoms: Tensor
    bonds: Tensor
    angles: Tensor
    dihedrals: Tensor


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Atoms, bonds, angles and dihedrals of several crystals, with their indices.

    Attributes
    ----------
    n_structures : int
        Number of crystals.
    atomic_numbers : Tensor of shape (n_atoms,)
        Atomic numbers.
    atom_features : Tensor of shape (n_atoms, n_atom_features)
        Scaled features of the atoms.
    context : Tensor of shape (n_structures, n_context)
        Scaled features of the compositions.
    bond_lengths : Tensor of shape (n_bonds,)
        Lengths in Å.
    bond_directions : Tensor of shape (n_bonds, 3)
        Unit vectors from centre to neighbour.
    bond_stiffness : Tensor of shape (n_bonds,)
        Empirical stiffness in N/m.
    bond_sensors : Tensor of shape (n_bonds, n_sensors)
        Scaled physics sensors.
    angle_cosines : Tensor of shape (n_angles,)
        Cosines of the bond angles.
    dihedral_cosines : Tensor of shape (n_dihedrals,)
        Cosines of the dihedral angles.
    atom_structures : Tensor of shape (n_atoms,), int64
        Crystal of each atom.
    bond_atoms : Tensor of shape (n_bonds, 2), int64
        Centre and neighbour of each bond.
    angle_bonds : Tensor of shape (n_angles, 2), int64
        The two bonds of each angle.
    dihedral_angles : Tensor of shape (n_dihedrals, 2), int64
        The two angles of each dihedral.
    """

    n_structures: int
    atomic_numbers: Tensor
    atom_features: Tensor
    context: Tensor
    bond_lengths: Tensor
    bond_directions: Tensor
    bond_stiffness: Tensor
    bond_sensors: Tensor
    angle_cosines: Tensor
    dihedral_cosines: Tensor
    atom_structures: Tensor
    bond_atoms: Tensor
    angle_bonds: Tensor
    dihedral_angles: Tensor

    def __len__(self) -> int:
        return self.n_structures

    @cached_property
    def structures(self) -> Segments:
        """Atoms by crystal."""
        return Segments(self.atom_structures, self.n_structures)

    @cached_property
    def centers(self) -> Segments:
        """Bonds by the atom they start from."""
        return Segments(self.bond_atoms[:, 0].contiguous(), len(self.atomic_numbers))

    @cached_property
    def neighbors(self) -> Segments:
        """Bonds by the atom they lead to."""
        return Segments(self.bond_atoms[:, 1].contiguous(), len(self.atomic_numbers))

    @cached_property
    def bond_structures(self) -> Segments:
        """Bonds by crystal."""
        return Segments(self.atom_structures[self.bond_atoms[:, 0]], self.n_structures)

    @cached_property
    def angle_ends(self) -> Segments:
        """First, then second bonds of all angles."""
        return Segments(self.angle_bonds.T.flatten(), len(self.bond_lengths))

    @cached_property
    def dihedral_ends(self) -> Segments:
        """First, then second angles of all dihedrals."""
        return Segments(self.dihedral_angles.T.flatten(), len(self.angle_cosines))

    def of_atoms(self, values: Tensor) -> Tensor:
        """Copy values of crystals to their atoms."""
        return self.structures.gather(values)

    def of_bonds(self, values: Tensor) -> Tensor:
        """Copy values of crystals to their bonds."""
        return self.centers.gather(self.structures.gather(values))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "GraphBatch":
        """Move to a device, with features and geometry in a floating-point type."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device, dtype if value.is_floating_point() else None)
        return replace(self, **moved)

    def take(self, structures: Tensor) -> tuple["GraphBatch", KeptRows]:
        """Keep some crystals.

        Parameters
        ----------
        structures : Tensor of shape (n_structures,), bool
            Which to keep.

        Returns
        -------
        batch : GraphBatch
            The crystals kept.
        rows : KeptRows
            The rows they have.
        """
        atoms = structures[self.atom_structures]
        bonds = atoms[self.bond_atoms[:, 0]]
        angles = bonds[self.angle_bonds[:, 0]]
        dihedrals = angles[self.dihedral_angles[:, 0]]

        def renumber(kept, index):
            return (kept.cumsum(0) - 1)[index]

        batch = GraphBatch(
            n_structures=int(structures.sum()),
            atomic_numbers=self.atomic_numbers[atoms],
            atom_features=self.atom_features[atoms],
            context=self.context[structures],
            bond_lengths=self.bond_lengths[bonds],
            bond_directions=self.bond_directions[bonds],
            bond_stiffness=self.bond_stiffness[bonds],
            bond_sensors=self.bond_sensors[bonds],
            angle_cosines=self.angle_cosines[angles],
            dihedral_cosines=self.dihedral_cosines[dihedrals],
            atom_structures=renumber(structures, self.atom_structures[atoms]),
            bond_atoms=renumber(atoms, self.bond_atoms[bonds]),
            angle_bonds=renumber(bonds, self.angle_bonds[angles]),
            dihedral_angles=renumber(angles, self.dihedral_angles[dihedrals]),
        )
        levels = (atoms, bonds, angles, dihedrals)
        return batch, KeptRows(*(level.nonzero().squeeze(1) for level in levels))

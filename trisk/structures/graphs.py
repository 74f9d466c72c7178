"""Crystal graphs as flat arrays: what the graph featurizers give and the graph networks take."""

from dataclasses import dataclass, fields, replace

import numpy as np

__all__ = ["CrystalGraphs"]

#: Array name → (the level whose rows it counts, the level its values point to or None).
_LEVELS = {
    "atomic_numbers": ("atom", None),
    "positions": ("atom", None),
    "atom_features": ("atom", None),
    "lattices": ("structure", None),
    "context": ("structure", None),
    "bond_atoms": ("bond", "atom"),
    "bond_images": ("bond", None),
    "bond_lengths": ("bond", None),
    "bond_sensors": ("bond", None),
    "angle_bonds": ("angle", "bond"),
    "angle_cosines": ("angle", None),
    "dihedral_angles": ("dihedral", "angle"),
    "dihedral_cosines": ("dihedral", None),
}
_OFFSETS = ("atom", "bond", "angle", "dihedral")


@dataclass(frozen=True, eq=False)
class CrystalGraphs:
    """A batch of crystals: atoms, bonds, angles and dihedrals in flat arrays.

    Rows of one structure lie together at every level. ``offsets[level]`` has n_structures + 1
    entries: the rows of structure i are ``offsets[level][i]`` to ``offsets[level][i + 1]``.
    Indices count from the start of the batch. Behaves as a one-dimensional array of structures:
    ``graphs[3:7]``, ``graphs[mask]`` and ``graphs[indices]`` give another batch, so that
    scikit-learn can split it.

    Parameters
    ----------
    offsets : dict of str to ndarray of shape (n_structures + 1,), int64
        Keys "atom", "bond", "angle" and "dihedral".
    atomic_numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions in Å.
    lattices : ndarray of shape (n_structures, 3, 3)
        Lattice vectors in rows, in Å.
    atom_features : ndarray of shape (n_atoms, n_atom_features)
        Features of the atoms.
    context : ndarray of shape (n_structures, n_context)
        Features of the compositions; no column where there are none.
    bond_atoms : ndarray of shape (n_bonds, 2)
        Centre i and neighbour j of every directed bond i → j.
    bond_images : ndarray of shape (n_bonds, 3)
        Cell of the neighbour, in lattice vectors.
    bond_lengths : ndarray of shape (n_bonds,)
        Lengths in Å.
    bond_sensors : ndarray of shape (n_bonds, n_sensors)
        Physics sensors of the bonds; no column without them.
    angle_bonds : ndarray of shape (n_angles, 2)
        The bonds i → j and i → k of every angle θ_jik at the centre i.
    angle_cosines : ndarray of shape (n_angles,)
        Cosines of the angles θ.
    dihedral_angles : ndarray of shape (n_dihedrals, 2)
        The two angles that share the middle bond of every dihedral.
    dihedral_cosines : ndarray of shape (n_dihedrals,)
        Cosines of the dihedrals φ, 1 where the ends are on the same side.
    names : dict of str to tuple of str
        Names of the columns of "atom_features", "context" and "bond_sensors".
    """

    offsets: dict
    atomic_numbers: np.ndarray
    positions: np.ndarray
    lattices: np.ndarray
    atom_features: np.ndarray
    context: np.ndarray
    bond_atoms: np.ndarray
    bond_images: np.ndarray
    bond_lengths: np.ndarray
    bond_sensors: np.ndarray
    angle_bonds: np.ndarray
    angle_cosines: np.ndarray
    dihedral_angles: np.ndarray
    dihedral_cosines: np.ndarray
    names: dict

    def __len__(self):
        return len(self.lattices)

    @property
    def shape(self):
        """One dimension, as scikit-learn asks of something it is to split."""
        return (len(self),)

    @property
    def nbytes(self):
        """Memory of all arrays, in bytes."""
        arrays = [getattr(self, name) for name in _LEVELS]
        return sum(a.nbytes for a in [*arrays, *self.offsets.values()])

    def counts(self, level):
        """Count the rows of each structure at a level.

        Parameters
        ----------
        level : {"atom", "bond", "angle", "dihedral"}
            The level.

        Returns
        -------
        ndarray of shape (n_structures,)
            Number of rows.
        """
        return np.diff(self.offsets[level])

    def __getitem__(self, key):
        """Take structures by slice, mask or indices."""
        indices = np.arange(len(self))[key]
        return self.take(np.atleast_1d(indices))

    def take(self, indices):
        """Take structures, in the order given; a structure may be taken twice.

        Parameters
        ----------
        indices : array-like of int of shape (n_taken,)
            Positions of the structures.

        Returns
        -------
        CrystalGraphs
            The batch of these structures.
        """
        indices = np.asarray(indices, dtype=np.int64)
        rows, offsets, shifts = {"structure": indices}, {}, {}
        for level in _OFFSETS:
            starts = self.offsets[level][indices]
            counts = self.offsets[level][indices + 1] - starts
            offsets[level] = np.concatenate([[0], np.cumsum(counts)])
            shift = offsets[level][:-1] - starts
            rows[level] = np.arange(offsets[level][-1]) - np.repeat(shift, counts)
            shifts[level] = shift
        arrays = {}
        for name, (level, target) in _LEVELS.items():
            values = getattr(self, name)[rows[level]]
            if target is not None:
                shift = np.repeat(shifts[target], np.diff(offsets[level]))
                values = values + shift[:, None].astype(values.dtype)
            arrays[name] = values
        return replace(self, offsets=offsets, **arrays)

    @classmethod
    def concatenate(cls, batches):
        """Join batches with equal columns.

        Parameters
        ----------
        batches : sequence of CrystalGraphs
            At least one batch.

        Returns
        -------
        CrystalGraphs
            All structures in order.

        Raises
        ------
        ValueError
            If the batches differ in their columns.
        """
        batches = list(batches)
        names = batches[0].names
        if any(batch.names != names for batch in batches):
            raise ValueError("graphs with different columns cannot be joined")
        starts = {
            level: np.concatenate([[0], np.cumsum([b.offsets[level][-1] for b in batches])])
            for level in _OFFSETS
        }
        offsets = {
            level: np.concatenate(
                [
                    [0],
                    *(
                        b.offsets[level][1:] + s
                        for b, s in zip(batches, starts[level], strict=False)
                    ),
                ]
            ).astype(np.int64)
            for level in _OFFSETS
        }
        arrays = {}
        for name, (_, target) in _LEVELS.items():
            parts = [getattr(batch, name) for batch in batches]
            if target is not None:
                parts = [p + s.astype(p.dtype) for p, s in zip(parts, starts[target], strict=False)]
            arrays[name] = np.concatenate(parts)
        return cls(offsets=offsets, names=names, **arrays)


assert {field.name for field in fields(CrystalGraphs)} == {*_LEVELS, "offsets", "names"}

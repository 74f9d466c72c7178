"""Structures and their graphs as flat arrays: what featurizers give and networks take."""

from dataclasses import dataclass, fields, replace

import numpy as np

from trisk.structures.neighbors import find_neighbors

__all__ = ["CrystalGraphs", "connect"]

#: Array name → (the level whose rows it counts, the level its values point to or None).
LEVELS = {
    **dict.fromkeys(("atomic_numbers", "positions", "atom_features"), ("atom", None)),
    **dict.fromkeys(("lattices", "pbc", "context"), ("structure", None)),
    "bond_atoms": ("bond", "atom"),
    **dict.fromkeys(("bond_images", "bond_lengths", "bond_sensors"), ("bond", None)),
    "angle_bonds": ("angle", "bond"),
    "angle_cosines": ("angle", None),
    "dihedral_angles": ("dihedral", "angle"),
    "dihedral_cosines": ("dihedral", None),
}
_OFFSETS = ("atom", "bond", "angle", "dihedral")


@dataclass(frozen=True, eq=False, repr=False)
class CrystalGraphs:
    """A batch of structures: atoms, bonds, angles and dihedrals in flat arrays.

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
        Lattice vectors in rows, in Å; NaN for a structure that could not be read, which has no
        atoms. A direction that does not repeat and has no vector gets one that spans the atoms.
    pbc : ndarray of bool of shape (n_structures, 3)
        Directions in which each structure repeats.
    atom_features : ndarray of shape (n_atoms, n_atom_features)
        Features of the atoms; no column before a featurizer gives them.
    context : ndarray of shape (n_structures, n_context)
        Features of compositions, structures and processes; no column where there are none.
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
        Names of the columns of "atom_features", "context" and "bond_sensors"; and of "process",
        which are among those of context, if there are any.
    """

    offsets: dict
    atomic_numbers: np.ndarray
    positions: np.ndarray
    lattices: np.ndarray
    pbc: np.ndarray
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

    def __repr__(self):
        counts = ", ".join(f"{self.offsets[level][-1]} {level}s" for level in _OFFSETS)
        return f"<CrystalGraphs of {len(self)} structures: {counts}>"

    @property
    def shape(self):
        """One dimension, as scikit-learn asks of something it is to split."""
        return (len(self),)

    @property
    def ndim(self):
        """What scikit-learn asks before it puts columns side by side, which graphs are not."""
        raise TypeError(
            "Graphs cannot stand beside columns, as in a ColumnTransformer. Give the whole "
            "DataFrame to CrystalGraphFeaturizer(process=[…]), which puts the columns that it "
            "names into the graphs."
        )

    def counts(self, level="atom"):
        """Count the rows of each structure at a level.

        Parameters
        ----------
        level : {"atom", "bond", "angle", "dihedral"}, default="atom"
            The level.

        Returns
        -------
        ndarray of shape (n_structures,)
            Number of rows.
        """
        return np.diff(self.offsets[level])

    def rows(self, level="atom"):
        """Tell to which structure each row of a level belongs.

        Parameters
        ----------
        level : {"atom", "bond", "angle", "dihedral"}, default="atom"
            The level.

        Returns
        -------
        ndarray of shape (n_rows,)
            Positions of the structures.
        """
        return np.repeat(np.arange(len(self)), self.counts(level))

    def __array__(self, dtype=None, copy=None):
        """One batch of a single structure per entry, for whoever asks for an array."""
        array = np.empty(len(self), dtype=object)
        for row in range(len(self)):
            array[row] = self[row]
        return array

    def __getitem__(self, key):
        """Take structures by slice, mask or indices."""
        return self.take(np.atleast_1d(np.arange(len(self))[key]))

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
        indices = np.arange(len(self))[indices]
        rows, offsets, shifts = {"structure": indices}, {}, {}
        for level in _OFFSETS:
            starts = self.offsets[level][indices]
            counts = self.offsets[level][indices + 1] - starts
            offsets[level] = _offsets(counts)
            shift = offsets[level][:-1] - starts
            rows[level] = np.arange(offsets[level][-1]) - np.repeat(shift, counts)
            shifts[level] = shift
        arrays = {}
        for name, (level, target) in LEVELS.items():
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
        """
        batches = list(batches)
        names = batches[0].names
        if any(batch.names != names for batch in batches):
            raise ValueError("graphs with different columns cannot be joined")
        counts = {level: [batch.counts(level) for batch in batches] for level in _OFFSETS}
        offsets = {level: _offsets(np.concatenate(parts)) for level, parts in counts.items()}
        arrays = {}
        for name, (_, target) in LEVELS.items():
            parts = [getattr(batch, name) for batch in batches]
            if target is not None:
                starts = np.cumsum([0, *(part.sum() for part in counts[target])])
                parts = [p + s.astype(p.dtype) for p, s in zip(parts, starts, strict=False)]
            arrays[name] = np.concatenate(parts)
        return cls(offsets=offsets, names=names, **arrays)


assert {field.name for field in fields(CrystalGraphs)} == {*LEVELS, "offsets", "names"}


def connect(X, cutoff, *, min_distance=0.5):
    """Find all neighbours of all atoms within a cutoff, without angles and features.

    Parameters
    ----------
    X : CrystalGraphs or array-like of shape (n_structures,)
        Structures of any kind that :func:`read_structures` takes and must be able to read.
    cutoff : float
        Largest distance in Å.
    min_distance : float, default=0.5
        Atoms closer to each other than this many Å are an error.

    Returns
    -------
    CrystalGraphs
        Atoms, and the bonds i → j between all neighbours within the cutoff.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from trisk.structures import connect
    >>> connect([bulk("Cu"), molecule("H2O")], cutoff=3.0).counts("bond").tolist()
    [12, 6]
    """
    from trisk.structures.readers import read_structures

    atoms, _ = read_structures(X, min_distance=min_distance)
    return with_bonds(atoms, search(atoms, cutoff))


def search(atoms, cutoff, **limits):
    """:func:`find_neighbors` of a batch of structures."""
    offsets = atoms.offsets["atom"]
    return find_neighbors(atoms.positions, atoms.lattices, atoms.pbc, offsets, cutoff, **limits)


def unbonded(counts, atomic_numbers, positions, lattices, pbc):
    """A batch of structures of so many atoms each, without bonds and features."""
    n_atoms, n_structures = len(atomic_numbers), len(counts)
    nothing = np.zeros(n_structures + 1, dtype=np.int64)
    index, real = np.empty((0, 2), dtype=np.int32), np.empty(0, dtype=np.float32)
    return CrystalGraphs(
        offsets={"atom": _offsets(counts), **dict.fromkeys(_OFFSETS[1:], nothing)},
        atomic_numbers=np.asarray(atomic_numbers, dtype=np.int32),
        positions=np.asarray(positions, dtype=float),
        lattices=np.asarray(lattices, dtype=float),
        pbc=np.asarray(pbc, dtype=bool),
        atom_features=np.empty((n_atoms, 0), dtype=np.float32),
        context=np.empty((n_structures, 0), dtype=np.float32),
        bond_atoms=index,
        bond_images=np.empty((0, 3), dtype=np.int16),
        bond_lengths=real,
        bond_sensors=real.reshape(0, 0),
        angle_bonds=index,
        angle_cosines=real,
        dihedral_angles=index,
        dihedral_cosines=real,
        names={"atom_features": (), "context": (), "bond_sensors": ()},
    )


def with_bonds(atoms, pairs):
    """A batch without bonds, given those of a list of neighbours."""
    return replace(
        atoms,
        offsets={**atoms.offsets, "bond": pairs.offsets[atoms.offsets["atom"]]},
        bond_atoms=np.stack([pairs.centers, pairs.neighbors], axis=1).astype(np.int32),
        bond_images=pairs.images.astype(np.int16),
        bond_lengths=pairs.lengths.astype(np.float32),
        bond_sensors=np.empty((len(pairs.centers), 0), dtype=np.float32),
    )


def scale_volumes(atoms, volume_per_atom):
    """A batch without bonds with one volume in Å³ per atom; what has none stays as it is."""
    with np.errstate(invalid="ignore"):  # a structure without atoms has no lattice
        factors = np.cbrt(volume_per_atom * atoms.counts() / abs(np.linalg.det(atoms.lattices)))
    factors[~atoms.pbc.all(axis=1)] = 1
    return replace(
        atoms,
        lattices=factors[:, None, None] * atoms.lattices,
        positions=factors[atoms.rows(), None] * atoms.positions,
    )


def emptied(graphs, rows):
    """The same batch, in which some structures have lost their atoms."""
    gone = np.isin(np.arange(len(graphs)), rows)
    kept = graphs.take(np.flatnonzero(~gone))
    return replace(
        kept,
        offsets={level: _offsets(np.where(gone, 0, graphs.counts(level))) for level in _OFFSETS},
        lattices=np.where(gone[:, None, None], np.nan, graphs.lattices),
        pbc=graphs.pbc & ~gone[:, None],
        context=np.where(gone[:, None], np.nan, graphs.context).astype(np.float32),
    )


def _offsets(counts):
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

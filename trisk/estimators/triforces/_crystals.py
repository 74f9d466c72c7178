"""Structures of any kind → graphs of all neighbours within a cutoff → batches of tensors."""

from dataclasses import replace

import numpy as np
import torch

from trisk.nn import CrystalBatch
from trisk.structures.graphs import CrystalGraphs
from trisk.structures.neighbors import find_neighbors, geometry_fault

_LARGEST_NUMBER = 118


def read_crystals(X, cutoff):
    """Collect structures and find all their neighbours.

    Parameters
    ----------
    X : CrystalGraphs or collection of Atoms or Structure
        Output of a :class:`~trisk.featurizers.CrystalGraphFeaturizer`, whose bonds are replaced,
        or any one-dimensional collection of ASE ``Atoms`` and pymatgen ``Structure`` objects.
    cutoff : float
        Largest distance, in Å.

    Returns
    -------
    CrystalGraphs
        Atoms and all bonds within the cutoff, without features, angles and dihedrals.

    Raises
    ------
    TypeError
        If something is no structure.
    ValueError
        If a structure is not one of ordered atoms in a cell of three dimensions.
    """
    return _graphs_of(X, cutoff)


def with_context(graphs, X):
    """Put the context columns of crystal graphs beside what was read from them.

    Parameters
    ----------
    graphs : CrystalGraphs
        What :func:`read_crystals` made of `X`.
    X : CrystalGraphs
        Output of a :class:`~trisk.featurizers.CrystalGraphFeaturizer`.

    Returns
    -------
    CrystalGraphs
        Atoms, bonds and context.

    Raises
    ------
    TypeError
        If `X` is no such output.
    ValueError
        If it has no such columns, or a structure with atoms has a value that is not finite.
    """
    if not isinstance(X, CrystalGraphs):
        raise TypeError(
            f"context=True takes CrystalGraphs, not {type(X).__name__}. Put a "
            "trisk.featurizers.CrystalGraphFeaturizer before the estimator in a Pipeline."
        )
    names = X.names["context"]
    if not names:
        raise ValueError(
            "context=True, but these graphs have no such columns: give CrystalGraphFeaturizer "
            "composition= or structure=, or set context=False."
        )
    faults = ~np.isfinite(X.context) & (X.counts("atom") > 0)[:, None]
    for row, column in np.argwhere(faults)[:1]:
        raise ValueError(
            f"Row {row} has {X.context[row, column]} in the context column {names[column]!r}. "
            "Leave such rows out, or featurize without this column."
        )
    return replace(graphs, context=X.context, names={**graphs.names, "context": names})


def read_atoms(X):
    """Collect structures without their neighbours.

    Parameters
    ----------
    X : CrystalGraphs or collection of Atoms or Structure
        As for :func:`read_crystals`; any iterable, read once.

    Returns
    -------
    CrystalGraphs
        Atoms without bonds.
    """
    return _graphs_of(X, None)


def check_atoms(graphs):
    """Raise if a structure to train on has no atoms.

    Parameters
    ----------
    graphs : CrystalGraphs
        Structures.

    Raises
    ------
    ValueError
        If one is empty.
    """
    empty = np.flatnonzero(graphs.counts("atom") == 0)
    if len(empty):
        raise ValueError(
            f"There are no atoms in {len(empty)} structures, first in rows "
            f"{empty[:5].tolist()}. Drop the rows that the featurizer reported."
        )


def _graphs_of(X, cutoff):
    """Read structures and connect atoms within a cutoff, if there is one."""
    if isinstance(X, CrystalGraphs):
        return connect(X.atomic_numbers, X.positions, X.lattices, X.counts("atom"), cutoff)
    read = [_read(value, row) for row, value in enumerate(_as_values(X))]
    if not read:
        raise ValueError("There are 0 structures, but at least one is needed.")
    numbers, positions, lattices = zip(*read, strict=True)
    counts = np.array([len(values) for values in numbers])
    return connect(
        np.concatenate(numbers), np.concatenate(positions), np.stack(lattices), counts, cutoff
    )


def connect(numbers, positions, lattices, counts, cutoff):
    """Graphs of all neighbours within a cutoff.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions, in Å.
    lattices : ndarray of shape (n_structures, 3, 3)
        Lattice vectors in rows, in Å.
    counts : ndarray of shape (n_structures,)
        Atoms of each structure.
    cutoff : float or None
        Largest distance, in Å; None finds no neighbours.

    Returns
    -------
    CrystalGraphs
        Atoms and bonds, without features, angles and dihedrals.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)])
    periodic = np.ones((len(lattices), 3), dtype=bool)
    searched = offsets if cutoff is not None else np.zeros_like(offsets)
    pairs = find_neighbors(positions, lattices, periodic, searched, cutoff)
    none = np.empty((0, 2), dtype=np.int32)
    nothing = np.zeros(len(lattices) + 1, dtype=np.int64)
    return CrystalGraphs(
        offsets={
            "atom": offsets,
            "bond": np.searchsorted(pairs.centers, offsets),
            "angle": nothing,
            "dihedral": nothing,
        },
        atomic_numbers=np.asarray(numbers, dtype=np.int64),
        positions=np.asarray(positions, dtype=float),
        lattices=np.asarray(lattices, dtype=float),
        atom_features=np.empty((len(numbers), 0), dtype=np.float32),
        context=np.empty((len(lattices), 0), dtype=np.float32),
        bond_atoms=np.stack([pairs.centers, pairs.neighbors], 1).astype(np.int32),
        bond_images=pairs.images.astype(np.int16),
        bond_lengths=pairs.lengths.astype(np.float32),
        bond_sensors=np.empty((len(pairs.centers), 0), dtype=np.float32),
        angle_bonds=none,
        angle_cosines=np.empty(0, dtype=np.float32),
        dihedral_angles=none,
        dihedral_cosines=np.empty(0, dtype=np.float32),
        names={"atom_features": (), "context": (), "bond_sensors": ()},
    )


def to_batch(graphs, device="cpu", dtype=torch.float32):
    """Turn graphs into one batch of tensors.

    Parameters
    ----------
    graphs : CrystalGraphs
        Structures, none of them without atoms.
    device : torch.device or str, default="cpu"
        Where the batch goes.
    dtype : torch.dtype, default=torch.float32
        Floating-point type.

    Returns
    -------
    CrystalBatch
        The batch.
    """
    batch = CrystalBatch.from_arrays(
        graphs.atomic_numbers,
        graphs.positions,
        graphs.lattices,
        graphs.counts("atom"),
        graphs.bond_atoms,
        graphs.bond_images,
        dtype,
        graphs.context,
    )
    return batch.to(device)


def _as_values(X):
    if hasattr(X, "get_chemical_symbols") or hasattr(X, "cart_coords"):
        raise TypeError(
            f"One {type(X).__name__} was given where a collection is expected: put it in a list."
        )
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return X[:, 0]
    return X


def _read(value, row):
    """Atomic numbers, positions and lattice of an object with ASE's or pymatgen's attributes."""
    if hasattr(value, "get_chemical_symbols"):
        numbers, positions, lattice = value.numbers, value.positions, value.cell.array
        if not np.all(value.pbc):
            raise ValueError(
                f"Row {row}, {value.get_chemical_formula()}, is not periodic in all directions "
                f"(pbc={value.pbc.tolist()}). Give molecules and slabs a cell with enough "
                "vacuum and pbc=True."
            )
    elif hasattr(value, "cart_coords") and hasattr(value, "lattice"):
        if not value.is_ordered:
            raise ValueError(
                f"Row {row}, {value.formula}, has partly occupied sites; order the structure first."
            )
        numbers, positions = value.atomic_numbers, value.cart_coords
        lattice = value.lattice.matrix
    else:
        raise TypeError(
            f"Row {row} is a {type(value).__name__}. Structures are ASE Atoms or pymatgen "
            "Structures; a CrystalGraphFeaturizer before the estimator also reads files and dicts."
        )
    numbers = np.asarray(numbers, dtype=np.int64)
    if len(numbers) == 0:
        raise ValueError(f"Row {row} has no atoms.")
    if numbers.min() < 1 or numbers.max() > _LARGEST_NUMBER:
        raise ValueError(
            f"Row {row} has atoms that are no element: atomic numbers {np.unique(numbers)}."
        )
    if not (np.isfinite(positions).all() and np.isfinite(lattice).all()):
        raise ValueError(f"Row {row} has positions or lattice vectors that are not finite.")
    with np.errstate(all="ignore"):
        volume = abs(np.linalg.det(lattice))
    if volume < 1e-3:
        raise ValueError(f"Row {row} has a cell without volume: {np.round(lattice, 3).tolist()}.")
    fault = geometry_fault(positions, lattice, np.ones(3, dtype=bool))
    if fault is not None:
        raise ValueError(f"Row {row} cannot be used: {fault}.")
    return numbers, positions, lattice

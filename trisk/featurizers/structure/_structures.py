"""Collections of structures of any accepted kind → one table of flat arrays."""

from dataclasses import dataclass

import numpy as np

from trisk.featurizers.composition._compositions import CompositionTable
from trisk.featurizers.structure._files import read_structure_files
from trisk.featurizers.structure._objects import (
    StructureError,
    describe_structure,
    read_structure,
)
from trisk.structures.rows import RowError, as_value_list

_CHUNK_ATOMS = 2000  # bounds the memory of all their pairs within 8 Å to some 50 MB


@dataclass(frozen=True)
class StructureTable:
    """Structures as flat arrays: row ``i`` owns atoms ``offsets[i]:offsets[i + 1]``.

    Parameters
    ----------
    offsets : ndarray of int64 of shape (n_rows + 1,)
        An empty slice is a row that could not be read.
    numbers : ndarray of int64 of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions in Å.
    lattices : ndarray of shape (n_rows, 3, 3)
        Lattice vectors in rows, in Å; NaN for a row that could not be read.
    periodic : ndarray of bool of shape (n_rows, 3)
        Directions in which each structure repeats.
    """

    offsets: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    lattices: np.ndarray
    periodic: np.ndarray

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.lattices)

    @property
    def lengths(self):
        """Number of atoms of each row, shape (n_rows,)."""
        return np.diff(self.offsets)

    @property
    def rows(self):
        """Row of each atom, shape (n_atoms,)."""
        return np.repeat(np.arange(self.n_rows), self.lengths)

    def take(self, rows):
        """Select rows.

        Parameters
        ----------
        rows : array-like of int
            Rows to keep, in the order wanted.

        Returns
        -------
        StructureTable
            These rows.
        """
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        atoms = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return StructureTable(
            offsets,
            self.numbers[atoms],
            self.positions[atoms],
            self.lattices[rows],
            self.periodic[rows],
        )

    def chunks(self):
        """Cut the rows into runs with a bounded number of atoms.

        Returns
        -------
        list of ndarray of int
            Rows of each run; one empty run if there are no rows.
        """
        ends = np.cumsum(self.lengths) // _CHUNK_ATOMS
        return np.split(np.arange(self.n_rows), np.flatnonzero(np.diff(ends)) + 1)

    def without_atoms(self, rows):
        """Empty some rows.

        Parameters
        ----------
        rows : list of int
            Rows that lose their atoms.

        Returns
        -------
        StructureTable
            As many rows as before.
        """
        lengths, lattices = self.lengths, self.lattices.copy()
        kept = ~np.isin(self.rows, rows)
        lengths[rows], lattices[rows] = 0, np.nan
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return StructureTable(
            offsets, self.numbers[kept], self.positions[kept], lattices, self.periodic
        )

    def compositions(self):
        """Count the atoms of each element.

        Returns
        -------
        CompositionTable
            One row per structure, without texts.
        """
        width = 128  # more than there are elements
        pairs, counts = np.unique(self.rows * width + self.numbers, return_counts=True)
        lengths = np.bincount(pairs // width, minlength=self.n_rows)
        return CompositionTable(
            np.concatenate([[0], np.cumsum(lengths)]),
            pairs % width,
            counts.astype(float),
            np.full(self.n_rows, "", dtype=object),
        )


def parse_structures(X, featurizer="", *, store=None, n_jobs=None, verbose=0):
    """Read a collection of structures.

    Parameters
    ----------
    X : array-like of shape (n_samples,) or (n_samples, 1)
        pymatgen ``Structure`` objects or their dicts, ASE ``Atoms``, paths of structure files,
        texts of CIFs, or a mixture.
    featurizer : str, default=""
        Name that the errors carry.
    store : ContentStore, default=None
        Keeps what was read from files.
    n_jobs : int, default=None
        Number of joblib workers that read files.
    verbose : int, default=0
        Whether to show a progress bar over files.

    Returns
    -------
    table : StructureTable
        With an empty slice for each row that could not be read.
    errors : list of RowError
        The rows that could not be read, in order.
    """
    values = as_value_list(X, what="structures")
    files = read_structure_files(values, store, n_jobs, verbose)
    read, errors = [], []
    nothing = (
        np.empty(0, dtype=np.int64),
        np.empty((0, 3)),
        np.full((3, 3), np.nan),
        np.zeros(3, dtype=bool),
    )
    for row, value in enumerate(values):
        try:
            result = files[row] if row in files else read_structure(value)
            if isinstance(result, StructureError):
                raise result
            read.append(result)
        except StructureError as error:
            read.append(nothing)
            errors.append(RowError(row, describe_structure(value), featurizer, str(error)))
    lengths = [len(numbers) for numbers, *_ in read]
    numbers, positions, lattices, periodic = zip(nothing, *read, strict=True)
    table = StructureTable(
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        np.concatenate(numbers),
        np.concatenate(positions),
        np.stack(lattices)[1:],
        np.stack(periodic)[1:],
    )
    return table, errors

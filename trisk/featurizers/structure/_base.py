"""What all featurizers of structures share, and those that give a row of numbers for each."""

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from trisk._compat import Interval, check_feature_names
from trisk.featurizers._rows import RowFeaturizer, TableFeaturizer
from trisk.structures.graphs import search
from trisk.structures.neighbors import LARGEST_CUTOFF
from trisk.structures.readers import describe_atoms, read_structures
from trisk.structures.rows import RowError, as_value_list, map_chunks

_CHUNK_ATOMS = 2000  # bounds the memory of all their pairs within 8 Å to some 50 MB


class StructureFeaturizer(RowFeaturizer):
    """Base of the transformers that turn each structure of a collection into features."""

    _rows_are = "structures"
    _texts = {
        "attributes": """n_features_in_ : int
        Always 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.""",
    }

    def _values(self, X):
        """The values of a collection that a fitted featurizer takes."""
        check_is_fitted(self)
        check_feature_names(self, X, reset=False)
        return as_value_list(X, "structures")

    def _read(self, values, verbose=0):
        """Structures as atoms without bonds, and the errors of rows that are none."""
        atoms, errors = read_structures(values, on_error="nan", n_jobs=self.n_jobs, verbose=verbose)
        return atoms, [replace(error, featurizer=type(self).__name__) for error in errors]

    def _errors(self, atoms, causes):
        """Errors of rows that can be read, by cause."""
        name = type(self).__name__
        return [
            RowError(row, describe_atoms(atoms[row].atomic_numbers), name, cause)
            for row, cause in causes.items()
        ]


@dataclass(kw_only=True, repr=False, eq=False)
class StructureTableFeaturizer(TableFeaturizer, StructureFeaturizer):
    """Base of the transformers that turn the pairs of atoms of each structure into numbers.

    A subclass implements ``_feature_names(self) -> list of str`` and ``_compute(self, atoms,
    pairs) -> ndarray of shape (n_rows, n_features)`` for structures that have atoms, all with
    neighbours. ``_compute`` may run in another process and must not change the featurizer.
    """

    cutoff: float = 6.0
    verbose: int = 0

    _parameter_constraints = {
        "cutoff": [Interval(Real, 0, LARGEST_CUTOFF, closed="right")],
        "verbose": ["verbose"],
    }

    _texts = {
        "Parameters": """Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN and warn once;
        ``explain_errors`` then lists the causes.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    cutoff : float, default=6.0
        Distance in Å up to which atoms are neighbours, at most 100. Each atom needs one.
    verbose : int, default=0
        Whether to show a progress bar over structure files.""",
        "Attributes": f"""Attributes
    ----------
    {StructureFeaturizer._texts["attributes"]}
    n_features_out_ : int
        Number of columns given out.""",
    }

    def _transform_rows(self, X):
        atoms, errors = self._read(as_value_list(X, self._rows_are), self.verbose)
        values, causes = in_chunks(self._compute_chunk, atoms, n_jobs=self.n_jobs)
        return np.concatenate(values), errors + self._errors(atoms, causes)

    def _compute_chunk(self, atoms):
        """Columns, NaN for structures without atoms or with a fault, and the faults by row."""
        pairs = search(atoms, float(self.cutoff))
        causes = self._find_faults(atoms, pairs)
        values = np.full((len(atoms), self.n_features_out_), np.nan)
        sound = np.setdiff1d(np.flatnonzero(atoms.counts()), list(causes))
        if len(sound):
            if len(sound) < len(atoms):
                atoms = atoms.take(sound)
                pairs = search(atoms, float(self.cutoff))
            values[sound] = self._compute(atoms, pairs)
        return values, causes

    def _n_periodic(self):
        """In how many directions a structure must repeat for the columns to mean something."""
        return 0

    def _find_faults(self, atoms, pairs):
        """What is wrong with structures, by row; the base of further demands."""
        causes = find_lone_atoms(atoms, pairs, float(self.cutoff))
        repeats, needed = atoms.pbc.sum(axis=1), self._n_periodic()
        for row in np.flatnonzero((repeats < needed) & (atoms.counts() > 0)).tolist():
            causes[row] = (
                f"it is periodic in {repeats[row]} directions, not {needed}; give it a cell and "
                "periodic boundary conditions (with ASE: atoms.center(vacuum=10); atoms.pbc = True)"
            )
        return causes


def chunked(atoms, n_atoms=_CHUNK_ATOMS):
    """Rows of runs of structures with a bounded number of atoms, at least one run."""
    ends = np.cumsum(atoms.counts()) // n_atoms
    return np.split(np.arange(len(atoms)), np.flatnonzero(np.diff(ends)) + 1)


def in_chunks(function, atoms, **settings):
    """What a function gives for parts of a batch, beside causes by row; and the causes of all."""
    chunks = chunked(atoms)
    results = map_chunks(function, [atoms.take(rows) for rows in chunks], **settings)
    causes = {
        int(rows[row]): cause
        for rows, (_, found) in zip(chunks, results, strict=True)
        for row, cause in found.items()
    }
    return [values for values, _ in results], causes


def find_lone_atoms(atoms, pairs, cutoff):
    """The structures in which an atom has no neighbour, by row, with that atom."""
    causes, rows = {}, atoms.rows()
    for atom in np.flatnonzero(np.diff(pairs.offsets) == 0)[::-1]:
        causes[int(rows[atom])] = (
            f"atom {atom - atoms.offsets['atom'][rows[atom]]} has no neighbour within "
            f"{cutoff:g} Å; use a larger cutoff or a smaller cell"
        )
    return causes


def bond_directions(atoms, bonds):
    """Unit vectors from the centres to the neighbours."""
    i, j = bonds.centers, bonds.neighbors
    shifts = np.einsum("bi,bij->bj", bonds.images, atoms.lattices[atoms.rows()[i]])
    vectors = atoms.positions[j] + shifts - atoms.positions[i]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

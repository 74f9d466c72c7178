"""What the featurizers share that turn each structure into a row of numbers."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    check_is_fitted,
)

from trisk.featurizers.structure._base import StructureFeaturizer
from trisk.featurizers.structure._bonds import find_faults, nearest_bonds
from trisk.featurizers.structure._objects import describe_atoms
from trisk.featurizers.structure._structures import parse_structures
from trisk.structures.neighbors import LARGEST_CUTOFF, find_neighbors
from trisk.structures.rows import RowError


class StructureTableFeaturizer(StructureFeaturizer):
    """Base of the transformers that turn the pairs of atoms of each structure into numbers.

    A subclass implements ``_feature_names(self) -> list of str`` and
    ``_compute(self, table, bonds) -> ndarray of shape (n_rows, n_features)`` for structures that
    have atoms, all with neighbours and none too close to each other. ``_compute`` may run in
    another process and must not change the featurizer.

    Parameters
    ----------
    cutoff : float, default=6.0
        Length of the longest pair in Å, at most 100.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar over structure files.
    """

    _parameter_constraints: dict = {
        **StructureFeaturizer._parameter_constraints,
        "cutoff": [Interval(Real, 0, LARGEST_CUTOFF, closed="right")],
        "verbose": ["verbose"],
    }

    def __init__(self, *, cutoff=6.0, on_error="raise", n_jobs=None, verbose=0):
        super().__init__(on_error=on_error, n_jobs=n_jobs)
        self.cutoff = cutoff
        self.verbose = verbose

    def transform(self, X):
        """Featurize structures.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Structures: pymatgen ``Structure`` objects or their dicts, ASE ``Atoms``, paths of
            files (CIF, POSCAR, …), texts of CIFs, or a mixture.

        Returns
        -------
        pandas.DataFrame of shape (n_samples, n_features_out)
            One row per structure, under the index of X if X is a pandas object.

        Raises
        ------
        FeaturizationError
            With ``on_error="raise"``, when a structure cannot be featurized.
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        name = type(self).__name__
        table, errors = parse_structures(
            X, featurizer=name, n_jobs=self.n_jobs, verbose=self.verbose
        )
        chunks = table.chunks()
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(self._compute_chunk)(table.take(rows)) for rows in chunks
        )
        for rows, (_, causes) in zip(chunks, results, strict=True):
            for row, cause in causes.items():
                formula = describe_atoms(table.take(rows[[row]]).numbers)
                errors.append(RowError(int(rows[row]), formula, name, cause))
        self._report(sorted(errors, key=lambda error: error.row), table.n_rows)
        values = np.concatenate([chunk_values for chunk_values, _ in results])
        index = X.index if hasattr(X, "iloc") else None
        return pd.DataFrame(values, columns=self._feature_names(), index=index, copy=False)

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, except that it must match the column name seen in ``fit``.

        Returns
        -------
        ndarray of str objects of shape (n_features_out,)
            The names.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._feature_names(), dtype=object)

    def _prepare(self):
        self.n_features_out_ = len(self._feature_names())

    def _compute_chunk(self, table):
        """Columns, NaN for structures without atoms or with a fault, and the faults by row."""
        cutoff = float(self.cutoff)
        pairs = find_neighbors(
            table.positions, table.lattices, table.periodic, table.offsets, cutoff
        )
        causes = self._find_faults(table, pairs)
        if causes:
            values, _ = self._compute_chunk(table.without_atoms(list(causes)))
            return values, causes
        values = np.full((table.n_rows, self.n_features_out_), np.nan)
        sound = np.flatnonzero(table.lengths)
        if len(sound):
            bonds = nearest_bonds(pairs, len(table.numbers), None)
            values[sound] = self._compute(table.take(sound), bonds)
        return values, {}

    def _find_faults(self, table, pairs):
        """What is wrong with structures, by row; the base of further demands."""
        return find_faults(table, pairs, float(self.cutoff))

"""SpringModelFeaturizer: what a crystal's bonds, taken as springs, say of its vibrations."""

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

from trisk.featurizers._values import RowError
from trisk.featurizers.structure._base import StructureFeaturizer
from trisk.featurizers.structure._bonds import bond_directions, find_faults, nearest_bonds
from trisk.featurizers.structure._objects import describe_atoms
from trisk.featurizers.structure._springs import SPRING_COLUMNS, make_springs, spring_columns
from trisk.featurizers.structure._structures import parse_structures
from trisk.neighbor_lists import find_neighbors


class SpringModelFeaturizer(StructureFeaturizer):
    """Vibrations of a crystal whose bonds are empirical springs, without any potential.

    1. Every pair of atoms within the cutoff is a spring, whose stiffness follows from the two
       elements and the distance by Gordy's rule and the bond valence.
    2. Each atom, and each pair of bonded atoms, vibrates while all others rest.
    3. Columns tell of these frequencies, of the bond that vibrates fastest and of its two atoms,
       of bond valences and of density.

    The fastest pair is a good first guess of the highest phonon frequency (on Matbench's phonon
    task it correlates 0.976 with the last peak of the density of states), and what is left to
    learn is a correction. Nothing is learned from the data.

    Parameters
    ----------
    cutoff : float, default=6.0
        Length of the longest spring in Å.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar over structure files.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Structures that the latest ``transform`` could not featurize: row, formula, featurizer,
        cause.
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of columns given out.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    See Also
    --------
    CrystalGraphFeaturizer : Graphs, whose bonds carry the same stiffness.
    PotentialFeaturizer : Frequencies from an interatomic potential.

    Notes
    -----
    Stiffness is k = 167 N/m · n (χᵢ χⱼ / d²)^¾ [1]_ for electronegativities χ and a length d in
    Å, with the bond valence n = exp((rᵢ + rⱼ − d) / 0.37 Å) [2]_ of the covalent radii r in
    place of the bond order. An atom of mass m has the on-site matrix A = Σ k u uᵀ over its bonds
    of direction u, and three Einstein frequencies, the roots of the eigenvalues of A / m. A pair
    has ω² = (a + b)/2 + √(((a − b)/2)² + k²/mᵢmⱼ) with a = u·Aᵢu / mᵢ and b = u·Aⱼu / mⱼ. Means
    over pairs are weighted by bond valence.

    References
    ----------
    .. [1] W. Gordy, "A relation between bond force constants, bond orders, bond lengths, and the
       electronegativities of the bonded atoms", J. Chem. Phys. 14, 305 (1946).
    .. [2] I. D. Brown, D. Altermatt, "Bond-valence parameters obtained from a systematic
       analysis of the inorganic crystal structure database", Acta Cryst. B 41, 244 (1985).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.featurizers import SpringModelFeaturizer
    >>> X = SpringModelFeaturizer().fit_transform([bulk("C"), bulk("Si"), bulk("Ge")])
    >>> X["SpringModel highest pair frequency (1/cm)"].round().astype(int).tolist()
    [1081, 349, 244]
    """

    _parameter_constraints: dict = {
        **StructureFeaturizer._parameter_constraints,
        "cutoff": [Interval(Real, 0, None, closed="neither")],
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
            delayed(_compute)(table.take(rows), float(self.cutoff)) for rows in chunks
        )
        for rows, (_, causes) in zip(chunks, results, strict=True):
            for row, cause in causes.items():
                formula = describe_atoms(table.take(rows[[row]]).numbers)
                errors.append(RowError(int(rows[row]), formula, name, cause))
        self._report(sorted(errors, key=lambda error: error.row), table.n_rows)
        values = np.concatenate([chunk_values for chunk_values, _ in results])
        index = X.index if hasattr(X, "iloc") else None
        return pd.DataFrame(values, columns=self._names(), index=index, copy=False)

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
        return np.asarray(self._names(), dtype=object)

    def _prepare(self):
        self.n_features_out_ = len(SPRING_COLUMNS)

    def _names(self):
        return [f"SpringModel {name}" for name in SPRING_COLUMNS]


def _compute(table, cutoff):
    """Columns of some structures, NaN for those without atoms or with a fault, and the faults."""
    pairs = find_neighbors(table.positions, table.lattices, table.periodic, table.offsets, cutoff)
    causes = find_faults(table, pairs, cutoff)
    if causes:
        values, _ = _compute(table.without_atoms(list(causes)), cutoff)
        return values, causes
    values = np.full((table.n_rows, len(SPRING_COLUMNS)), np.nan)
    sound = np.flatnonzero(table.lengths)
    if len(sound):
        bonds = nearest_bonds(pairs, len(table.numbers), None)
        springs = make_springs(table.numbers, bonds, bond_directions(table, bonds))
        values[sound] = spring_columns(table.take(sound), bonds, springs)
    return values, {}

"""SpringModelFeaturizer: what a crystal's bonds, taken as springs, say of its vibrations."""

from trisk.featurizers.structure._bonds import bond_directions
from trisk.featurizers.structure._springs import SPRING_COLUMNS, make_springs, spring_columns
from trisk.featurizers.structure._tables import StructureTableFeaturizer


class SpringModelFeaturizer(StructureTableFeaturizer):
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
        Length of the longest spring in Å, at most 100.
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

    def _feature_names(self):
        return [f"SpringModel {name}" for name in SPRING_COLUMNS]

    def _compute(self, table, bonds):
        springs = make_springs(table.numbers, bonds, bond_directions(table, bonds))
        return spring_columns(table, bonds, springs)

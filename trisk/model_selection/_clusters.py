"""Folds that leave whole families of materials out, to tell how far a model extrapolates."""

import warnings

import numpy as np
from sklearn.model_selection import BaseCrossValidator, GroupKFold
from sklearn.utils import check_random_state, indexable

_KINDS = ("chemical_system", "element", "prototype", "kmeans")


def leave_cluster_out(
    by="chemical_system",
    *,
    n_splits=None,
    n_repeats=1,
    min_test_size=1,
    materials=None,
    random_state=None,
):
    """Make folds whose test rows are families of materials that training never sees [1]_.

    Parameters
    ----------
    by : {"chemical_system", "element", "prototype", "kmeans"}, default="chemical_system"
        What makes a family:

        - ``"chemical_system"``: the set of elements, such as Fe–O.
        - ``"element"``: every row that contains an element. A row of two elements is in two
          test sets.
        - ``"prototype"``: the anonymous formula, such as AB2, and for structures their space
          group too.
        - ``"kmeans"``: clusters of the standardised columns (of Magpie's statistics, where rows
          are materials).
    n_splits : int or None, default=None
        Number of folds, over which families are spread evenly; None makes one fold per family
        (ten clusters for ``"kmeans"``). Not for ``"element"``, which has a fold per element.
    n_repeats : int, default=1
        Repetitions with other draws: other families together, or other clusters.
    min_test_size : int, default=1
        Leave out no family of fewer rows; its rows serve for training in every fold. Only where
        families are folds.
    materials : array-like of shape (n_samples,), default=None
        Formulas, compositions or structures of the rows, where the estimator is given columns
        instead.
    random_state : int, RandomState instance or None, default=None
        Seed of the clusters and of which families stand together.

    Returns
    -------
    cv : LeaveClusterOut
        A splitter, to pass as ``cv=`` to anything in scikit-learn.

    Raises
    ------
    ValueError
        If ``by`` is none of these, or is contradicted by the other parameters.

    References
    ----------
    .. [1] B. Meredig et al., "Can machine learning identify the next high-temperature
       superconductor? Examining extrapolation performance for materials discovery", Mol. Syst.
       Des. Eng. 3, 819 (2018). https://doi.org/10.1039/C8ME00012C

    Examples
    --------
    >>> from trisk.model_selection import leave_cluster_out
    >>> formulas = ["FeO", "Fe2O3", "NaCl", "KCl", "SiC"]
    >>> [test.tolist() for _, test in leave_cluster_out("chemical_system").split(formulas)]
    [[4], [3], [2], [0, 1]]
    >>> [test.tolist() for _, test in leave_cluster_out("element", min_test_size=2).split(formulas)]
    [[2, 3], [0, 1], [0, 1]]
    """
    if by not in _KINDS:
        raise ValueError(f"by={by!r} is none of {', '.join(map(repr, _KINDS))}.")
    if by == "element" and n_splits is not None:
        raise ValueError("by='element' makes one fold per element: leave n_splits=None.")
    if n_splits is not None and min_test_size > 1:
        raise ValueError("min_test_size is for folds of one family each: leave n_splits=None.")
    if n_repeats > 1 and n_splits is None and by != "kmeans":
        raise ValueError(f"by={by!r} with a fold per family gives the same folds {n_repeats} times")
    return LeaveClusterOut(
        by=by,
        n_splits=n_splits,
        n_repeats=n_repeats,
        min_test_size=min_test_size,
        materials=materials,
        random_state=random_state,
    )


class LeaveClusterOut(BaseCrossValidator):
    """Splitter that :func:`leave_cluster_out` makes and describes.

    Parameters
    ----------
    by : str
        What makes a family.
    n_splits : int or None
        Number of folds; None for one per family.
    n_repeats : int
        Repetitions.
    min_test_size : int
        Smallest family that is left out.
    materials : array-like of shape (n_samples,) or None
        Materials of the rows, if not the rows themselves.
    random_state : int, RandomState instance or None
        Seed.
    """

    def __init__(self, *, by, n_splits, n_repeats, min_test_size, materials, random_state):
        self.by = by
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.min_test_size = min_test_size
        self.materials = materials
        self.random_state = random_state

    def split(self, X, y=None, groups=None):
        """Give the rows of every fold.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_features)
            Materials, or columns.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored: the rows themselves tell the families.

        Yields
        ------
        train, test : ndarray of int
            Row indices.

        Raises
        ------
        ValueError
            If the rows are not materials where these are needed, or make too few families.
        """
        yield from self._folds(X)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Count the folds.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_features), default=None
            Materials, or columns; needed unless ``n_splits`` is given.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
            Number of folds.

        Raises
        ------
        ValueError
            If only the rows can tell, and there are none.
        """
        if self.n_splits is not None:
            return self.n_splits * self.n_repeats
        if X is None:
            raise ValueError(f"Only the rows tell how many folds by={self.by!r} makes: pass X.")
        return len(self._folds(X))

    def _folds(self, X):
        (X,) = indexable(X)
        materials = X if self.materials is None else self.materials
        if len(materials) != len(X):
            raise ValueError(f"There are {len(materials)} materials for {len(X)} rows.")
        rng = check_random_state(self.random_state)
        folds = []
        for _ in range(self.n_repeats):
            if self.by == "element":
                folds += self._leave_families(_element_members(materials))
                continue
            if self.by == "kmeans":
                families = _kmeans(X, self.n_splits or 10, rng)
                folds += self._leave_families(_members(families))
                continue
            families = np.array([_FAMILY[self.by](c) for c in _describe(materials, self.by)])
            if self.n_splits is None:
                folds += self._leave_families(_members(families))
            else:
                splitter = GroupKFold(
                    self.n_splits, shuffle=True, random_state=rng.randint(np.iinfo(np.int32).max)
                )
                folds += splitter.split(families, groups=families)
        return folds

    def _leave_families(self, members):
        """One fold per family that is large enough and leaves something to train on."""
        folds = [
            (np.flatnonzero(~test), np.flatnonzero(test))
            for test in members
            if self.min_test_size <= test.sum() < len(test)
        ]
        if not folds:
            raise ValueError(
                f"by={self.by!r} makes no family of at least {self.min_test_size} rows that "
                "leaves others to train on."
            )
        return folds


def _members(families):
    return [families == family for family in np.unique(families)]


def _element_members(materials):
    """Rows that contain each element, by symbol."""
    elements = [{str(e) for e in composition.elements} for composition in _describe(materials, "")]
    return [
        np.array([symbol in row for row in elements]) for symbol in sorted(set().union(*elements))
    ]


def _is_table(X):
    """Whether rows are columns of numbers; a structure too is a sequence, of sites."""
    if hasattr(X, "ndim"):
        return X.ndim == 2 and X.shape[1] > 1
    return isinstance(X[0], list | tuple | np.ndarray)


def _describe(materials, by):
    """Compositions of the rows, or for prototypes the structures where there are some."""
    from pymatgen.core import Composition

    from trisk.structures.rows import as_value_list

    if _is_table(materials):
        raise ValueError(
            "The rows are columns of numbers. Pass the formulas or structures of the rows as "
            "materials=…"
        )
    described = []
    for row, material in enumerate(as_value_list(materials)):
        if hasattr(material, "lattice") and by == "prototype":
            described.append(material)
            continue
        try:
            described.append(getattr(material, "composition", None) or Composition(material))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Row {row} is no material: {material!r} ({error}).") from error
    return described


def _prototype(material):
    if not hasattr(material, "lattice"):
        return material.anonymized_formula
    with warnings.catch_warnings():
        # spglib deprecates how pymatgen asks it.
        warnings.simplefilter("ignore", DeprecationWarning)
        _, space_group = material.get_space_group_info(symprec=0.1)
    return f"{material.composition.anonymized_formula} {space_group}"


_FAMILY = {
    "chemical_system": lambda composition: composition.chemical_system,
    "prototype": _prototype,
}


def _kmeans(X, n_clusters, rng):
    """Cluster numbers of the rows, in standardised columns."""
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    if not _is_table(X):
        from trisk.featurizers import MagpieFeaturizer

        compositions = _describe(X, "kmeans")
        X = MagpieFeaturizer(missing="mean").fit_transform(compositions)
    if n_clusters > len(X):
        raise ValueError(f"{len(X)} rows make no {n_clusters} clusters: pass n_splits=…")
    scaled = StandardScaler().fit_transform(np.asarray(X, dtype=float))
    seed = rng.randint(np.iinfo(np.int32).max)
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(scaled)

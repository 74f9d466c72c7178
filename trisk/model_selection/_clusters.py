"""Folds that leave whole families of materials out, to tell how far a model extrapolates."""

import warnings
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator, GroupKFold
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler
from sklearn.utils import check_random_state, indexable

_KINDS = ("chemical_system", "element", "prototype", "kmeans")


@dataclass(repr=False, eq=False)
class LeaveClusterOut(BaseCrossValidator):
    """Splitter whose test rows are families of materials that training never sees [1]_.

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

    References
    ----------
    .. [1] B. Meredig et al., Mol. Syst. Des. Eng. 3, 819 (2018). https://doi.org/10.1039/C8ME00012C

    Examples
    --------
    >>> from trisk.model_selection import LeaveClusterOut
    >>> formulas = ["FeO", "Fe2O3", "NaCl", "KCl", "SiC"]
    >>> [test.tolist() for _, test in LeaveClusterOut("chemical_system").split(formulas)]
    [[4], [3], [2], [0, 1]]
    >>> [test.tolist() for _, test in LeaveClusterOut("element", min_test_size=2).split(formulas)]
    [[2, 3], [0, 1], [0, 1]]
    """

    by: str = "chemical_system"
    _: KW_ONLY
    n_splits: int | None = None
    n_repeats: int = 1
    min_test_size: int = 1
    materials: Any = None
    random_state: Any = None

    def __post_init__(self):
        if self.by not in _KINDS:
            raise ValueError(f"by={self.by!r} is none of {', '.join(map(repr, _KINDS))}.")
        if self.by == "element" and self.n_splits is not None:
            raise ValueError("by='element' makes one fold per element: leave n_splits=None.")
        if self.n_splits is not None and self.min_test_size > 1:
            raise ValueError("min_test_size is for folds of one family each: leave n_splits=None.")
        if self.n_repeats > 1 and self.n_splits is None and self.by != "kmeans":
            raise ValueError(
                f"by={self.by!r} with a fold per family gives the same folds {self.n_repeats} times"
            )

    def get_n_splits(self, X=None, y=None, groups=None):
        """Count the folds.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_features), default=None
            Materials, or columns; needed unless ``n_splits`` is given.
        y, groups : object, default=None
            Ignored: the rows themselves tell the families.

        Returns
        -------
        n_splits : int
            Number of folds.
        """
        if self.n_splits is not None:
            return self.n_splits * self.n_repeats
        if X is None:
            raise ValueError(f"Only the rows tell how many folds by={self.by!r} makes: pass X.")
        return sum(1 for _ in self._iter_test_masks(X))

    def _iter_test_masks(self, X=None, y=None, groups=None):
        """Whether each row is tested, fold by fold: what scikit-learn's ``split`` asks for."""
        (X,) = indexable(X)
        materials = X if self.materials is None else self.materials
        if len(materials) != len(X):
            raise ValueError(f"There are {len(materials)} materials for {len(X)} rows.")
        rng = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            seed = rng.randint(np.iinfo(np.int32).max)
            if self.by == "kmeans":
                families = _cluster(materials, self.n_splits or 10, seed)
            else:
                families = [_FAMILIES[self.by](m) for m in _read_materials(materials, self.by)]
            if self.by == "kmeans" or self.n_splits is None:
                yield from self._leave_families(families)
            else:
                splitter = GroupKFold(self.n_splits, shuffle=True, random_state=seed)
                for _, test in splitter.split(families, groups=np.ravel(families)):
                    yield np.isin(np.arange(len(families)), test)

    def _leave_families(self, families):
        """One fold per family that is large enough and leaves something to train on."""
        members = MultiLabelBinarizer().fit_transform(families).astype(bool)
        sizes = members.sum(axis=0)
        large = (sizes >= self.min_test_size) & (sizes < len(members))
        if not large.any():
            raise ValueError(
                f"by={self.by!r} makes no family of at least {self.min_test_size} rows that "
                "leaves others to train on."
            )
        return members.T[large]


def _is_table(X):
    """Whether rows are columns of numbers; a structure too is a sequence, of sites."""
    if hasattr(X, "ndim"):
        return X.ndim == 2 and (X.shape[1] > 1 or np.asarray(X).dtype.kind in "fiub")
    return isinstance(X[0], list | tuple | np.ndarray)


def _read_materials(materials, by):
    """Compositions of the rows, or for prototypes the crystals where there are some."""
    from pymatgen.core import Composition

    from trisk.featurizers.composition.formulas import parse_compositions
    from trisk.structures.elements import ELEMENT_SYMBOLS
    from trisk.structures.readers import is_structure, read_structures, to_pymatgen
    from trisk.structures.rows import as_value_list

    if _is_table(materials):
        raise ValueError(
            "The rows are columns of numbers. Pass the formulas or structures of the rows as "
            "materials=…"
        )
    values = as_value_list(materials)
    if by == "prototype":
        rows = [row for row, value in enumerate(values) if is_structure(value)]
        found, _ = read_structures([values[row] for row in rows], on_error="nan")
        for k in np.flatnonzero(found.counts("atom")):
            values[rows[k]] = to_pymatgen(found, k)
    table, errors = parse_compositions(values)
    for error in errors:
        raise ValueError(f"Row {error.row} is no material: {error.formula[:60]!r} ({error.cause}).")
    symbols = [ELEMENT_SYMBOLS[number - 1] for number in table.elements]
    spans = map(slice, table.offsets, table.offsets[1:])
    read = [Composition(dict(zip(symbols[s], table.amounts[s], strict=True))) for s in spans]
    if by != "prototype":
        return read
    return [v if all(getattr(v, "pbc", [False])) else c for v, c in zip(values, read, strict=True)]


def _prototype(material):
    if not hasattr(material, "lattice"):
        return (material.anonymized_formula,)
    with warnings.catch_warnings():
        # spglib deprecates how pymatgen asks it.
        warnings.simplefilter("ignore", DeprecationWarning)
        _, space_group = material.get_space_group_info(symprec=0.1)
    return (f"{material.composition.anonymized_formula} {space_group}",)


#: Names of the families that a material belongs to.
_FAMILIES = {
    "chemical_system": lambda composition: (composition.chemical_system,),
    "element": lambda composition: {str(e) for e in composition.elements},
    "prototype": _prototype,
}


def _cluster(X, n_clusters, seed):
    """Number of each row's cluster, by its standardised columns."""
    from sklearn.cluster import KMeans

    if not _is_table(X):
        from trisk.featurizers import MagpieFeaturizer

        X = MagpieFeaturizer(missing="mean").fit_transform(X)
    scaled = StandardScaler().fit_transform(np.asarray(X, dtype=float))
    n_rows = len(np.unique(scaled, axis=0))
    if n_clusters > n_rows:
        raise ValueError(f"{n_rows} different rows make no {n_clusters} clusters: pass n_splits=…")
    labels = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(scaled)
    return labels[:, None]

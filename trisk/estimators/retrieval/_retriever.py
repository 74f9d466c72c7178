"""StructureRetriever: the crystals nearest to a crystal, by streams of an embedding."""

from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _get_feature_names,
    check_array,
    check_is_fitted,
    validate_data,
)

from trisk.estimators._saving import SavingMixin
from trisk.estimators.retrieval._blocks import BlockScaler, find_blocks, resolve_weights
from trisk.estimators.retrieval._indexes import CellIndex, ExactIndex
from trisk.estimators.retrieval._volumes import scale_volumes

_QUERIES = 20_000  # searched at once


class StructureRetriever(SavingMixin, BaseEstimator):
    """Finds the structures nearest to a structure by composition, by structure, or by both.

    A transformer embeds structures in blocks of columns, one per stream; distances are taken
    within chosen blocks. Works as :class:`sklearn.neighbors.NearestNeighbors` does, for thousands
    of structures exactly and for millions approximately.

    Parameters
    ----------
    pretrainer : transformer, str, path-like or None, default="default"
        What embeds structures: a :class:`TriForcesPretrainer`, or ``"default"`` for the one that
        comes with trisk; any other transformer, such as a
        :class:`~trisk.featurizers.PowerSpectrumFeaturizer`; or the file of one. A fitted one is
        used as it is, also by clones; one that is not fitted is fitted to the structures. With
        None, tables of embeddings take the place of structures.
    streams : str, list of str or dict of str to float, default=None
        Blocks that count: one, several, or weights by block. A block is made of the columns
        ``"name 0"``, ``"name 1"``, …. None is all blocks with equal weight. A table whose columns
        are named otherwise is one block, ``"all"``.
    volume_per_atom : float, default=None
        Structures, pymatgen's or ASE's, are scaled to this volume in Å³ per atom before they are
        embedded, so that those of one prototype are near each other whatever the size of their
        atoms; 20 is usual for inorganic crystals. None leaves them as they are.
    metric : {"cosine", "euclidean"}, default="cosine"
        Distance. With "cosine", the weighted mean over blocks of one minus the cosine; with
        "euclidean", the root of the weighted mean of the squared distances of the blocks.
    standardize : bool, default=True
        Whether columns are centred and scaled to unit variance over the structures seen in `fit`
        before distances are taken; for "euclidean", squared differences are then averaged over the
        columns of a block instead of added.
    n_neighbors : int, default=5
        Number of neighbours that :meth:`kneighbors` returns unless told otherwise.
    index : {"exact", "faiss"}, default="exact"
        Compare with all structures, or with those in the nearest cells of a k-means clustering,
        for which the package ``faiss-cpu`` is needed (``pip install trisk[retrieval]``).
    recall : float, default=0.99
        For ``index="faiss"``, the part of the ten nearest neighbours that is to be found. So many
        cells are searched that it is reached for a sample of the structures seen in `fit`.
    n_jobs : int, default=None
        Number of threads of the search; None is 1, -1 all processors.

    Attributes
    ----------
    pretrainer_ : transformer or None
        What embeds structures.
    weights_ : dict of str to float
        Weights of the blocks that count; they add up to 1.
    vectors_ : ndarray of float32 of shape (n_samples_fit_, n_dimensions)
        The blocks that count, scaled such that the distance of two rows is the metric's.
    n_samples_fit_ : int
        Number of structures.
    effective_metric_ : str
        The metric.
    n_cells_searched_ : int or None
        Cells that a search with ``index="faiss"`` looks into.
    n_features_in_ : int
        Number of columns of the tables; only with ``pretrainer=None``.
    feature_names_in_ : ndarray of str objects of shape (n_features_in_,)
        Their names, where all are strings.

    See Also
    --------
    TriForcesPretrainer : Embeds structures in three streams.
    trisk.featurizers.PowerSpectrumFeaturizer : Describes structures without training.
    sklearn.neighbors.NearestNeighbors : The same for points.

    Notes
    -----
    Instead of structures, a table of what the transformer made of them can be given everywhere:
    a DataFrame with its columns. So structures need not be embedded twice. With `volume_per_atom`,
    it must be one of scaled structures.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import StructureRetriever
    >>> from trisk.featurizers import PowerSpectrumFeaturizer
    >>> crystals = [bulk("Cu"), bulk("Fe"), bulk("Si"), bulk("Mg")]
    >>> spectrum = PowerSpectrumFeaturizer(volume_per_atom=20.0)
    >>> retriever = StructureRetriever(spectrum, standardize=False).fit(crystals)
    >>> distances, indices = retriever.kneighbors([bulk("Al"), bulk("Ge")], n_neighbors=1)
    >>> indices.ravel().tolist()
    [0, 2]
    """

    _parameter_constraints: dict = {
        "pretrainer": [HasMethods(["fit", "transform"]), str, HasMethods("__fspath__"), None],
        "streams": [str, list, tuple, dict, None],
        "volume_per_atom": [None, Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions({"cosine", "euclidean"})],
        "standardize": ["boolean"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "index": [StrOptions({"exact", "faiss"})],
        "recall": [Interval(Real, 0, 1, closed="right")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        pretrainer="default",
        *,
        streams=None,
        volume_per_atom=None,
        metric="cosine",
        standardize=True,
        n_neighbors=5,
        index="exact",
        recall=0.99,
        n_jobs=None,
    ):
        self.pretrainer = pretrainer
        self.streams = streams
        self.volume_per_atom = volume_per_atom
        self.metric = metric
        self.standardize = standardize
        self.n_neighbors = n_neighbors
        self.index = index
        self.recall = recall
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Embed the structures among which to search.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Structures, or a table of embeddings.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted retriever.

        Raises
        ------
        ValueError
            If a stream does not exist, or an embedding is not finite.
        ImportError
            With ``index="faiss"``, if Faiss is not installed.
        """
        self._validate_params()
        self.__dict__.pop("_index", None)
        self.pretrainer_ = self._find_pretrainer(X)
        table, names = self._embed(X, reset=True)
        self._names = names
        blocks = find_blocks(names, table.shape[1])
        self.weights_ = resolve_weights(self.streams, blocks)
        self.effective_metric_ = self.metric
        self._scaler = BlockScaler.fit(table, blocks, self.weights_, self.metric, self.standardize)
        self.vectors_ = self._scaler.transform(table)
        self.n_samples_fit_ = len(table)
        self._centers, self.n_cells_searched_ = None, None
        self._index: ExactIndex | CellIndex
        self._build_index()
        return self

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the nearest structures.

        Parameters
        ----------
        X : array-like of shape (n_queries,) or (n_queries, n_columns), default=None
            Structures, or a table of embeddings. None asks for the neighbours of each structure
            seen in `fit`, which is then not its own neighbour.
        n_neighbors : int, default=None
            How many; the parameter of the constructor if None.
        return_distance : bool, default=True
            Whether to return distances.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Distances, ascending; only with `return_distance`.
        indices : ndarray of int64 of shape (n_queries, n_neighbors)
            Positions in the collection seen in `fit`.

        Raises
        ------
        ValueError
            If there are fewer structures than neighbours asked for, or an embedding is not finite.
        """
        check_is_fitted(self)
        n_neighbors = self._check_n_neighbors(n_neighbors, X is None)
        vectors = self.vectors_ if X is None else self._scaler.transform(self._embed(X)[0])
        parts = [
            self._search(vectors[rows], n_neighbors, rows.start if X is None else None)
            for rows in gen_batches(len(vectors), _QUERIES)
        ]
        squares, indices = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if not return_distance:
            return indices
        squares = np.maximum(squares, 0).astype(float)
        return squares / 2 if self.effective_metric_ == "cosine" else np.sqrt(squares), indices

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        """Find the nearest structures and give them as a sparse matrix.

        Parameters
        ----------
        X : array-like of shape (n_queries,) or (n_queries, n_columns), default=None
            As for :meth:`kneighbors`.
        n_neighbors : int, default=None
            How many; the parameter of the constructor if None.
        mode : {"connectivity", "distance"}, default="connectivity"
            Whether entries are ones or distances.

        Returns
        -------
        scipy.sparse.csr_matrix of shape (n_queries, n_samples_fit_)
            Row i holds the neighbours of query i.

        Raises
        ------
        ValueError
            If there is no such mode, or as for :meth:`kneighbors`.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(f'mode must be "connectivity" or "distance", but is {mode!r}.')
        distances, indices = self.kneighbors(X, n_neighbors)
        values = np.ones(indices.shape) if mode == "connectivity" else distances
        offsets = np.arange(len(indices) + 1) * indices.shape[1]
        shape = (len(indices), self.n_samples_fit_)
        return csr_matrix((values.ravel(), indices.ravel(), offsets), shape=shape)

    def _find_pretrainer(self, X):
        """What embeds, fitted."""
        source = self.pretrainer
        if source is None:
            return None
        if not hasattr(source, "transform"):
            return _load(source)
        if _is_fitted(source):
            return source
        if _is_table(X):
            raise ValueError(
                f"X is a table of embeddings, but {type(source).__name__} is not fitted. Fit it "
                "to structures first, or set pretrainer=None."
            )
        scaled = X if self.volume_per_atom is None else scale_volumes(X, self.volume_per_atom)
        return clone(source).fit(scaled)

    def _embed(self, X, reset=False):
        """Table of embeddings, all finite, and the names of its columns."""
        if self.pretrainer_ is None:
            table = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
            return table, list(getattr(self, "feature_names_in_", ())) or None
        if _is_table(X):
            table = X
        elif self.volume_per_atom is None:
            table = self.pretrainer_.transform(X)
        else:
            table = self.pretrainer_.transform(scale_volumes(X, self.volume_per_atom))
        names = _get_feature_names(table)
        names = None if names is None else names.tolist()
        if not reset and names != self._names:
            raise ValueError(
                f"The embeddings have the columns {_shown(names)}, but those seen in fit have "
                f"{_shown(self._names)}."
            )
        values = check_array(
            table, dtype=[np.float64, np.float32], ensure_all_finite=False, input_name="X"
        )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise ValueError(
                f"The embeddings of {len(bad)} structures are not finite, first in rows "
                f"{bad[:5].tolist()}. Drop these structures."
            )
        return values, names

    def _build_index(self):
        if self.index == "exact":
            self._index = ExactIndex(self.vectors_, self.n_jobs)
        else:
            cells = self._centers, self.n_cells_searched_
            self._index = CellIndex(self.vectors_, self.n_jobs, self.recall, *cells)
            self._centers, self.n_cells_searched_ = self._index.cells

    def _search(self, queries, n_neighbors, first_row):
        """Nearest vectors; of those from `first_row` on, not themselves."""
        if first_row is None:
            return self._index.search(queries, n_neighbors)
        squares, indices = self._index.search(queries, n_neighbors + 1)
        own = indices == first_row + np.arange(len(queries))[:, None]
        # Among more duplicates than were asked for, a vector may miss itself.
        own[~own.any(axis=1), -1] = True
        shape = (len(queries), n_neighbors)
        return squares[~own].reshape(shape), indices[~own].reshape(shape)

    def _check_n_neighbors(self, n_neighbors, without_self):
        n_neighbors = self.n_neighbors if n_neighbors is None else n_neighbors
        if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
            raise ValueError(f"n_neighbors must be a positive integer, but is {n_neighbors!r}.")
        available = self.n_samples_fit_ - without_self
        if n_neighbors > available:
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit, but n_neighbors = {n_neighbors} and there "
                f"are {available} structures to find (n_samples_fit = {self.n_samples_fit_})."
            )
        return n_neighbors

    def __sklearn_clone__(self):
        """A clone keeps a fitted pre-trainer, whose training must not be lost."""
        copy = super().__sklearn_clone__()
        if hasattr(self.pretrainer, "transform") and _is_fitted(self.pretrainer):
            copy.pretrainer = self.pretrainer
        return copy

    def __sklearn_is_fitted__(self):
        """A fit that failed half-way leaves attributes, but no index."""
        return "_index" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.pretrainer is None
        tags.input_tags.one_d_array = self.pretrainer is not None
        return tags

    def __getstate__(self):
        """Everything but the index, which follows from the rest."""
        return {k: v for k, v in super().__getstate__().items() if k != "_index"}

    def __setstate__(self, state):
        super().__setstate__(state)
        if "vectors_" in vars(self):
            self._build_index()

    def __trisk_state__(self):
        """Fitted attributes for :mod:`trisk.persistence`."""
        parameters = self.get_params(deep=False)
        state = {k: v for k, v in vars(self).items() if k not in parameters and k != "_index"}
        if self.pretrainer_ is self.pretrainer:
            del state["pretrainer_"]
        return state

    def __trisk_restore__(self, state):
        """Take fitted attributes back and rebuild the index."""
        self.__dict__.update({"pretrainer_": self.pretrainer} | state)
        self._build_index()


def _load(source):
    if source == "default":
        from trisk import TriForcesPretrainer

        return TriForcesPretrainer.from_pretrained(source)
    from trisk.persistence import load

    return load(source)


def _is_fitted(transformer):
    try:
        check_is_fitted(transformer)
    except NotFittedError:
        return False
    return True


def _is_table(X):
    """Whether X holds embeddings, not structures."""
    return getattr(X, "ndim", 1) == 2 and X.shape[1] > 1


def _shown(names):
    return "no names" if names is None else f"{names[:3]} and others, {len(names)} in all"

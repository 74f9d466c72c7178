"""StructureRetriever: the crystals nearest to a crystal, by streams of an embedding."""

import importlib.util
import re
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from threadpoolctl import ThreadpoolController

from trisk._compat import HasMethods, Interval, KNeighborsMixin, StrOptions
from trisk.estimators.base import NetworkEstimator
from trisk.structures import read_structures
from trisk.structures.graphs import CrystalGraphs, scale_volumes
from trisk.structures.readers import to_pymatgen

_NUMBERED = re.compile(r"(?P<block>.+) \d+")
#: Name of the one block of a table whose columns are not numbered by block.
_WHOLE = "all"
_ROWS = 50_000  # computed in double precision at once
_QUERIES = 20_000  # searched at once
# Of the clustering: cells per root of the number of vectors, vectors per cell, rounds.
_CELLS, _TRAINING_ROWS, _ROUNDS = 4, 64, 10
# Vectors and neighbours on which the recall is measured.
_SAMPLE, _SAMPLE_NEIGHBORS = 1000, 10


@dataclass(kw_only=True, repr=False, eq=False)
class StructureRetriever(KNeighborsMixin, BaseEstimator):
    """Finds the structures nearest to a structure by composition, by structure, or by both.

    A transformer embeds structures in blocks of columns, one per stream; distances are taken within
    chosen blocks. Works as :class:`sklearn.neighbors.NearestNeighbors` does, with ``kneighbors``
    and ``kneighbors_graph``, for thousands of structures exactly and for millions approximately.

    Parameters
    ----------
    pretrainer : transformer, str, path-like or None, default="default"
        What embeds structures: ``"default"`` or ``"molecules"`` for the networks of crystals and of
        molecules that come with trisk, a TriForces estimator, or any other transformer, such as a
        :class:`~trisk.featurizers.PowerSpectrumFeaturizer`; or the file of one. A fitted one is
        used as it is, also by clones; one that is not fitted is fitted to the structures. With
        None, tables of embeddings take the place of structures.
    streams : str, list of str or dict of str to float, default=None
        Blocks that count: one, several, or weights by block. A block is made of the columns
        ``"name 0"``, ``"name 1"``, …. None is all blocks with equal weight. A table whose columns
        are named otherwise is one block, ``"all"``.
    volume_per_atom : float, default=None
        Structures are scaled to this volume in Å³ per atom before they are embedded, so that those
        of one prototype are near each other whatever the size of their atoms; 20 is usual for
        inorganic crystals. The transformer then gets pymatgen's structures. None leaves them, and
        molecules, wires and slabs stay, as they have no volume.
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
    n_samples_fit_, effective_metric_ : int, str
        Number of structures, and the metric.
    n_cells_searched_ : int or None
        Cells that a search with ``index="faiss"`` looks into.
    n_features_in_, feature_names_in_ : int, ndarray of str objects of shape (n_features_in_,)
        Number of columns of the tables and their names, if strings; only with ``pretrainer=None``.

    See Also
    --------
    TriForcesRegressor, TriForcesPretrainer : Embed structures in three streams.
    trisk.featurizers.PowerSpectrumFeaturizer : Describes structures without training.
    sklearn.neighbors.NearestNeighbors : The same for points.

    Notes
    -----
    A DataFrame of what the transformer made of structures can take their place everywhere, so that
    they need not be embedded twice; with `volume_per_atom`, it must be one of scaled structures.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import StructureRetriever
    >>> from trisk.featurizers import PowerSpectrumFeaturizer
    >>> crystals = [bulk("Cu"), bulk("Fe"), bulk("Si"), bulk("Mg")]
    >>> spectrum = PowerSpectrumFeaturizer(volume_per_atom=20.0)
    >>> retriever = StructureRetriever(pretrainer=spectrum, standardize=False)
    >>> queries = [bulk("Al"), bulk("Ge")]
    >>> distances, indices = retriever.fit(crystals).kneighbors(queries, n_neighbors=1)
    >>> indices.ravel().tolist()
    [0, 2]
    """

    _parameter_constraints = {
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

    pretrainer: Any = "default"
    streams: Any = None
    volume_per_atom: float | None = None
    metric: str = "cosine"
    standardize: bool = True
    n_neighbors: int = 5
    index: str = "exact"
    recall: float = 0.99
    n_jobs: int | None = None

    save = NetworkEstimator.save

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
        """
        self._validate_params()
        self.__dict__.pop("_index", None)
        self.pretrainer_ = self._find_pretrainer(X)
        table, self._names = self._embed(X, reset=True)
        blocks = _find_blocks(self._names, table.shape[1])
        self.weights_ = _resolve_weights(self.streams, list(blocks))
        self.effective_metric_ = self.metric
        self._columns = {name: blocks[name] for name in self.weights_}
        self._mean = self._scale = None
        if self.standardize:
            scaler = StandardScaler()
            for rows in gen_batches(len(table), _ROWS):
                scaler.partial_fit(table[rows].astype(np.float64))
            self._mean, self._scale = scaler.mean_, np.sqrt(scaler.var_)
            # Rounding makes a constant column vary; blown up, it would be noise.
            self._scale[self._scale <= 1e-7 * np.abs(self._mean)] = np.inf
        self.vectors_ = self._to_vectors(table)
        self.n_samples_fit_ = len(table)
        self._centers, self.n_cells_searched_ = None, None
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
        """
        check_is_fitted(self)
        n_neighbors = self._check_n_neighbors(n_neighbors, X is None)
        vectors = self.vectors_ if X is None else self._to_vectors(self._embed(X)[0])
        parts = [
            self._search(vectors[rows], n_neighbors, rows.start if X is None else None)
            for rows in gen_batches(len(vectors), _QUERIES)
        ]
        squares, indices = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if not return_distance:
            return indices
        squares = np.maximum(squares, 0).astype(float)
        return squares / 2 if self.effective_metric_ == "cosine" else np.sqrt(squares), indices

    def _find_pretrainer(self, X):
        """What embeds, fitted."""
        source = self.pretrainer
        if source is None:
            return None
        if not hasattr(source, "transform"):
            from trisk.estimators.triforces import SHIPPED, load_pretrained
            from trisk.persistence import load

            return (load_pretrained if source in SHIPPED else load)(source)
        if _is_fitted(source):
            return source
        if _is_table(X):
            raise ValueError(
                f"X is a table of embeddings, but {type(source).__name__} is not fitted. Fit it "
                "to structures first, or set pretrainer=None."
            )
        return clone(source).fit(self._scaled(X))

    def _scaled(self, X):
        if self.volume_per_atom is None:
            return X
        atoms = scale_volumes(read_structures(X)[0], self.volume_per_atom)
        return [to_pymatgen(atoms, row) for row in range(len(atoms))]

    def _embed(self, X, reset=False):
        """Table of embeddings, all finite, and the names of its columns."""
        if self.pretrainer_ is None:
            table = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
            return table, list(getattr(self, "feature_names_in_", ())) or None
        table = X if _is_table(X) else self.pretrainer_.transform(self._scaled(X))
        names = list(getattr(table, "columns", ())) or None
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

    def _to_vectors(self, table):
        """Vectors whose squared distance is a weighted sum over blocks of columns."""
        width = sum(map(len, self._columns.values()))
        vectors = np.empty((len(table), width), dtype=np.float32)
        for rows in gen_batches(len(table), _ROWS):
            values, blocks = table[rows].astype(np.float64), []
            if self._mean is not None:
                values = (values - self._mean) / self._scale
            for name, own in self._columns.items():
                block = values[:, own]
                if self.effective_metric_ == "cosine":
                    norms = np.linalg.norm(block, axis=1, keepdims=True)
                    block /= np.where(norms > 0, norms, 1)
                elif self._mean is not None:
                    block /= np.sqrt(len(own))
                blocks.append(np.sqrt(self.weights_[name]) * block)
            vectors[rows] = np.hstack(blocks)
        return vectors

    def _build_index(self):
        if self.index == "exact":
            self._index: Any = _exact_index(self.vectors_, self.n_jobs)
        else:
            cells = self._centers, self.n_cells_searched_
            self._index = _CellIndex(self.vectors_, self.n_jobs, self.recall, *cells)
            self._centers, self.n_cells_searched_ = self._index.cells

    def _search(self, queries, n_neighbors, first_row):
        """Nearest vectors; of those from `first_row` on, not themselves."""
        if first_row is None:
            return self._index.kneighbors(queries, n_neighbors)
        squares, indices = self._index.kneighbors(queries, n_neighbors + 1)
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


class _CellIndex:
    """Compares with the vectors in the cells of a k-means clustering whose centres are nearest.

    The search is that of Faiss, an inverted file of whole vectors. So many cells are searched
    that ``recall`` of the nearest neighbours of sampled vectors is found; ``cells`` holds the
    centres and that number, from which the index can be built again.
    """

    def __init__(self, vectors, n_jobs, recall, centers=None, n_cells_searched=None):
        if importlib.util.find_spec("faiss") is None:
            raise ImportError('index="faiss" needs the package faiss-cpu: pip install faiss-cpu')
        import faiss  # before the libraries with threads are looked up

        if centers is not None and np.shape(centers)[1:] != vectors.shape[1:]:
            raise ValueError(
                f"centres of shape {np.shape(centers)} are no cells of vectors with "
                f"{vectors.shape[1]} dimensions"
            )
        self._vectors = vectors
        self._n_jobs = n_jobs
        self._libraries = ThreadpoolController()
        n_samples, n_dimensions = vectors.shape
        n_cells = max(1, min(round(_CELLS * np.sqrt(n_samples)), n_samples // _TRAINING_ROWS))
        n_cells = n_cells if centers is None else len(centers)
        nearest_center = faiss.IndexFlatL2(n_dimensions)
        self._lists = faiss.IndexIVFFlat(nearest_center, n_dimensions, n_cells)
        with self._threads():
            if centers is None:
                self._lists.cp.niter = _ROUNDS
                self._lists.cp.max_points_per_centroid = _TRAINING_ROWS
                self._lists.cp.min_points_per_centroid = 1
                self._lists.train(vectors)
                centers = nearest_center.reconstruct_n(0, n_cells)
            else:
                nearest_center.add(centers)
                self._lists.is_trained = True
            for rows in gen_batches(n_samples, _QUERIES):
                self._lists.add(vectors[rows])
            if n_cells_searched is None:
                n_cells_searched = self._calibrate(recall)
        self._lists.nprobe = n_cells_searched
        self.cells = centers, n_cells_searched

    def kneighbors(self, queries, n_neighbors):
        """Squared distances and rows of near vectors."""
        with self._threads():
            squares, indices = self._lists.search(queries, n_neighbors)
        few = np.flatnonzero((indices < 0).any(axis=1))
        if len(few):  # fewer vectors than asked for in the cells that were searched
            exact = _exact_index(self._vectors, self._n_jobs)
            squares[few], indices[few] = exact.kneighbors(queries[few], n_neighbors)
        return squares, indices

    def _threads(self):
        return self._libraries.limit(limits=effective_n_jobs(self._n_jobs))

    def _calibrate(self, recall):
        """Least number of cells in which this part of the true neighbours is found."""
        n_samples = len(self._vectors)
        rng = np.random.default_rng(0)
        sample = np.sort(rng.choice(n_samples, min(_SAMPLE, n_samples), replace=False))
        # Every vector finds itself; that is no merit.
        n_neighbors = min(_SAMPLE_NEIGHBORS + 1, n_samples)
        queries = self._vectors[sample]
        exact = _exact_index(self._vectors, self._n_jobs)
        expected = exact.kneighbors(queries, n_neighbors)[0][:, -1]
        n_cells = 1
        while n_cells < self._lists.nlist:
            self._lists.nprobe = n_cells
            squares, _ = self._lists.search(queries, n_neighbors)
            # By distance, as equal vectors may stand in for each other; float32 rounds it.
            found = (squares <= expected[:, None] * (1 + 1e-5) + 1e-7).sum(axis=1) - 1
            if found.mean() >= recall * (n_neighbors - 1):
                break
            n_cells = min(n_cells + max(1, n_cells // 4), self._lists.nlist)
        return n_cells


def _exact_index(vectors, n_jobs):
    return NearestNeighbors(algorithm="brute", metric="sqeuclidean", n_jobs=n_jobs).fit(vectors)


def _find_blocks(names, n_columns):
    """Columns by block, such as of "structure 0", "structure 1"; one of all if any has no block."""
    matches = [match for name in names or () if (match := _NUMBERED.fullmatch(name))]
    if len(matches) < n_columns:
        return {_WHOLE: np.arange(n_columns)}
    blocks = np.array([match["block"] for match in matches])
    return {str(name): np.flatnonzero(blocks == name) for name in dict.fromkeys(blocks)}


def _resolve_weights(streams, blocks):
    """Positive weights of the blocks that are asked for, which add up to 1."""
    if streams is None:
        streams = blocks
    if isinstance(streams, str):
        streams = [streams]
    if not isinstance(streams, dict):
        streams = list(streams)
        if len(set(streams)) < len(streams):
            raise ValueError(f"streams names a stream twice: {streams}.")
        streams = dict.fromkeys(streams, 1.0)
    unknown = [name for name in streams if name not in blocks]
    if unknown:
        raise ValueError(f"There is no stream {unknown[0]!r}; the embedding has {blocks}.")
    values = np.array(list(streams.values()), dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise ValueError(
            f"Weights of streams must be finite, not negative, and not all 0, but are {streams}."
        )
    return {n: w / values.sum() for n, w in zip(streams, values.tolist(), strict=True) if w > 0}


def _is_fitted(transformer):
    try:
        check_is_fitted(transformer)
    except NotFittedError:
        return False
    return True


def _is_table(X):
    """Whether X holds embeddings, not structures."""
    return not isinstance(X, CrystalGraphs) and getattr(X, "ndim", 1) == 2 and X.shape[1] > 1


def _shown(names):
    return "no names" if names is None else f"{names[:3]} and others, {len(names)} in all"

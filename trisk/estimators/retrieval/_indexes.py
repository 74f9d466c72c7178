"""Nearest vectors, found exactly or among the cells of a clustering."""

import importlib.util

import numpy as np
from joblib import effective_n_jobs
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from threadpoolctl import ThreadpoolController

_ROWS = 20_000  # searched or added at once
# Of the clustering: cells per root of the number of vectors, vectors per cell, rounds.
_CELLS, _TRAINING_ROWS, _ROUNDS = 4, 64, 10
# Vectors and neighbours on which the recall is measured.
_SAMPLE, _SAMPLE_NEIGHBORS = 1000, 10


class ExactIndex:
    """Compares with every vector.

    Parameters
    ----------
    vectors : ndarray of float32 of shape (n_samples, n_dimensions)
        Where to search.
    n_jobs : int or None
        Number of threads.
    """

    def __init__(self, vectors, n_jobs):
        self._neighbors = NearestNeighbors(
            algorithm="brute", metric="sqeuclidean", n_jobs=n_jobs
        ).fit(vectors)

    def search(self, queries, n_neighbors):
        """Find the nearest vectors.

        Parameters
        ----------
        queries : ndarray of float32 of shape (n_queries, n_dimensions)
            Where to look from.
        n_neighbors : int
            How many.

        Returns
        -------
        squares : ndarray of shape (n_queries, n_neighbors)
            Squared distances, ascending.
        indices : ndarray of int64 of shape (n_queries, n_neighbors)
            Rows of the vectors.
        """
        return self._neighbors.kneighbors(queries, n_neighbors)


class CellIndex:
    """Compares with the vectors in the cells of a k-means clustering whose centres are nearest.

    The search is that of Faiss, an inverted file of whole vectors [1]_.

    Parameters
    ----------
    vectors : ndarray of float32 of shape (n_samples, n_dimensions)
        Where to search.
    n_jobs : int or None
        Number of threads.
    recall : float
        Part of the ten nearest neighbours of sampled vectors that the search is to find; it
        decides how many cells are looked into.
    centers : ndarray of float32 of shape (n_cells, n_dimensions), default=None
        Centres of an earlier clustering; None clusters the vectors.
    n_cells_searched : int, default=None
        Number of cells, as it was decided earlier.

    Attributes
    ----------
    cells : tuple of ndarray and int
        Centres of the cells, and how many of them a search looks into.

    References
    ----------
    .. [1] M. Douze et al., "The Faiss library", arXiv:2401.08281 (2024).
    """

    def __init__(self, vectors, n_jobs, recall, centers=None, n_cells_searched=None):
        if importlib.util.find_spec("faiss") is None:
            raise ImportError('index="faiss" needs the package faiss-cpu: pip install faiss-cpu')
        import faiss  # before the libraries with threads are looked up  # noqa: F401

        if centers is not None and np.shape(centers)[1:] != vectors.shape[1:]:
            raise ValueError(
                f"centres of shape {np.shape(centers)} are no cells of vectors with "
                f"{vectors.shape[1]} dimensions"
            )
        self._vectors = vectors
        self._n_jobs = n_jobs
        self._libraries = ThreadpoolController()
        with self._threads():
            if centers is None:
                centers = self._cluster()
            self._lists = self._fill(centers)
            if n_cells_searched is None:
                n_cells_searched = self._calibrate(recall)
        self._lists.nprobe = n_cells_searched
        self.cells = centers, n_cells_searched

    def search(self, queries, n_neighbors):
        """Find near vectors; see :meth:`ExactIndex.search`.

        Parameters
        ----------
        queries : ndarray of float32 of shape (n_queries, n_dimensions)
            Where to look from.
        n_neighbors : int
            How many.

        Returns
        -------
        squares : ndarray of shape (n_queries, n_neighbors)
            Squared distances, ascending.
        indices : ndarray of int64 of shape (n_queries, n_neighbors)
            Rows of the vectors.
        """
        with self._threads():
            squares, indices = self._lists.search(queries, n_neighbors)
        few = np.flatnonzero((indices < 0).any(axis=1))
        if len(few):  # fewer vectors than asked for in the cells that were searched
            exact = ExactIndex(self._vectors, self._n_jobs)
            squares[few], indices[few] = exact.search(queries[few], n_neighbors)
        return squares, indices

    def _threads(self):
        return self._libraries.limit(limits=effective_n_jobs(self._n_jobs))

    def _cluster(self):
        import faiss

        n_samples, n_dimensions = self._vectors.shape
        n_cells = max(1, min(round(_CELLS * np.sqrt(n_samples)), n_samples // _TRAINING_ROWS))
        means = faiss.Kmeans(
            n_dimensions,
            n_cells,
            niter=_ROUNDS,
            max_points_per_centroid=_TRAINING_ROWS,
            min_points_per_centroid=1,
        )
        means.train(self._vectors)
        return means.centroids

    def _fill(self, centers):
        import faiss

        n_dimensions = self._vectors.shape[1]
        nearest_center = faiss.IndexFlatL2(n_dimensions)
        nearest_center.add(centers)
        lists = faiss.IndexIVFFlat(nearest_center, n_dimensions, len(centers))
        for rows in gen_batches(len(self._vectors), _ROWS):
            lists.add(self._vectors[rows])
        return lists

    def _calibrate(self, recall):
        """Least number of cells in which this part of the true neighbours is found."""
        n_samples = len(self._vectors)
        rng = np.random.default_rng(0)
        sample = np.sort(rng.choice(n_samples, min(_SAMPLE, n_samples), replace=False))
        # Every vector finds itself; that is no merit.
        n_neighbors = min(_SAMPLE_NEIGHBORS + 1, n_samples)
        queries = self._vectors[sample]
        expected = ExactIndex(self._vectors, self._n_jobs).search(queries, n_neighbors)[0][:, -1]
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

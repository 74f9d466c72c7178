"""Compositions as the fraction-weighted mean of element vectors learned elsewhere."""

import os

import numpy as np
from scipy.sparse import csr_array

from trisk.featurizers.composition._base import BaseCompositionFeaturizer
from trisk.featurizers.composition._element_vectors import load_element_vectors
from trisk.structures.elements import elements_without_data, impute_element_means
from trisk.structures.rows import RowError


class Mat2VecFeaturizer(BaseCompositionFeaturizer):
    """Fraction-weighted mean of element vectors, mat2vec's 200 components by default.

    mat2vec's vectors were learned from 3.3 million abstracts of materials science by predicting
    words from their neighbours: elements used in like contexts lie close together.

    Parameters
    ----------
    vectors : str or path-like, default="mat2vec"
        Where the element vectors come from.

        ============== ===================================================================
        "mat2vec"      the table of 118 elements that the ElementEmbeddings package ships
        another name   another table of that package: "cgnf", "chgnet", "chemeleon",
                       "crystallm", "mace_mp0", "magpie", "magpie_sc", "matscholar",
                       "matscibert", "megnet16", "oliynyk", "oliynyk_sc", "orb_v2",
                       "random_200", "sevennet", "skipatom", "xenonpy"
        a path         a file saved by gensim (``KeyedVectors`` or ``Word2Vec``, of any
                       version; the original mat2vec release ``pretrained_embeddings``
                       is one), or in the word2vec format (.txt, .vec, .bin)
        ============== ===================================================================

        gensim's own files are pickles, which can run code: load only those you trust.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for an element without a vector: the mean vector of the elements that have
        one, NaN, or an error of that row, treated as ``on_error`` says. The table "mat2vec"
        lacks none of the 118 elements.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows; None is 1, -1 all processors.

    Attributes
    ----------
    element_vectors_ : ndarray of shape (119, n_components)
        Vectors by atomic number, imputed as ``missing`` says; row 0 is NaN.
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize: row, formula, featurizer, cause.
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of components.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    References
    ----------
    .. [1] V. Tshitoyan et al., "Unsupervised word embeddings capture latent knowledge from
       materials science literature", Nature 571, 95-98 (2019), doi:10.1038/s41586-019-1335-8.
    .. [2] A. Onwuli, A. V. Hegde, K. V. T. Nguyen, K. T. Butler, A. Walsh, "Element similarity
       in high-dimensional materials representations", Digital Discovery 2, 1558-1564 (2023),
       doi:10.1039/D3DD00121K.

    Examples
    --------
    >>> from trisk.featurizers import Mat2VecFeaturizer
    >>> X = Mat2VecFeaturizer().fit_transform(["Fe2O3", "GaAs"])
    >>> X.shape, X.columns[0]
    ((2, 200), 'mat2vec 0')
    """

    _parameter_constraints: dict = {
        **BaseCompositionFeaturizer._parameter_constraints,
        "vectors": [str, os.PathLike],
    }

    def __init__(self, *, vectors="mat2vec", on_error="raise", missing="mean", n_jobs=None):
        super().__init__(on_error=on_error, missing=missing, n_jobs=n_jobs)
        self.vectors = vectors

    def _prepare(self):
        prefix, labels, vectors = load_element_vectors(self.vectors)
        self._labels = [f"{prefix} {label}" for label in labels]
        self.element_vectors_ = impute_element_means(vectors) if self.missing == "mean" else vectors

    def _feature_names(self):
        return list(self._labels)

    def _compute(self, table):
        shape = (table.n_rows, len(self.element_vectors_))
        fractions = csr_array((table.fractions, table.elements, table.offsets), shape=shape)
        values = fractions @ self.element_vectors_
        errors = []
        if self.missing == "raise":
            for row, symbols in elements_without_data(table, self.element_vectors_).items():
                values[row] = np.nan
                cause = (
                    f"vectors={str(self.vectors)!r} has no vector for {', '.join(symbols)}; "
                    'missing="mean" would impute one'
                )
                errors.append(RowError(row, table.formulas[row], type(self).__name__, cause))
        return values, errors

"""Columns learned elsewhere: element vectors such as mat2vec's, and a pre-trained encoder."""

import csv
import difflib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from trisk._encoder_weights import encoder_sizes, read_encoder
from trisk.featurizers.composition.base import BaseCompositionFeaturizer, ElementTableFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS, N_ELEMENTS

#: Names of the ElementEmbeddings package whose file is called otherwise.
_FILE_STEMS = {
    "crystallm": "crystallm_v24c.dim512_atom_vectors",
    "matscholar": "matscholar-embedding",
    "oliynyk": "oliynyk_preprocessed",
    "random_200": "random_200_new",
    "skipatom": "skipatom_20201009_induced",
    "xenonpy": "xenonpy_element_features",
}
_SCALES = {"atomic", "mod_petti"}  # one number per element: orders, not vectors


@dataclass(kw_only=True, repr=False, eq=False)
class Mat2VecFeaturizer(ElementTableFeaturizer):
    """Fraction-weighted mean of element vectors, mat2vec's 200 components by default.

    mat2vec's vectors were learned from 3.3 million abstracts of materials science [1]_: elements
    used in like contexts lie close together. [2]_ compares the tables.

    {Parameters to missing}
        What stands for an element without a vector ("mat2vec" lacks none): the mean vector of the
        others (but Nh to Og are an error), NaN, or an error of that row.
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

    Attributes
    ----------
    element_values_ : ndarray of shape (119, n_components)
        Vectors by atomic number, imputed as ``missing`` says; row 0 is NaN.

    References
    ----------
    .. [1] V. Tshitoyan et al., Nature 571, 95 (2019). https://doi.org/10.1038/s41586-019-1335-8
    .. [2] A. Onwuli et al., Digital Discovery 2, 1558 (2023). https://doi.org/10.1039/D3DD00121K

    Examples
    --------
    >>> from trisk.featurizers import Mat2VecFeaturizer
    >>> X = Mat2VecFeaturizer().fit_transform(["Fe2O3", "GaAs"])
    >>> X.shape, X.columns[0]
    ((2, 200), 'mat2vec 0')
    """

    vectors: str | os.PathLike = "mat2vec"

    _parameter_constraints = {
        "vectors": [str, os.PathLike],
    }

    def _prepare(self):
        prefix, labels, vectors = load_element_vectors(self.vectors)
        self._labels = [f"{prefix} {label}" for label in labels]
        self._names = [f"vector in {str(self.vectors)!r}"] * len(labels)
        self.element_values_ = self._impute(vectors)

    def _feature_names(self):
        return list(self._labels)

    def _compute(self, table):
        shape = (table.n_rows, len(self.element_values_))
        fractions = csr_array((table.fractions, table.elements, table.offsets), shape=shape)
        return fractions @ self.element_values_, self._missing_errors(table)


@dataclass(kw_only=True, repr=False, eq=False)
class PretrainedFeaturizer(BaseCompositionFeaturizer):
    """Calculated properties and an embedding, predicted from the composition alone.

    An encoder (attention among the elements of a formula, weighted by their fractions) was
    trained on the lowest formation energy and the band gap of 92,264 formulas of the Materials
    Project, with elements hidden in part of the rows [1]_. Its weights come with trisk; nothing
    is downloaded. What it knows of chemistry helps most where the task at hand has few rows.

    {Parameters to missing}
        Without effect: every element has a vector. Those of elements that no formula of the
        training data holds come from their Magpie properties and mat2vec vectors.
    weights : str or path-like, default="default"
        ``"default"`` for the weights that come with trisk, or a safetensors file written by
        ``tools/train_composition_encoder.py``.

    Attributes
    ----------
    encoder_, target_names_ : dict of str to ndarray, list of str
        The encoder's arrays, and what it predicts: formation energy (eV/atom), band gap of the most
        stable polymorph and largest band gap of any (eV), and the logit of being a metal.

    References
    ----------
    .. [1] A. Jain et al., APL Materials 1, 011002 (2013). https://doi.org/10.1063/1.4812323

    Examples
    --------
    >>> from trisk.featurizers import PretrainedFeaturizer
    >>> X = PretrainedFeaturizer().fit_transform(["NaCl", "Fe"])
    >>> X["Pretrained band gap"].round().astype(int).tolist()
    [5, 0]
    """

    weights: str | os.PathLike = "default"

    _parameter_constraints = {
        "weights": [str, os.PathLike],
    }

    def _prepare(self):
        self.encoder_, self.target_names_ = read_encoder(os.fspath(self.weights))

    def _feature_names(self):
        components = range(encoder_sizes(self.encoder_)["embedding_dim"])
        return [f"Pretrained {name}" for name in (*self.target_names_, *components)]

    def _compute(self, table):
        import torch

        from trisk.nn import CompositionEncoder

        encoder = CompositionEncoder(1, **encoder_sizes(self.encoder_))
        encoder.load_arrays({name: torch.from_numpy(a) for name, a in self.encoder_.items()})
        encoder.double()  # in single precision the last digits of a row would depend on its company
        tokens = np.zeros((2, table.n_rows, table.lengths.max()))
        tokens[:, table.rows, table.places] = table.elements, table.fractions
        with torch.inference_mode():
            embedding, answers = encoder(torch.from_numpy(np.concatenate(tokens, axis=1))[None])
        answers = answers[0].numpy() * self.encoder_["scale"] + self.encoder_["center"]
        return np.hstack([answers, embedding[0].numpy()]), []


def load_element_vectors(source):
    """Prefix and labels of the columns, and vectors by atomic number, of a table or gensim file."""
    if isinstance(source, str) and source in table_names():
        return (source, *_read_table(source))
    if os.path.isfile(source):  # noqa: PTH113 (False, too, for a name that is too long)
        return (Path(source).stem, *_read_gensim_file(Path(source)))
    close = difflib.get_close_matches(str(source), table_names(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"vectors={str(source)!r} is neither a file nor a table of the ElementEmbeddings "
        f"package.{hint} Its tables are {', '.join(table_names())}."
    )


@lru_cache(maxsize=1)
def table_names():
    """Names of the tables of the ElementEmbeddings package that hold element vectors, sorted."""
    stems = {path.stem for path in _table_folder().iterdir() if path.suffix in (".csv", ".json")}
    renamed = {name for name, stem in _FILE_STEMS.items() if stem in stems}
    return tuple(sorted((stems - set(_FILE_STEMS.values()) - _SCALES) | renamed))


def _table_folder():
    # Importing the package loads umap and numba, some 15 s; its files are all that is wanted.
    spec = find_spec("elementembeddings")
    if spec is None or spec.origin is None:
        raise ImportError(
            "the element vectors come with the ElementEmbeddings package: "
            "pip install ElementEmbeddings"
        )
    return Path(spec.origin).parent / "data" / "element_representations"


@lru_cache(maxsize=8)
def _read_table(name):
    path = _table_folder() / f"{_FILE_STEMS.get(name, name)}.csv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        labels = tuple(header[1:])
        rows = {line[0]: [float(field or "nan") for field in line[1:]] for line in lines if line}
    else:
        rows = json.loads(path.with_suffix(".json").read_text("utf-8"))
        labels = tuple(map(str, range(len(next(iter(rows.values()))))))
    return labels, _stack(rows, len(labels), name)


def _read_gensim_file(path):
    from gensim.models import KeyedVectors

    try:
        if path.suffix in (".txt", ".vec", ".bin"):
            loaded = KeyedVectors.load_word2vec_format(path, binary=path.suffix == ".bin")
        else:
            loaded = KeyedVectors.load(str(path))
        keyed = getattr(loaded, "wv", loaded)
        rows = {symbol: keyed[symbol] for symbol in ELEMENT_SYMBOLS if symbol in keyed}
        n_components = int(keyed.vector_size)
    except Exception as error:
        raise ValueError(
            f"could not read {path} as gensim KeyedVectors or Word2Vec "
            f"({type(error).__name__}: {error}); the .npy files that gensim saves beside a large "
            "model must lie in the same folder"
        ) from error
    return tuple(map(str, range(n_components))), _stack(rows, n_components, path)


def _stack(rows, n_components, source):
    vectors = np.full((N_ELEMENTS + 1, n_components), np.nan)
    known = [(z, s) for z, s in enumerate(ELEMENT_SYMBOLS, start=1) if s in rows]
    if not known:
        raise ValueError(f"{source} holds no vector under an element symbol such as 'Fe'")
    for z, symbol in known:
        vectors[z] = rows[symbol]
    vectors.setflags(write=False)
    return vectors

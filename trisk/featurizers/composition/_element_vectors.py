"""Element vectors from the ElementEmbeddings package or from a gensim file."""

import csv
import difflib
import json
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from trisk.structures.elements import ELEMENT_SYMBOLS, N_ELEMENTS

#: Names of that package whose file is called otherwise.
_FILE_STEMS = {
    "crystallm": "crystallm_v24c.dim512_atom_vectors",
    "matscholar": "matscholar-embedding",
    "oliynyk": "oliynyk_preprocessed",
    "random_200": "random_200_new",
    "skipatom": "skipatom_20201009_induced",
    "xenonpy": "xenonpy_element_features",
}
_SCALES = {"atomic", "mod_petti"}  # one number per element: orders, not vectors


def load_element_vectors(source):
    """Read element vectors by the name of a table or from a gensim file.

    Parameters
    ----------
    source : str or path-like
        Name of a table of the ElementEmbeddings package, or path of a gensim file.

    Returns
    -------
    prefix : str
        What column names start with: the table's name, or the file's without extension.
    labels : tuple of str
        Names of the components.
    vectors : ndarray of shape (119, n_components)
        Row ``Z`` belongs to atomic number ``Z``; NaN for elements without a vector.

    Raises
    ------
    ValueError
        When there is neither such a table nor such a file, or it holds no element.
    """
    path = Path(os.fspath(source))
    if isinstance(source, str) and source in table_names():
        return (source, *_read_table(source))
    if path.is_file():
        return (path.stem, *_read_gensim_file(path))
    close = difflib.get_close_matches(str(source), table_names(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"vectors={str(source)!r} is neither a file nor a table of the ElementEmbeddings "
        f"package.{hint} Its tables are {', '.join(table_names())}."
    )


@lru_cache(maxsize=1)
def table_names():
    """Names of the tables of the ElementEmbeddings package that hold element vectors.

    Returns
    -------
    tuple of str
        Sorted names.
    """
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
    stem = _FILE_STEMS.get(name, name)
    path = _table_folder() / f"{stem}.csv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        labels = tuple(header[1:])
        rows = {line[0]: [float(field or "nan") for field in line[1:]] for line in lines if line}
    else:
        rows = json.loads(path.with_suffix(".json").read_text("utf-8"))
        labels = tuple(str(place) for place in range(len(next(iter(rows.values())))))
    return labels, _stack(rows, len(labels), name)


def _read_gensim_file(path):
    try:
        from gensim.models import KeyedVectors
    except ImportError as error:
        raise ImportError(f"reading {path} needs gensim: pip install gensim") from error
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
    labels = tuple(str(place) for place in range(n_components))
    return labels, _stack(rows, n_components, path)


def _stack(rows, n_components, source):
    vectors = np.full((N_ELEMENTS + 1, n_components), np.nan)
    found = False
    for z, symbol in enumerate(ELEMENT_SYMBOLS, start=1):
        if symbol in rows:
            vectors[z], found = rows[symbol], True
    if not found:
        raise ValueError(f"{source} holds no vector under an element symbol such as 'Fe'")
    vectors.setflags(write=False)
    return vectors

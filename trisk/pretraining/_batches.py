"""What the encoder reads: element properties, and compositions in groups of equal length."""

import numpy as np
import torch

from trisk.featurizers.composition._element_vectors import load_element_vectors
from trisk.structures.elements import impute_element_means, read_element_table


def element_properties():
    """Standardised Magpie properties and mat2vec vectors of the elements.

    Returns
    -------
    ndarray of float32 of shape (119, 222)
        Rows by atomic number; row 0 is zero.
    """
    _, magpie = read_element_table("magpie_elements.csv")
    _, _, mat2vec = load_element_vectors("mat2vec")
    values = impute_element_means(np.hstack([magpie, mat2vec]))
    values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    values[:, magpie.shape[1] :] /= 3  # 200 components would drown 22 properties
    values[0] = 0
    return np.clip(values, -4, 4).astype(np.float32)


def grouped_batch(table, rows):
    """Rows of a composition table as the encoder reads them.

    Parameters
    ----------
    table : CompositionTable
        All compositions.
    rows : ndarray of int of shape (n_rows,)
        Those wanted.

    Returns
    -------
    rows : ndarray of int
        The same rows in the order of the batch.
    groups : list of tuple of Tensor of shape (n_rows, n_elements)
        Elements and fractions of the rows that have equally many.
    """
    rows = rows[np.argsort(table.lengths[rows], kind="stable")]
    batch = table.take(rows)
    lengths, counts = np.unique(batch.lengths, return_counts=True)
    fractions = torch.from_numpy(batch.fractions.astype(np.float32))
    sizes = (counts * lengths).tolist()
    parts = zip(
        torch.from_numpy(batch.elements).split(sizes), fractions.split(sizes), lengths, strict=True
    )
    return rows, [(e.view(-1, length).clone(), f.view(-1, length)) for e, f, length in parts]

"""What the encoder reads: element properties, and compositions as flat tensors."""

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


def flat_batch(table, rows):
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
    elements, fractions : Tensor of shape (n_entries,)
        Flat, sorted by number of elements.
    groups : list of tuple of int
        How many rows, and of how many elements each.
    """
    rows = rows[np.argsort(table.lengths[rows], kind="stable")]
    batch = table.take(rows)
    lengths, counts = np.unique(batch.lengths, return_counts=True)
    groups = list(zip(counts.tolist(), lengths.tolist(), strict=True))
    fractions = torch.from_numpy(batch.fractions.astype(np.float32))
    return rows, torch.from_numpy(batch.elements), fractions, groups

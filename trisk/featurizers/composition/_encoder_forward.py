"""The forward pass of ``trisk.nn.CompositionEncoder`` in numpy."""

import numpy as np

#: Cosines of the fraction that a token sees, in cycles between pure and absent.
_FREQUENCIES = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
_FLOOR = 1e-4
_EPSILON = 1e-5  # of layer normalisation


def encode_compositions(weights, table):
    """Embed compositions and read off the encoder's answers.

    Rows of equally many elements are computed together, so that nothing is padded.

    Parameters
    ----------
    weights : dict of str to ndarray
        The encoder's arrays, as ``trisk.pretraining`` writes them.
    table : CompositionTable
        Parsed compositions without empty rows.

    Returns
    -------
    answers : ndarray of shape (n_rows, n_outputs)
        In the units of the targets.
    embedding : ndarray of shape (n_rows, embedding_dim)
        The vector they are read from.
    """
    # In single precision the last digits of a row would depend on its company.
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    embedding = np.empty((table.n_rows, len(weights["narrow.bias"])))
    for length in np.unique(table.lengths):
        rows = np.flatnonzero(table.lengths == length)
        entries = table.offsets[rows, None] + np.arange(length)
        embedding[rows] = _embed(weights, table.elements[entries], table.fractions[entries])
    answers = _linear(weights, "answer", _silu(embedding))
    return answers * weights["scale"] + weights["center"], embedding


def _embed(weights, elements, fractions):
    """Embed rows of equally many elements; both arguments of shape (n_rows, length)."""
    logarithms = np.log(np.maximum(fractions, _FLOOR))
    waves = np.cos(2 * np.pi * fractions[..., None] * _FREQUENCIES)
    scales = np.stack([fractions, (logarithms - np.log(_FLOOR)) / 10], axis=-1)
    tokens = weights["element"][elements]
    tokens = tokens + _linear(weights, "fraction", np.concatenate([scales, waves], axis=-1))
    n_layers = sum(name.endswith("weight_of_fraction") for name in weights)
    for layer in range(n_layers):
        tokens = _attend(weights, f"layers.{layer}", tokens, logarithms)
    tokens = _normalize(weights, "norm", tokens)
    shares = _softmax(_linear(weights, "pool", tokens) + logarithms[..., None], axis=1)
    n_rows, length, dim = tokens.shape
    heads = tokens.reshape(n_rows, length, shares.shape[-1], -1)
    attended = np.einsum("nlh,nlhd->nhd", shares, heads).reshape(n_rows, dim)
    mean = np.einsum("nl,nld->nd", fractions, tokens)
    pooled = np.concatenate([attended, mean], axis=1)
    return _linear(weights, "narrow", _silu(_linear(weights, "widen", pooled)))


def _attend(weights, layer, tokens, logarithms):
    """One layer: attention among the elements of a row, then an update of every token."""
    n_rows, length, dim = tokens.shape
    of_fraction = weights[f"{layer}.weight_of_fraction"]
    n_heads = len(of_fraction)
    projected = _linear(
        weights, f"{layer}.project", _normalize(weights, f"{layer}.norm_attention", tokens)
    )
    # (3, n_rows, n_heads, length, dim / n_heads)
    query, key, value = projected.reshape(n_rows, length, 3, n_heads, -1).transpose(2, 0, 3, 1, 4)
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(dim // n_heads)
    bias = logarithms[:, None, None, :] * of_fraction[:, None, None]
    attended = _softmax(scores + bias, axis=-1) @ value
    attended = attended.transpose(0, 2, 1, 3).reshape(n_rows, length, dim)
    tokens = tokens + _linear(weights, f"{layer}.join", attended)
    update = _normalize(weights, f"{layer}.norm_update", tokens)
    return tokens + _linear(
        weights, f"{layer}.narrow", _silu(_linear(weights, f"{layer}.widen", update))
    )


def _linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _normalize(weights, name, x):
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    scaled = centered / np.sqrt(variance + _EPSILON)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _silu(x):
    # exp overflows to infinity for very negative x, where x / (1 + inf) is the right limit, zero.
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(-x))


def _softmax(x, axis):
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)

"""Weights of a composition encoder: those that come with trisk, or a file of one's own."""

import json
from pathlib import Path

import numpy as np

from trisk.data import data_file


def read_encoder(source):
    """Read arrays and names of targets from a file of weights.

    Parameters
    ----------
    source : str
        ``"default"`` for the weights that come with trisk, or the path of a safetensors file.

    Returns
    -------
    arrays : dict of str to ndarray of float32
        The encoder's arrays.
    targets : list of str
        What it predicts.

    Raises
    ------
    ValueError
        If there is no such file, or it holds no weights.
    """
    from safetensors import SafetensorError, safe_open

    if source == "default":
        path = data_file("composition_encoder.safetensors")
    else:
        path = Path(source)
    if not path.is_file():
        raise ValueError(
            f'weights={source!r} is neither "default" nor a file; '
            "benchmarks/pretrain_compositions.py writes one"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            arrays = {name: file.get_tensor(name).astype(np.float32) for name in names}
            targets = json.loads((file.metadata() or {})["targets"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"weights={source!r} is not a file of encoder weights ({type(error).__name__}: {error})"
        ) from error
    return arrays, targets

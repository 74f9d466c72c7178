"""Weights of a composition encoder: those that come with trisk, or a file of one's own."""

import json
import os

import numpy as np

from trisk.data import data_file


def read_encoder(source):
    """Arrays and names of targets from the file of weights, or from "default", those that ship."""
    from safetensors import SafetensorError, safe_open

    path = data_file("composition_encoder.safetensors") if source == "default" else source
    if not os.path.isfile(path):  # noqa: PTH113 (False, too, for a name that is too long)
        raise ValueError(
            f'weights={source!r} is neither "default" nor a file; '
            "tools/train_composition_encoder.py writes one"
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


def encoder_sizes(arrays):
    """Parameters of the CompositionEncoder that takes these arrays."""
    return {
        "dim": arrays["element"].shape[1],
        "n_layers": sum(name.endswith("weight_of_fraction") for name in arrays),
        "n_heads": len(arrays["pool.bias"]),
        "embedding_dim": len(arrays["narrow.bias"]),
        "n_answers": len(arrays["answer.bias"]),
    }

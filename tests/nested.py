"""Small estimators: from flat settings, each where the estimator has it, and from small weights."""

import tempfile
from pathlib import Path

from safetensors.torch import save_file

from trisk.nn import CompositionEncoderNetwork


def make(cls, **settings):
    """An estimator; settings of its network and its training need no prefix."""
    estimator = cls()
    known = estimator.get_params(deep=True)
    for name, value in settings.items():
        places = [p for p in (name, f"network__{name}", f"training__{name}") if p in known]
        if not places:
            raise TypeError(f"{cls.__name__} and its nested parameters have no {name!r}")
        estimator.set_params(**{places[0]: value})
    return estimator


def small_encoder():
    """Path of the weights of a small encoder that knows nothing, always the same."""
    sizes = {"dim": 8, "n_layers": 1, "n_heads": 2, "embedding_dim": 6, "n_answers": 2}
    path = Path(tempfile.gettempdir()) / "trisk_small_encoder.safetensors"
    arrays = CompositionEncoderNetwork([0], 1, **sizes).encoder.arrays()
    save_file(arrays, path, metadata={"targets": '["first", "second"]'})
    return str(path)

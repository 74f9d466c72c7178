"""A small network and rows for it."""

import pytest
import torch

from trisk.nn import HybridTRIADSNetwork, InputLayout

_SMALL = {
    "attention_dim": 8,
    "n_attention_layers": 1,
    "n_heads": 2,
    "shared_projection": False,
    "embedding_dim": 3,
    "n_frequencies": 4,
    "frequency_scale": 0.7,
    "hidden_dim": 10,
    "feedforward_dim": 12,
    "n_steps": 3,
    "dropout": 0.2,
    "confidence": False,
}
_LAYOUT = InputLayout(n_tokens=3, token_width=2, n_context=5, n_rest=4)


@pytest.fixture
def make_network():
    """Build a small network in double precision; keywords override its parameters."""

    def make(seeds, layout=_LAYOUT, n_outputs=2, **overrides):
        return HybridTRIADSNetwork(seeds, layout, n_outputs, **{**_SMALL, **overrides}).double()

    return make


@pytest.fixture
def rows():
    """Seven rows for the small network, ``(7, 15)``."""
    return torch.randn(7, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

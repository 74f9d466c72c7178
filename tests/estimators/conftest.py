"""Real formulas, their features, and parameters that fit them in a moment."""

import pytest
import torch

from trisk.datasets import load_band_gaps
from trisk.featurizers import CompositionFeaturizer, MagpieFeaturizer


@pytest.fixture(scope="session")
def small():
    """Parameters of a small network, trained briefly."""
    return {
        "n_members": 2,
        "max_epochs": 8,
        "hidden_dim": 16,
        "feedforward_dim": 24,
        "n_steps": 2,
        "batch_size": 64,
        "random_state": 0,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def formulas():
    """Every third formula of the shipped band gaps."""
    return load_band_gaps()[0][::3]


@pytest.fixture(scope="module")
def gaps():
    """Their band gaps in eV."""
    return load_band_gaps()[1][::3]


@pytest.fixture(scope="module")
def features(formulas):
    """Their Magpie columns, named."""
    return MagpieFeaturizer().fit_transform(formulas)


@pytest.fixture(scope="module")
def steels_features(formulas):
    """Columns of the published TRIADS model for steels, named."""
    return CompositionFeaturizer(preset="published_steels").fit_transform(formulas)


@pytest.fixture
def one_thread():
    """Torch on one thread, as joblib's workers have it."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)

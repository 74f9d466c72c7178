"""One fit of every small model for all tests of this folder."""

import functools

import pytest
import torch

from reliability.models import case


@functools.cache
def _fitted(name):
    subject = case(name)
    return subject, subject.fit()


@pytest.fixture(scope="session")
def fitted():
    """By name: a case and its fitted model, which no test may change."""
    return _fitted


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are faster on one thread, also where others compute."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)

"""Precision of predictions, devices that are not here, and memory that runs out."""

import time

import numpy as np
import pytest
import torch
from nested import make
from sklearn.base import clone
from skorch.callbacks import Callback

from trisk.estimators import GraphTRIADSRegressor, HybridTRIADSRegressor
from trisk.featurizers import CrystalGraphFeaturizer
from trisk.testing import make_structures
from trisk.training import net
from trisk.training.datasets import prefetched
from trisk.training.net import resolve_device

SMALL = {"n_members": 2, "max_epochs": 4, "batch_size": 16, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).uniform(size=(60, 4))
    return X, X[:, 0] * X[:, 1]


def test_single_precision_is_near_double(table):
    double, single = (
        make(HybridTRIADSRegressor, precision=p, **SMALL).fit(*table) for p in ("auto", "single")
    )
    assert next(double.net_.module_.parameters()).dtype == torch.float64
    assert next(single.net_.module_.parameters()).dtype == torch.float32
    np.testing.assert_allclose(single.predict(table[0]), double.predict(table[0]), rtol=1e-4)


def test_single_precision_of_graphs():
    structures, frequency, _ = make_structures(16)
    graphs = CrystalGraphFeaturizer().fit_transform(structures)
    double, single = (
        make(GraphTRIADSRegressor, precision=p, **SMALL).fit(graphs, frequency).predict(graphs)
        for p in ("double", "single")
    )
    np.testing.assert_allclose(single, double, rtol=1e-4)


class _FullOnce(Callback):
    """A device whose memory runs out in the first step of an epoch."""

    def __init__(self, n_times, first_epoch=1):
        self.n_left, self.first_epoch = n_times, first_epoch

    def on_grad_computed(self, net, **kwargs):
        if self.n_left and len(net.history) >= self.first_epoch:
            self.n_left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_memory_that_runs_out_halves_the_batch_once(table, tmp_path):
    expected = make(HybridTRIADSRegressor, **{**SMALL, "batch_size": 8}).fit(*table)
    model = make(HybridTRIADSRegressor, callbacks=[_FullOnce(1)], **SMALL)
    with pytest.warns(UserWarning, match="too little memory for batches of 16; .* anew with 8"):
        model.fit(*table)
    np.testing.assert_array_equal(model.predict(table[0]), expected.predict(table[0]))
    # What a checkpoint holds of the first try is not gone on with.
    late = _FullOnce(1, first_epoch=3)
    model.set_params(callbacks=[late], checkpoint=tmp_path / "checkpoint")
    with pytest.warns(UserWarning, match="too little memory"):
        model.fit(*table)
    np.testing.assert_array_equal(model.predict(table[0]), expected.predict(table[0]))
    model.set_params(callbacks=[_FullOnce(2)], checkpoint=None)
    with (
        pytest.raises(torch.OutOfMemoryError),
        pytest.warns(UserWarning, match="too little memory"),
    ):
        model.fit(*table)


@pytest.mark.parametrize("device", ["cuda", "mps", "xpu", "cuda:1"])
def test_a_device_that_is_not_here_is_the_cpu(device, monkeypatch):
    for backend in (torch.cuda, torch.backends.mps, torch.xpu):
        monkeypatch.setattr(backend, "is_available", lambda: False)
    with pytest.warns(UserWarning, match=f"There is no device '{device}' here"):
        assert resolve_device(device) == "cpu"
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"


def test_a_gpu_without_free_memory_is_left_to_others(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**20, 2**33))
    with pytest.warns(UserWarning, match="1 MiB free; using the CPU"):
        assert resolve_device("auto") == "cpu"

    def full():
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    with pytest.warns(UserWarning, match="0 MiB free; using the CPU"):
        assert resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**32, 2**33))
    assert resolve_device("auto") == "cuda"


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_batches_are_all_served_and_made_ahead_for_a_device(device):
    made = []

    def batches():
        for number in range(4):
            made.append(number)
            yield number
        raise ValueError("a bad batch")

    served = prefetched(batches(), device)
    assert next(served) == 0
    if device != "cpu":
        for _ in range(200):  # in another thread
            time.sleep(0.01 * (len(made) < 2))
    assert made == ([0] if device == "cpu" else [0, 1])
    assert [next(served) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ValueError, match="a bad batch"):
        next(served)


def test_training_with_batches_made_ahead_is_the_same(monkeypatch):
    structures, frequency, _ = make_structures(16)
    graphs = CrystalGraphFeaturizer().fit_transform(structures)
    model = make(GraphTRIADSRegressor, **SMALL)
    expected = model.fit(graphs, frequency).predict(graphs)
    ahead = lambda batches, device: prefetched(batches, "cuda")  # noqa: E731
    monkeypatch.setattr(net, "prefetched", ahead)
    np.testing.assert_array_equal(clone(model).fit(graphs, frequency).predict(graphs), expected)

"""What a CPU and CUDA owe each other; docs/reliability.md states the same tolerances."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import trisk
from reliability.models import case, flatten
from reliability.save_models import from_plain
from trisk.estimators.graphs._batches import collate

_DEVICE = "cuda"
_on_cuda = pytest.mark.skipif(
    _DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs CUDA"
)
# Of the largest value. Predictions are in double precision everywhere; fits are in single
# precision, which drifts apart; bfloat16 has three digits.
_PREDICTIONS, _FITS, _MIXED_FITS = 1e-9, 1e-2, 1e-1

_NAMES = (
    "HybridTRIADSRegressor",
    "HybridTRIADSClassifier-attention",
    "CompositionEncoderRegressor",
    "GraphTRIADSRegressor",
    "GraphTRIADSClassifier",
    "TriForcesRegressor",
    "TriForcesPretrainer",
    "TriForcesPotential",
)
_KEPT = sorted((Path(__file__).parents[1] / "data").glob("models_*"))[-1]
_ASK = """
import json, sys
import trisk
from reliability.models import flatten
from reliability.save_models import from_plain
import torch
assert not torch.cuda.is_available()
path, kept, name = sys.argv[1:]
known = json.loads(open(kept).read())[name]
model = trisk.load(path)
X = from_plain(known["inputs"], known["X"])
print(json.dumps(flatten(getattr(model, known["method"])(X)).tolist()))
"""


def _on(device, model):
    """The model with its parameters for the device set."""
    names = [p for p in model.get_params() if p.split("__")[-1] == "device"]
    assert names
    return model.set_params(**dict.fromkeys(names, device))


def _devices(model):
    """Types of the devices where the model's weights are."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    nets = getattr(last, "nets_", None) or [last.net_]
    return {p.device.type for net in nets for p in net.module_.parameters()}


def _assert_close(found, expected, tolerance):
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def _known(name):
    known = json.loads((_KEPT / "answers.json").read_text())[name]
    return known["method"], from_plain(known["inputs"], known["X"]), known["answer"]


@_on_cuda
@pytest.mark.parametrize("name", _NAMES)
def test_model_of_a_cpu__predicts_the_same_on_cuda(name, tmp_path):
    method, X, expected = _known(name)
    on_cpu = trisk.load(_KEPT / f"{name}.trisk")
    answer = flatten(getattr(on_cpu, method)(X))
    trisk.save(_on(_DEVICE, on_cpu), tmp_path / "model.trisk")
    model = trisk.load(tmp_path / "model.trisk")
    assert _devices(model) == {_DEVICE}
    _assert_close(flatten(getattr(model, method)(X)), answer, _PREDICTIONS)
    _assert_close(answer, expected, 1e-6)


@_on_cuda
@pytest.mark.parametrize("name", _NAMES)
def test_model_of_cuda__loads_and_predicts_the_same_without_cuda(name, tmp_path):
    subject = case(name)
    method, X, golden = _known(name)
    model = _on(_DEVICE, subject.build()).fit(*subject.data())
    assert _devices(model) == {_DEVICE}
    answer = flatten(getattr(model, method)(X))
    _assert_close(answer, golden, _FITS)
    path = tmp_path / "model.trisk"
    trisk.save(model, path)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK, path, _KEPT / "answers.json", name],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    _assert_close(json.loads(ran.stdout), answer, _PREDICTIONS)


@_on_cuda
def test_mixed_precision__trains_to_about_the_same():
    subject = case("GraphTRIADSRegressor")
    X, y = subject.data()
    answers = []
    for mixed in (False, True):
        model = _on(_DEVICE, subject.build())
        model[-1].set_params(mixed_precision=mixed)
        answers.append(model.fit(X, y).predict(X))
        weights = model[-1].net_.module_.state_dict().values()
        assert all(torch.isfinite(w).all() for w in weights)
    _assert_close(answers[1], answers[0], _MIXED_FITS)


def test_mixed_precision__on_a_cpu_gives_nearly_the_same_outputs_and_gradients(fitted):
    """The arithmetic that CUDA does with ``mixed_precision``, where there is no CUDA."""
    subject, model = fitted("GraphTRIADSRegressor")
    X, _ = subject.data()
    estimator = model[-1]
    graphs = estimator.scaler_.transform(model[:-1].transform(X))
    batch = collate(graphs, "cpu", torch.float32)
    net = estimator.net_.with_members(slice(None))  # a copy of the weights
    module, found = net.module_.float(), []
    for mixed in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            answer = module(batch)["answer"].float()
        gradients = torch.autograd.grad(answer.square().sum(), module.head.weight)
        assert gradients[0].dtype == torch.float32
        found.append((answer.detach().numpy(), gradients[0].numpy()))
    for full, mixed in zip(*found, strict=True):
        assert np.isfinite(mixed).all()
        assert np.abs(full - mixed).max() > 0
        _assert_close(mixed, full, 0.05)

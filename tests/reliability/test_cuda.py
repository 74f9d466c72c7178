"""What a CPU and CUDA owe each other; docs/reliability.md states the same tolerances."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import trisk
from reliability.models import case
from trisk.estimators.graph import collate

_on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
# Of the largest value. Predictions are in single precision on a device unless double is asked
# for; fits are in single precision, which drifts apart; bfloat16 has three digits.
_PREDICTIONS, _DOUBLE, _FITS, _MIXED_FITS = 1e-4, 1e-9, 1e-2, 1e-1

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
_ASK = """
import json, sys, torch, trisk
from reliability.models import case
assert not torch.cuda.is_available()
subject = case(sys.argv[2])
print(json.dumps(subject.ask(trisk.load(sys.argv[1]), subject.data()[0]).tolist()))
"""


def _devices(model):
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return {p.device.type for net in last.nets_ for p in net.module_.parameters()}


def _on(device, model):
    names = [p for p in model.get_params() if p.split("__")[-1] == "device"]
    return model.set_params(**dict.fromkeys(names, device))


def _assert_close(found, expected, tolerance):
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", _NAMES)
def test_load__places_networks_where_it_is_told(fitted, name, tmp_path):
    trisk.save(fitted(name)[1], tmp_path / "model.trisk")
    assert _devices(trisk.load(tmp_path / "model.trisk", device="meta")) == {"meta"}


@pytest.mark.filterwarnings("ignore:There is no device 'cuda'")
@pytest.mark.parametrize("name", _NAMES)
def test_model_of_a_cpu__predicts_the_same_on_cuda_if_there_is_one(fitted, name, tmp_path):
    subject, model = fitted(name)
    X = subject.data()[0]
    trisk.save(model, tmp_path / "model.trisk")
    on_cuda = trisk.load(tmp_path / "model.trisk", device="cuda")
    assert _devices(on_cuda) == {"cuda" if torch.cuda.is_available() else "cpu"}
    _assert_close(subject.ask(on_cuda, X), subject.ask(model, X), _PREDICTIONS)


@_on_cuda
@pytest.mark.parametrize("name", _NAMES)
def test_model_of_cuda__predicts_the_same_without(fitted, name, tmp_path):
    subject, on_cpu = fitted(name)
    X, y = subject.data()
    model = _on("cuda", subject.build()).fit(X, y)
    assert _devices(model) == {"cuda"}
    answer = subject.ask(model, X)
    _assert_close(answer, subject.ask(on_cpu, X), _FITS)
    trisk.save(model, tmp_path / "model.trisk")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK, tmp_path / "model.trisk", name],
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
        model = _on("cuda", subject.build())
        model[-1].set_params(training__mixed_precision=mixed)
        answers.append(model.fit(X, y).predict(X))
    _assert_close(answers[1], answers[0], _MIXED_FITS)


def test_mixed_precision__on_a_cpu_gives_nearly_the_same_outputs_and_gradients(fitted):
    """The arithmetic that CUDA does with ``mixed_precision``, where there is no CUDA."""
    subject, model = fitted("GraphTRIADSRegressor")
    X, _ = subject.data()
    estimator = model[-1]
    graphs = estimator.scaler_.transform(model[:-1].transform(X))
    batch = collate(graphs, "cpu", torch.float32)
    module, found = copy.deepcopy(estimator.net_.module_).float(), []
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

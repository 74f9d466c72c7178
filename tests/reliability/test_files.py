"""Damaged and forged model files, a few and many; and networks that no machine can hold."""

import io
import json
import signal
import zipfile

import numpy as np
import pytest

import trisk
from reliability.fuzz import MODELS, FileFuzzer
from trisk.persistence import ModelFileError

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")


_FEW = ("HybridTRIADSRegressor-stacked", "TriForcesPotential", "StructureRetriever")


@pytest.mark.parametrize(
    ("models", "n_files"),
    [
        (_FEW, 60),
        pytest.param(MODELS[::2], 1500, marks=pytest.mark.slow),
        pytest.param(MODELS[1::2], 1500, marks=pytest.mark.slow),
    ],
)
def test_damaged_and_forged_files__are_refused_or_predict(tmp_path, models, n_files):
    assert FileFuzzer(tmp_path, models).run(range(n_files))["failures"] == []


def test_fuzzer_that_fails__leaves_no_timer_that_ends_the_next_test(tmp_path):
    fuzzer = FileFuzzer(tmp_path, models=())
    with pytest.raises(ZeroDivisionError):
        fuzzer.run([0])
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


@pytest.fixture
def refusal(fitted, tmp_path):
    """Save a model, change its description and arrays, and load: the message."""

    def refusal(name, change):
        path = tmp_path / "model.trisk"
        trisk.save(fitted(name)[1], path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        description = json.loads(members.pop("schema.json"))
        change(description, members)
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            archive.writestr("schema.json", json.dumps(description))
        with pytest.raises(ModelFileError) as caught:
            trisk.load(path)
        return str(caught.value)

    return refusal


def _dicts(value, *keys):
    """Contents of the dictionaries of a description that have these keys."""
    if isinstance(value, dict):
        if set(keys) <= set(value):
            yield value
        value = list(value.values())
    for child in value if isinstance(value, list) else ():
        yield from _dicts(child, *keys)


def _plain(value):
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
            "content": json.dumps(value)}  # fmt: skip


@pytest.mark.parametrize("name", ["hidden_dim", "feedforward_dim", "n_frequencies", "n_steps"])
@pytest.mark.parametrize("value", [10**6, 2**31, 10**12])
def test_network_far_larger_than_its_weights(refusal, name, value):
    def widen(description, _):
        for architecture in _dicts(description, "seeds", name):
            architecture[name] = _plain(value)

    assert "far larger than its weights" in refusal("HybridTRIADSRegressor", widen)


@pytest.mark.parametrize("name", ["HybridTRIADSRegressor", "TriForcesRegressor"])
def test_network_that_is_padded_to_look_large(refusal, name):
    def widen(description, members):
        for architecture in _dicts(description, "hidden_dim", "n_outputs"):
            architecture["hidden_dim"] = _plain(20_000)
        for net in _dicts(description, "weights", "history"):
            buffer = io.BytesIO()
            np.save(buffer, np.zeros(20_000, dtype=np.float32))
            members["padding.npy"] = buffer.getvalue()
            net["weights"]["content"]["padding"] = {
                "__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode",
                "type": "numpy", "file": "padding.npy", "__id__": 1,
            }  # fmt: skip
            text = {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}
            net["weights"]["key_types"]["content"].append(text)

    assert "do not fit its parameters" in refusal(name, widen)


@pytest.mark.parametrize("name", ["StructureRetriever", "CrystalGraphFeaturizer"])
def test_neighbours_up_to_the_stars(refusal, name):
    def reach(description, _):
        for attributes in _dicts(description, "cutoff"):
            attributes["cutoff"] = _plain(1e12)

    assert "'cutoff' parameter" in refusal(name, reach)


@pytest.mark.parametrize("parameter", ["n_radial", "max_degree"])
def test_more_columns_than_any_memory_holds(refusal, parameter):
    def widen(description, _):
        for attributes in _dicts(description, parameter):
            attributes[parameter] = _plain(2**30)

    assert f"'{parameter}' parameter" in refusal("PowerSpectrumFeaturizer", widen)

"""A short version of ``python -m reliability.fuzz_loader``, and forgeries one by one."""

import json
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import trisk
from reliability.fuzz_loader import Fuzzer
from reliability.mutations import at, forge, nodes, split
from trisk.persistence import ModelFileError


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs POSIX signals")
def test_damaged_and_forged_files__are_refused_or_predict(tmp_path):
    result = Fuzzer(tmp_path).run(range(320))
    assert result["failures"] == []
    assert result["memory_growth_MB"] < 500


@pytest.fixture(scope="module")
def content(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.trisk"
    trisk.save(fitted("HybridTRIADSRegressor")[1], path)
    return path.read_bytes()


@pytest.fixture
def refusal(content, tmp_path):
    """Change the description or the arrays, make the checksum agree, and load: the message."""

    def refusal(change):
        arrays, metadata = split(content)
        description = json.loads(metadata["trisk"])
        change(description, arrays)
        path = tmp_path / "forged.trisk"
        path.write_bytes(forge(json.dumps(description), arrays))
        with pytest.raises(ModelFileError) as caught:
            trisk.load(path)
        return str(caught.value)

    return refusal


def _find(description, name):
    return next(p for p in nodes(description) if p and p[-1] == name)


def _set(description, name, value):
    path = _find(description, name)
    at(description, path[:-1])[name] = value


@pytest.mark.parametrize("value", [True, 0, -1, 1.0, "1", None])
def test_format_that_is_no_number_of_one(refusal, value):
    assert "its format is" in refusal(lambda d, _: d.update(format=value))


def test_model_that_is_no_estimator(refusal):
    assert "no estimator" in refusal(lambda d, _: d.update(model=[1, 2]))
    scaler = {"class": "TargetScaler", "parameters": {"center": 0, "scale": 1}}
    assert "no estimator" in refusal(lambda d, _: d.update(model=scaler))


def test_model_that_is_not_fitted(refusal):
    assert "not fitted" in refusal(lambda d, _: d["model"].pop("fitted"))


def test_parameter_out_of_its_range(refusal):
    assert "'aggregation' parameter" in refusal(
        lambda d, _: d["model"]["parameters"].update(aggregation="best")
    )


def test_attribute_in_place_of_a_method(refusal):
    assert "has a method predict" in refusal(lambda d, _: d["model"]["fitted"].update(predict=1))


def test_array_in_two_places_and_array_in_none(refusal):
    def share(description, _):
        arrays = [p for p in nodes(description) if p and p[-1] == "array"]
        at(description, arrays[0][:-1])["array"] = at(description, arrays[1])

    assert "does not describe a trisk model" in refusal(share)
    assert "nothing uses its array 'added'" in refusal(lambda _, a: a.update(added=np.zeros(2)))


@pytest.mark.parametrize("width", [10**8, 2**31, 10**12])
@pytest.mark.parametrize("name", ["hidden_dim", "feedforward_dim", "n_frequencies"])
def test_network_that_no_machine_can_hold(refusal, name, width):
    def widen(description, _):
        networks = dict(description["model"]["fitted"]["net_"]["dict"])
        parameters = networks["module"]["dict"]
        parameters[[k for k, _ in parameters].index(name)][1] = width

    assert "far larger than its weights" in refusal(widen)


@pytest.mark.parametrize("steps", [1001, 2**31, 2**40])
def test_recursion_that_does_not_end(refusal, steps):
    def repeat(description, _):
        networks = dict(description["model"]["fitted"]["net_"]["dict"])
        parameters = networks["module"]["dict"]
        parameters[[k for k, _ in parameters].index("n_steps")][1] = steps

    assert f"its n_steps is {steps}, of at most 1000" in refusal(repeat)


def _refusal_of(model, change, folder):
    trisk.save(model, folder / "model.trisk")
    arrays, metadata = split((folder / "model.trisk").read_bytes())
    description = json.loads(metadata["trisk"])
    change(description)
    (folder / "forged.trisk").write_bytes(forge(json.dumps(description), arrays))
    with pytest.raises(ModelFileError) as caught:
        trisk.load(folder / "forged.trisk")
    return str(caught.value)


def test_attention_without_an_end(fitted, tmp_path):
    def deepen(description):
        name = next(p for p in nodes(description) if at(description, p) == "n_attention_layers")
        at(description, name[:-1])[1] = 2**40

    model = fitted("HybridTRIADSClassifier-attention")[1]
    started = time.process_time()
    assert "far larger than its weights" in _refusal_of(model, deepen, tmp_path)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["StructureRetriever", "CrystalGraphFeaturizer"])
def test_neighbours_up_to_the_stars(fitted, tmp_path, name):
    message = _refusal_of(fitted(name)[1], lambda d: _set(d, "cutoff", 1e12), tmp_path)
    assert "'cutoff' parameter" in message


@pytest.mark.parametrize("parameter", ["n_radial", "max_degree"])
def test_more_columns_than_any_memory_holds(fitted, tmp_path, parameter):
    model = fitted("PowerSpectrumFeaturizer")[1]
    message = _refusal_of(model, lambda d: _set(d, parameter, 2**30), tmp_path)
    assert f"'{parameter}' parameter" in message


def test_strings_that_no_machine_can_hold(refusal):
    strings = {"strings": ["a" * 10**5, *[""] * 10**5], "object": False}
    message = refusal(lambda d, _: d["model"]["fitted"].update(feature_names_in_=strings))
    assert "strings do not fit" in message


def test_infinity_that_is_no_json(refusal):
    assert "NaN is no JSON" in refusal(lambda d, _: d["model"]["fitted"].update(x=float("nan")))


def test_metadata_that_the_checksum_does_not_cover(content, tmp_path):
    arrays, metadata = split(content)
    (tmp_path / "model").write_bytes(to_bytes(arrays, metadata | {"note": "trust me"}))
    with pytest.raises(ModelFileError, match="altered"):
        trisk.load(tmp_path / "model")

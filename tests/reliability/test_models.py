"""Every estimator and featurizer: copies, files, batches, threads, and no network anywhere."""

import copy
import importlib
import pickle
import pkgutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from sklearn.model_selection import cross_val_predict

import trisk
from reliability.models import case, cases, flatten

_NAMES = [c.name for c in cases()]
_NETWORKS = [n for n in _NAMES if n.startswith(("Hybrid", "Graph", "TriF", "CompositionE", "De"))]
_FEW = ("HybridTRIADSRegressor", "GraphTRIADSRegressor", "TriForcesRegressor")
#: Public classes that have no case, and why.
_NO_CASE = {
    "OptunaSearch": "a search is no model; its best_estimator_ is",
    "BatchedFolds": "a cross-validation is no model",
}


def test_every_estimator_and_featurizer_has_a_case():
    public = set()
    for module in pkgutil.walk_packages(trisk.__path__, "trisk."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            found = importlib.import_module(module.name)
            names = [n for n in getattr(found, "__all__", ()) if not n.endswith("Options")]
            public |= {n for n in names if hasattr(getattr(found, n, None), "fit")}
    missing = public - {name.split("-")[0] for name in _NAMES} - set(_NO_CASE)
    assert not missing, f"add {missing} to reliability/models.py"


# -------------------------------------------------------------------------------------- copies


_COPIES = {"pickle": lambda m: pickle.loads(pickle.dumps(m)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("kind", _COPIES)
@pytest.mark.parametrize("name", _NAMES)
def test_copy__answers_the_same_to_the_bit(fitted, name, kind):
    subject, model = fitted(name)
    X = subject.data()[0][:6]
    again = _COPIES[kind](model)
    np.testing.assert_array_equal(subject.ask(again, X), subject.ask(model, X))
    assert str(again.get_params()) == str(model.get_params())


@pytest.mark.parametrize("name", _NAMES)
def test_file__answers_the_same_to_the_bit_without_a_network(fitted, name, tmp_path, no_network):
    subject, model = fitted(name)
    X = subject.data()[0][:6]
    trisk.save(model, tmp_path / "model.trisk")
    again = trisk.load(tmp_path / "model.trisk", device="cpu")
    np.testing.assert_array_equal(subject.ask(again, X), subject.ask(model, X))
    trisk.save(again, tmp_path / "again.trisk")
    again = trisk.load(tmp_path / "again.trisk", device="cpu")
    np.testing.assert_array_equal(subject.ask(again, X), subject.ask(model, X))


def test_calculator__is_code_and_goes_back_by_hand(tmp_path):
    from ase.calculators.emt import EMT

    frames = case("PotentialFeaturizer").data()[0][:2]
    featurizer = trisk.PotentialFeaturizer(EMT, sensors=["energy", "forces"]).fit(frames)
    expected = featurizer.transform(frames)
    path = tmp_path / "model.trisk"
    for calculator in (EMT, EMT()):
        featurizer.set_params(calculator=calculator)
        with pytest.raises(TypeError, match=r"ase\.calculators.*EMT.* set it to None"):
            trisk.save(featurizer, path)
    trisk.save(featurizer.set_params(calculator=None), path)
    again = trisk.load(path).set_params(calculator=EMT)
    np.testing.assert_array_equal(again.transform(frames), expected)


# -------------------------------------------------------------------- batches, threads, seeds


@pytest.mark.parametrize("name", _NETWORKS)
def test_batch_and_order_of_rows__do_not_matter(fitted, name):
    subject, model = fitted(name)
    X = subject.data()[0]
    ask = getattr(model, subject.method)

    def rows(answer):
        columns = answer.values() if isinstance(answer, dict) else [np.asarray(answer)]
        return [flatten(row) for row in zip(*map(list, columns), strict=True)]

    expected, order = rows(ask(X)), np.random.default_rng(0).permutation(len(X))
    scale = max(np.abs(row).max() for row in expected)
    for size in (1, 7, len(X)):
        for start in range(0, len(X), size):
            part = order[start : start + size]
            taken = X[part] if isinstance(X, np.ndarray) else [X[i] for i in part]
            for row, found in zip(part, rows(ask(taken)), strict=True):
                np.testing.assert_allclose(found, expected[row], rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("name", _FEW)
def test_eight_threads__predict_as_one(fitted, name):
    subject, model = fitted(name)
    X = subject.data()[0]
    parts = [X[i % 8 : 8 + i % 5 + i % 8] for i in range(40)]
    expected = [subject.ask(model, part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: subject.ask(model, part), parts))
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))


@pytest.mark.parametrize("name", [*_FEW, "TriForcesPretrainer", "HurdleRegressor"])
def test_same_seed__same_bits(fitted, name):
    subject, model = fitted(name)
    X = subject.data()[0]
    if name == "HurdleRegressor":
        model = subject.build().set_params(random_state=0).fit(*subject.data())
        again = subject.build().set_params(random_state=0).fit(*subject.data())
    else:
        again = subject.fit()
    np.testing.assert_array_equal(subject.ask(again, X), subject.ask(model, X))


@pytest.mark.parametrize("name", _FEW)
def test_fits_in_threads__are_those_alone(fitted, name):
    subject, model = fitted(name)
    X = subject.data()[0]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: subject.ask(subject.fit(), X), range(4)))
    for answer in found:
        np.testing.assert_array_equal(answer, subject.ask(model, X))


def test_jobs__change_no_bit():
    subject = case("HybridTRIADSRegressor")
    X, y = subject.data()
    with joblib.parallel_backend("threading"):  # processes take a minute to import torch
        answers = [cross_val_predict(subject.build(), X, y, cv=2, n_jobs=n) for n in (1, 2)]
    np.testing.assert_array_equal(*answers)


# ----------------------------------------------------------------------------------- no network

_BLOCK = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("something reached for the network")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something reached for the network")

    for owner, names in (
        (socket.socket, ("connect", "connect_ex")),
        (socket, ("create_connection", "getaddrinfo")),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, refuse)


@pytest.mark.parametrize("name", [*_FEW, "TriForcesPotential", "TriForcesPretrainer"])
def test_fit_and_predict__without_a_network(no_network, name):
    subject = case(name)
    assert len(subject.ask(subject.fit(), subject.data()[0][:3]))


def test_every_public_name_and_shipped_data__without_a_network():
    code = f"{_BLOCK}\nimport trisk\nfor name in trisk.__all__: getattr(trisk, name)\n"
    code += "assert len(trisk.load_band_gaps()[0]) and len(trisk.load_prototypes()[0])"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

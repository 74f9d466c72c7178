"""Import, fit, predict, save and load reach for no network, whatever is trained."""

import socket

import pytest

import trisk
from reliability.models import case

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

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    "name",
    [
        "HybridTRIADSRegressor-companion", "HybridTRIADSClassifier-attention",
        "GraphTRIADSRegressor", "TriForcesPotential", "TriForcesPretrainer",
        "PretrainedFeaturizer", "Mat2VecFeaturizer", "CompositionFeaturizer",
    ],
)  # fmt: skip
def test_fit_predict_save_load__without_a_network(no_network, name, tmp_path):
    subject = case(name)
    model = subject.fit()
    X = subject.data()[0][:3]
    trisk.save(model, tmp_path / "model.trisk")
    assert len(subject.ask(trisk.load(tmp_path / "model.trisk"), X))


def test_every_public_name__is_imported_without_a_network():
    import subprocess
    import sys

    code = f"{_BLOCK}\nimport trisk\nfor name in trisk.__all__: getattr(trisk, name)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_shipped_data__without_a_network(no_network):
    assert len(trisk.load_band_gaps()[0])
    assert len(trisk.load_prototypes()[0])

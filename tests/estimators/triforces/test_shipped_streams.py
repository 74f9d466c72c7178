"""The pre-trained weights that come with trisk: load offline, small, the same for ever."""

import socket
from importlib import resources

import numpy as np
import pytest
from ase.build import bulk

from trisk import TriForcesPretrainer, TriForcesRegressor

# The first two numbers of each stream's block for rock salt at 5.64 Å.
GOLDEN = {
    "composition 0": 2.139192993519776,
    "composition 1": 0.7788461786051833,
    "structure 0": -1.704283978129281,
    "structure 1": -1.6635664660916585,
    "interaction 0": -1.3450542845939675,
    "interaction 1": 0.29504608181926084,
}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_loads_offline_and_embeds_as_ever(no_network):
    pretrainer = TriForcesPretrainer.from_pretrained()
    salt = bulk("NaCl", "rocksalt", a=5.64)
    table = pretrainer.transform([salt, salt.repeat((2, 1, 1)), bulk("Cu")])
    assert table.shape == (3, 192)
    found = table.loc[0, list(GOLDEN)].to_numpy()
    np.testing.assert_allclose(found, list(GOLDEN.values()), rtol=1e-5)
    np.testing.assert_allclose(table.loc[1], table.loc[0], atol=1e-9)


def test_comes_with_a_card_and_is_small():
    folder = resources.files("trisk.estimators.triforces").joinpath("data")
    assert 0 < len(folder.joinpath("triforces_default.safetensors").read_bytes()) < 20e6
    card = folder.joinpath("triforces_default.md").read_text(encoding="utf-8")
    for heading in ("What it is", "Data", "Training", "Scores", "Licence"):
        assert f"**{heading}" in card


def test_default_estimators_start_from_it():
    crystals = [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7, 3.8)]
    volumes = [crystal.get_volume() for crystal in crystals]
    for streams in (("interaction",), ("composition", "structure", "interaction")):
        model = TriForcesRegressor(
            pretrained="default", streams=streams, fine_tune="head", max_epochs=1, random_state=0
        )
        assert np.isfinite(model.fit(crystals, volumes).predict(crystals)).all()

"""The pre-trained weights that come with trisk: load offline, small, the same for ever."""

import socket
from importlib import resources

import numpy as np
import pytest
from ase.build import bulk

from trisk import TriForcesPretrainer, TriForcesRegressor

# The first two numbers of each stream's block for rock salt at 5.64 Å.
GOLDEN = {
    "composition 0": -1.6873531870084408,
    "composition 1": 0.283831898939436,
    "structure 0": -0.04826061737562394,
    "structure 1": -2.0363877542400592,
    "interaction 0": 0.6799648372296375,
    "interaction 1": -0.7625552134646009,
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

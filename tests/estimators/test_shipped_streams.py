"""The pre-trained weights that come with trisk: load offline, small, the same for ever."""

import socket

import numpy as np
import pytest
from ase.build import bulk, molecule
from nested import make

from trisk import StructureRetriever, TriForcesRegressor
from trisk.data import data_file
from trisk.estimators.triforces import SHIPPED, load_pretrained

# The first two numbers of each stream's block for rock salt at 5.64 Å.
GOLDEN = {
    "composition 0": -0.1464628010618028,
    "composition 1": -0.04646221702363464,
    "structure 0": 0.4559595141360775,
    "structure 1": -0.6972632095218192,
    "interaction 0": 0.5632612821007075,
    "interaction 1": -0.058971665674710017,
}

# Of diamond, silicon and caesium iodide, as a normal variable.
GOLDEN_HIGHEST = [0.2655746833825984, 0.05928629874942757, -2.060829580719515]

# Of benzene, methanol and methane, as a normal variable.
GOLDEN_ENERGIES = [-1.13873459, 1.90322995, 2.37446727]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_loads_offline_and_embeds_as_ever(no_network):
    salt = bulk("NaCl", "rocksalt", a=5.64)
    table = load_pretrained("default").transform([salt, salt.repeat((2, 1, 1)), bulk("Cu")])
    assert table.shape == (3, 192)
    found = table.loc[0, list(GOLDEN)].to_numpy()
    np.testing.assert_allclose(found, list(GOLDEN.values()), rtol=1e-5)
    np.testing.assert_allclose(table.loc[1], table.loc[0], atol=1e-9)


@pytest.mark.parametrize("name", SHIPPED.values())
def test_comes_with_a_card_and_is_small(name):
    assert 0 < len(data_file(name).read_bytes()) < 10e6
    card = data_file(name.replace(".trisk", ".md")).read_text(encoding="utf-8")
    for heading in ("What it is", "Data", "Training", "Scores", "Licence"):
        assert f"**{heading}" in card


def test_default_estimators_start_from_it(no_network):
    crystals = [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7, 3.8)]
    volumes = [crystal.get_volume() for crystal in crystals]
    for streams in (("interaction",), ("composition", "structure", "interaction")):
        model = make(
            TriForcesRegressor,
            pretrained="default",
            streams=streams,
            fine_tune="head",
            max_epochs=1,
            random_state=0,
        )
        assert np.isfinite(model.fit(crystals, volumes).predict(crystals)).all()


def test_default__crystals_and_molecules_start_from_weights_of_their_own(no_network):
    crystals = [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7, 3.8)]
    molecules = [molecule(name) for name in ("H2O", "CH4", "NH3", "CO2")]
    y = [1.0, 2.0, 3.0, 4.0]
    for structures, name in ((crystals, "default"), (molecules, "molecules")):
        first, second = (
            make(TriForcesRegressor, pretrained=weights, max_epochs=1, random_state=0)
            .fit(structures, y)
            .predict(structures)
            for weights in ("default", load_pretrained(name))
        )
        np.testing.assert_array_equal(first, second)
    retrieved = (
        StructureRetriever(pretrainer="molecules", n_neighbors=1)
        .fit(molecules)
        .kneighbors(molecules[:1])
    )
    assert retrieved[1][0, 0] == 0


def test_molecules_are_told_apart_as_ever(no_network):
    """Measurements in the order of the card: energy, gap, two levels, dipole, …"""
    names = ("C6H6", "CH3OH", "CH4")
    found = load_pretrained("molecules").predict([molecule(name) for name in names])
    assert found.shape == (3, 15)
    np.testing.assert_allclose(found[:, 0], GOLDEN_ENERGIES, rtol=1e-5)
    assert found[1, 4] > found[[0, 2], 4].max()  # methanol has a dipole


def test_sensors_are_predicted_as_ever(no_network):
    """Stiff crystals vibrate fast; a supercell vibrates as its cell does."""
    model = load_pretrained("default")
    cells = [bulk("C", "diamond", a=3.57), bulk("Si"), bulk("CsI", "cesiumchloride", a=4.67)]
    found = model.predict([*cells, cells[1].repeat((2, 1, 1))])
    assert found.shape == (4, 12)
    highest = found[:, 4]
    assert highest[0] > highest[1] > highest[2]
    np.testing.assert_allclose(found[3], found[1], atol=1e-9)
    np.testing.assert_allclose(highest[:3], GOLDEN_HIGHEST, rtol=1e-5)


def test_a_name_that_is_unknown_is_explained():
    with pytest.raises(FileNotFoundError, match='are named "default"'):
        load_pretrained("sensor")

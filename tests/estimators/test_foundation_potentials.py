"""TriForces on a universal potential with its own weights."""

import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from sklearn.base import clone

import trisk
from trisk.estimators import (
    TriForcesClassifier,
    TriForcesOptions,
    TriForcesPotential,
    TriForcesPretrainer,
    TriForcesRegressor,
)
from trisk.nn import Potential, load_potential
from trisk.testing import make_structures

chgnet = pytest.importorskip("chgnet.model")

SMALL = {"hidden_dim": 8, "streams": ("composition", "interaction")}
CRYSTALS = [bulk("MgO", "rocksalt", a=a) for a in (4.0, 4.1, 4.2, 4.3)]
VOLUMES = [atoms.get_volume() / 2 for atoms in CRYSTALS]


def make(cls=TriForcesRegressor, backbone="chgnet", **params):
    network = TriForcesOptions(**{**SMALL, "backbone": backbone})
    return cls(**{"network": network, "max_epochs": 3, "random_state": 0, **params})


def weights_of(model):
    return model.net_.module_.encoder.interaction.state_dict()


@pytest.fixture(scope="module")
def calculator():
    network = chgnet.CHGNet.load(model_name="r2scan", use_device="cpu", verbose=False)
    return chgnet.CHGNetCalculator(network, use_device="cpu")


def test_learns_with_the_weights_of_a_name(tmp_path):
    model = make().fit(CRYSTALS, VOLUMES)
    assert "backbone='chgnet'" in repr(model)
    assert "CHGNetPotential(weights='chgnet'" in repr(model.net_.module_)
    before, after = load_potential("chgnet").state_dict(), weights_of(model)
    changes = {key: (after[key] - before[key]).abs().max().item() for key in before}
    assert 0 < max(changes.values()) < 1e-3  # a thirtieth of the rate of the head
    expected = model.predict(CRYSTALS)
    model.save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    for again in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(again.predict(CRYSTALS), expected, rtol=1e-6)
        assert again.network.backbone == "chgnet"
    twice = clone(loaded).fit(CRYSTALS, VOLUMES)
    np.testing.assert_array_equal(twice.predict(CRYSTALS), expected)


@pytest.mark.parametrize("fine_tune", ["head", "gradual"])
def test_the_potential_stays_while_the_rest_learns(fine_tune):
    model = make(fine_tune=fine_tune).fit(CRYSTALS, VOLUMES)
    before, after = load_potential("chgnet").state_dict(), weights_of(model)
    same = all(torch.equal(after[key], before[key]) for key in before)
    assert same == (fine_tune == "head")
    fresh = make(max_epochs=1, learning_rate=1e-9, pretrained_rate=1.0).fit(CRYSTALS, VOLUMES)
    encoders = [m.net_.module_.encoder.composition.embed.weight for m in (model, fresh)]
    assert not torch.allclose(*encoders)


def test_takes_a_calculator_and_keeps_it_without_pickle(calculator, tmp_path):
    model = make(backbone=calculator, fine_tune="head")
    assert clone(model).get_params()["network__backbone"].model is not calculator.model
    expected = model.fit(CRYSTALS, VOLUMES).predict(CRYSTALS)
    before, after = load_potential("chgnet-r2scan").state_dict(), weights_of(model)
    assert all(torch.equal(after[key], before[key]) for key in before)
    model.save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_allclose(loaded.predict(CRYSTALS), expected, rtol=1e-6)
    assert isinstance(loaded.network.backbone, Potential)
    assert "the given CHGNetCalculator" in repr(loaded.network)
    again = clone(loaded).fit(CRYSTALS, VOLUMES)
    np.testing.assert_array_equal(again.predict(CRYSTALS), expected)
    further = make(TriForcesClassifier, calculator, pretrained=model)
    assert further.fit(CRYSTALS, ["small", "small", "large", "large"]).score(
        CRYSTALS, ["small", "small", "large", "large"]
    )


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
def test_learning_begins_at_the_energies_and_forces_that_the_potential_has(calculator):
    for atoms in (shaken := [atoms.copy() for atoms in CRYSTALS]):
        atoms.rattle(0.03, seed=0)
    frames = [atoms.copy() for atoms in shaken]
    for atoms in frames:
        atoms.calc = calculator
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    model = make(TriForcesPotential, calculator, max_epochs=1, learning_rate=1e-12)
    found = model.fit(shaken, energies).predict(shaken)
    np.testing.assert_allclose(found["energy"], energies, atol=1e-3)
    for forces, atoms in zip(found["forces"], frames, strict=True):
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-4)
    np.testing.assert_allclose(model.references_, 0, atol=1e-3)
    # Energies that count from others atoms differ by a constant of each element.
    shift = np.array([0.3 * len(atoms) for atoms in shaken])
    moved = model.fit(shaken, energies + shift)
    np.testing.assert_allclose(moved.predict(shaken)["energy"], energies + shift, atol=0.5)


def test_takes_a_file_and_does_not_name_it_in_its_own(calculator, tmp_path):
    torch.save({"model": calculator.model.as_dict()}, tmp_path / "tuned.pth.tar")
    model = make(TriForcesPotential, tmp_path / "tuned.pth.tar", max_epochs=2)
    expected = model.fit(CRYSTALS, [-1.0, -2.0, -3.0, -2.0]).predict(CRYSTALS)
    model.save(tmp_path / "model.trisk")
    (tmp_path / "tuned.pth.tar").unlink()
    loaded = trisk.load(tmp_path / "model.trisk")
    found = loaded.predict(CRYSTALS)
    np.testing.assert_allclose(found["energy"], expected["energy"], rtol=1e-9)
    np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-9)
    assert "weights='tuned.pth.tar'" in repr(loaded.network.backbone)


def test_names_rows_and_cutoffs_that_do_not_fit():
    strange = Atoms("Cm2", positions=[[0, 0, 0], [0, 0, 3]], cell=5 * np.eye(3), pbc=True)
    message = r"CHGNetPotential.* does not know the elements Cm \(rows \[4\]\)"
    with pytest.raises(ValueError, match=message):
        make().fit([*CRYSTALS, strange], [*VOLUMES, 1.0])
    model = make(max_epochs=1).fit(CRYSTALS, VOLUMES)
    with pytest.warns(UserWarning, match="Cm"), pytest.raises(ValueError, match=r"Cm \(rows \[0\]"):
        model.predict([strange])
    short = TriForcesOptions(backbone="chgnet", cutoff=5.0)
    with pytest.raises(ValueError, match="sees neighbours up to 6 Å, but cutoff is 5"):
        make(network=short).fit(CRYSTALS, VOLUMES)
    assert "network__n_layers" not in make().search_space()


def test_pretrainer_does_not_hide_elements_from_a_potential():
    model = TriForcesPretrainer(network=TriForcesOptions(backbone="chgnet"))
    with pytest.raises(ValueError, match="needs masked_share=None, masking_weight=0"):
        model.fit(make_structures(4)[0])

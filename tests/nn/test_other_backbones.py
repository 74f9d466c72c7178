"""Backbones of other packages, where they are installed: equivariant, differentiable, stored."""

import importlib.util
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from crystal_batches import REFERENCE_CRYSTALS, batch_of, rattled, rotated, rotation
from torch import nn

import trisk
from trisk.estimators import TriForcesOptions, TriForcesPotential
from trisk.nn import EnergyHead, PotentialNetwork, TriForcesEncoder, load_potential
from trisk.nn.backbones import make_backbone

CUTOFF = 4.5
PACKAGES = {
    "chgnet": "chgnet",
    "esen": "fairchem",
    "mace": "mace",
    "orb": "orb_models",
    "sevennet-0": "sevenn",
}
EQUIVARIANT = ("esen", "mace")

# Packages that are absent are named in the list of skipped tests.
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(package) is None, reason=f"{package} is not installed"
        ),
    )
    for name, package in PACKAGES.items()
]


def backbone(name):
    torch.manual_seed(0)
    return make_backbone(name, cutoff=CUTOFF, dim=8, n_layers=2).double()


@pytest.mark.parametrize("name", NAMES)
def test_symmetries(name):
    module, crystal = backbone(name), rattled("MgO")
    scalars, vectors = module(batch_of([crystal], CUTOFF))
    assert scalars.shape == (2, module.out_features)
    assert scalars.std() > 1e-4
    crowd = [REFERENCE_CRYSTALS["K"], crystal, REFERENCE_CRYSTALS["C"]]
    together = module(batch_of(crowd, CUTOFF))[0]
    torch.testing.assert_close(together[1:3], scalars, atol=1e-10, rtol=0)
    large = module(batch_of([crystal.repeat((2, 1, 1))], CUTOFF))[0]
    torch.testing.assert_close(large, scalars.repeat(2, 1), atol=1e-10, rtol=0)
    if name in EQUIVARIANT:
        matrix = rotation(3)
        turned_scalars, turned = module(batch_of([rotated(crystal, matrix)], CUTOFF))
        expected = torch.einsum("ij,njf->nif", torch.tensor(matrix), vectors)
        # Some of eSEN's constants are in single precision.
        torch.testing.assert_close(turned_scalars, scalars, atol=1e-6, rtol=0)
        torch.testing.assert_close(turned, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_forces_and_stress_are_derivatives(name):
    encoder = TriForcesEncoder(interaction=backbone(name))
    network = PotentialNetwork(encoder, EnergyHead(encoder.widths, 8)).double().eval()
    nn.init.normal_(network.head.of_atom[-1].weight)
    batch, step = batch_of([rattled("MgO")], CUTOFF), 1e-4
    out = network(batch)

    def change(move):
        """Central difference of the fourth order."""
        near, far = (
            network(move(n * step))["energy"] - network(move(-n * step))["energy"] for n in (1, 2)
        )
        return (8 * near - far) / (12 * step)

    def assert_change(gradient, direction, move):
        expected = (gradient * direction).sum().view(1)
        torch.testing.assert_close(expected, change(move), atol=1e-6, rtol=0)

    shift = torch.zeros_like(batch.positions)
    shift[1] = torch.tensor([0.3, -0.5, 0.8])
    assert_change(-out["forces"], shift, lambda h: batch.moved(batch.positions + h * shift))
    strain = torch.tensor([[[0.2, 0.4, -0.1], [0.4, -0.3, 0.5], [-0.1, 0.5, 0.6]]]).double()
    virial = out["stress"] * batch.volumes
    assert_change(virial, strain, lambda h: batch.strained(h * strain))
    assert out["forces"].abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_estimators_take_it_by_name(name, tmp_path):
    crystals = [rattled("MgO", seed=seed) for seed in range(4)]
    cutoff = max(CUTOFF, backbone(name).cutoff)
    options = TriForcesOptions(backbone=name, hidden_dim=8, n_layers=2, cutoff=cutoff)
    model = TriForcesPotential(network=options, max_epochs=2, random_state=0)
    expected = model.fit(crystals, [0.0, 1.0, 2.0, 3.0]).predict(crystals)["energy"]
    model.save(tmp_path / "model.trisk")
    for again in (trisk.load(tmp_path / "model.trisk"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(again.predict(crystals)["energy"], expected, rtol=1e-12)
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(("name", "package"), PACKAGES.items())
def test_an_absent_package_is_named(name, package, monkeypatch):
    loaded = [module for module in sys.modules if module.split(".")[0] == package]
    for module in (package, *loaded):
        monkeypatch.setitem(sys.modules, module, None)
    load_potential.cache_clear()
    with pytest.raises(ImportError, match=rf"pip install 'trisk\[{name.split('-')[0]}\]'"):
        make_backbone(name, cutoff=CUTOFF, dim=8, n_layers=2)

"""Universal potentials as backbones: what they give is what their own packages give."""

import copy
import os
import pickle
from importlib.util import find_spec
from unittest import mock

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from crystal_batches import REFERENCE_CRYSTALS, batch_of, rattled

from trisk.nn import as_backbone, load_potential
from trisk.nn.backbones.mace import _import_mace
from trisk.nn.backbones.orb import OrbBackbone
from trisk.nn.backbones.packages import using

CRYSTALS = [
    rattled("MgO"),
    REFERENCE_CRYSTALS["K"],  # no bond below 3 Å
    REFERENCE_CRYSTALS["C"],
    rattled("GaAs").repeat((1, 1, 2)),
    bulk("Cu", cubic=True),
    REFERENCE_CRYSTALS["NaCl"],
]

pytestmark = [
    pytest.mark.filterwarnings("ignore:No tensor product accelerator:UserWarning"),
    pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning"),
]


@pytest.fixture(scope="module", params=["chgnet", "chgnet-r2scan", "sevennet-0", "7net-l3i5"])
def name(request):
    pytest.importorskip("chgnet" if "chgnet" in request.param else "sevenn")
    return request.param


@pytest.mark.parametrize(("name", "version"), [("chgnet", "0.3.0"), ("chgnet-r2scan", "r2scan")])
def test_chgnet_gives_what_its_package_gives(name, version):
    model = pytest.importorskip("chgnet.model")
    from pymatgen.io.ase import AseAtomsAdaptor

    network = model.CHGNet.load(model_name=version, use_device="cpu", verbose=False)
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in CRYSTALS]
    expected = network.predict_structure(
        structures, task="e", return_atom_feas=True, return_site_energies=True
    )
    potential, batch = load_potential(name), batch_of(CRYSTALS, dtype=torch.float32)
    with torch.no_grad():
        layers = potential(batch)[0]
        energies = potential.readout(layers, batch).squeeze(1)
        inner = layers.chunk(4, dim=1)[-2]
    torch.testing.assert_close(
        inner, torch.tensor(np.concatenate([e["atom_fea"] for e in expected])), atol=2e-4, rtol=1e-4
    )
    sites = np.concatenate([e["site_energies"] for e in expected])
    torch.testing.assert_close(energies, torch.tensor(sites), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(("name", "version"), [("sevennet-0", "7net-0"), ("7net-l3i5",) * 2])
def test_sevennet_gives_what_its_package_gives(name, version):
    sevenn = pytest.importorskip("sevenn.calculator")
    calculator = sevenn.SevenNetCalculator(version, device="cpu")
    expected = [calculator.get_potential_energies(atoms.copy()) for atoms in CRYSTALS]
    potential, batch = load_potential(name), batch_of(CRYSTALS, dtype=torch.float32)
    with torch.no_grad():
        energies = potential.readout(potential(batch)[0], batch).squeeze(1)
    torch.testing.assert_close(energies, torch.tensor(np.concatenate(expected)), atol=1e-5, rtol=0)


def mace_calculator():
    """A calculator that holds a MACE with random weights."""
    modules, irreps = _import_mace()
    with mock.patch.dict(os.environ):  # which the import would change for all later tests
        from mace.calculators import MACECalculator

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    torch.manual_seed(0)
    network = modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=3,
        hidden_irreps=irreps("8x0e+8x1o"),
        MLP_irreps=irreps("16x0e"),
        atomic_energies=np.zeros(3),
        avg_num_neighbors=20.0,
        atomic_numbers=[29, 8, 12],
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=0.7,
        atomic_inter_shift=0.1,
    )
    return MACECalculator(models=[network], device="cpu")


@pytest.mark.skipif(find_spec("mace") is None, reason="mace is not installed")
def test_mace_gives_what_its_package_gives():
    with using("mace-torch", "mace"):
        calculator = mace_calculator()
    crystals = [CRYSTALS[0], CRYSTALS[4]]
    expected = np.concatenate([calculator.get_descriptors(atoms) for atoms in crystals])
    potential, batch = as_backbone(calculator), batch_of(crystals, dtype=torch.float32)
    found = potential(batch)[0]
    torch.testing.assert_close(found.detach().numpy(), expected, atol=1e-5, rtol=1e-4)
    assert potential.elements == [29, 8, 12]
    assert any(weight.requires_grad for weight in potential.parameters())
    again = pickle.loads(pickle.dumps(potential))
    torch.testing.assert_close(again(batch)[0], found, atol=0, rtol=0)
    assert again.description["interaction_cls"] == "RealAgnosticResidualInteractionBlock"
    assert "arrays" in potential.__getstate__()


def test_orb_gives_what_its_package_gives():
    pytest.importorskip("orb_models")
    from orb_models.forcefield.atomic_system import SystemConfig, ase_atoms_to_atom_graphs

    torch.manual_seed(0)
    network = OrbBackbone(6.0, 8, n_layers=2).network
    config = SystemConfig(radius=6.0, max_num_neighbors=1000)
    with using("orb-models", "orb"):
        graphs = [ase_atoms_to_atom_graphs(a, config, device="cpu") for a in CRYSTALS[:3]]
    expected = torch.cat([network(graph)["node_features"] for graph in graphs])
    found = as_backbone(network)(batch_of(CRYSTALS[:3], dtype=torch.float32))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_says_what_it_is_and_is_stored_as_arrays(name):
    potential = load_potential(name)
    assert f"weights={name!r}" in repr(potential)
    batch = batch_of(CRYSTALS[:2], dtype=torch.float32)
    expected = potential(batch)[0]
    copied = copy.deepcopy(potential)
    assert not copied.requires_grad_(False).double().index.requires_grad
    assert next(potential.parameters()).dtype is torch.float32
    content = pickle.dumps(potential)
    assert b"CHGNetPotential" in content or b"SevenNetPotential" in content
    assert b"chgnet.model" not in content
    assert b"sevenn.nn" not in content
    torch.testing.assert_close(pickle.loads(content)(batch)[0], expected, atol=0, rtol=0)


def test_takes_atoms_without_neighbours(name):
    lone = Atoms("O", positions=[[0, 0, 0]], cell=30 * np.eye(3), pbc=True)
    alone = load_potential(name)(batch_of([lone], dtype=torch.float32))[0]
    together = load_potential(name)(batch_of([lone, CRYSTALS[0]], dtype=torch.float32))[0]
    torch.testing.assert_close(together[:1], alone)


def test_refuses_a_description_that_is_larger_than_its_weights(name):
    potential = load_potential(name)
    state = potential.__getstate__()
    forged = {"channel": 10**6, "mlp_hidden_dims": [10**6], "irreps_manual": ["1000000x0e"]}
    for key, value in forged.items():
        if key in state["description"]:
            twin = type(potential).__new__(type(potential))
            description = {**state["description"], key: value}
            with pytest.raises(ValueError, match="far larger than its weights"):
                twin.__setstate__({**state, "description": description})


def test_names_what_it_does_not_take(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'chgnte' is neither a file nor the name.*chgnet"):
        as_backbone("chgnte")
    with pytest.raises(TypeError, match="is a EMT, which holds no network"):
        as_backbone(EMT())
    torch.save(torch.nn.Linear(2, 2), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="Load it with its own package"):
        as_backbone(tmp_path / "other.pt")

"""The GraphTRIADS network on small batches."""

import pytest
import torch
from graph_batches import one_of, three_chains

from trisk.nn import GraphTRIADSNetwork, select_members


def build(seeds, **changes):
    parameters = {
        "n_atom_features": 3,
        "n_context": 5,
        "n_sensors": 2,
        "n_outputs": 1,
        "springs": True,
        "order": 3,
        "n_radial": 6,
        "n_angular": 4,
        "cutoff": 4.0,
        "element_dim": 3,
        "hidden_dim": 8,
        "bond_dim": 6,
        "angle_dim": 4,
        "feedforward_dim": 8,
        "n_heads": 2,
        "min_cycles": 2,
        "max_cycles": 6,
        "halting_threshold": 0.1,
        "dropout": 0.0,
        **changes,
    }
    network = GraphTRIADSNetwork(seeds, **parameters).double()
    # Gates that differ from crystal to crystal, the same for all members.
    weight = torch.linspace(-6, 6, 16).roll(6)
    network.halting.gate.weight.data[:] = weight.view(1, -1, 1)
    return network


@pytest.fixture
def batch():
    return three_chains()


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("springs", [True, False])
def test_every_parameter_has_a_gradient(batch, order, springs):
    network = build([1], order=order, springs=springs)
    output = network(batch)
    (output["steps"].sum() + output["openness"].sum()).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None]
    assert silent == []


def test_a_member_alone_equals_the_member_in_a_batch(batch):
    together = build([5, 9])
    alone = build([9])
    for name, value in select_members(together.state_dict(), slice(1, 2)).items():
        assert torch.equal(value, alone.state_dict()[name])
    both, one = together(batch), alone(batch)
    n_cycles = one["steps"].shape[1]
    assert torch.allclose(both["steps"][1:, :n_cycles], one["steps"], atol=1e-12)
    assert torch.allclose(both["answer"][1:], one["answer"], atol=1e-12)
    assert torch.equal(both["cycles"][1:], one["cycles"])


def test_halted_crystals_keep_their_answer(batch):
    output = build([4]).eval()(batch)
    assert output["cycles"].unique().numel() > 1, "all crystals need the same number of cycles"
    for crystal, cycles in enumerate(output["cycles"][0].int().tolist()):
        for later in output["steps"][0, cycles - 1 :, crystal]:
            assert torch.allclose(later, output["answer"][0, crystal], atol=1e-12)


def test_cycles_keep_to_their_limits(batch):
    cycles = build([4])(batch)["cycles"]
    assert cycles.min() >= 2
    assert cycles.max() <= 6
    steady = build([4], min_cycles=3, max_cycles=3)(batch)
    assert steady["cycles"].unique().tolist() == [3]
    assert steady["steps"].shape[1] == 3


def test_a_crystal_alone_equals_the_crystal_in_a_batch(batch):
    network = build([4]).eval()
    together = network(batch)["answer"]
    for crystal in range(3):
        alone = one_of(batch, crystal)
        assert torch.allclose(network(alone)["answer"][:, 0], together[:, crystal], atol=1e-12)


def test_order_decides_which_geometry_counts(batch):
    for order, name in ((1, "angle_cosines"), (2, "dihedral_cosines")):
        getattr(batch, name)
        network = build([4], order=order).eval()
        before = network(batch)["answer"]
        changed = batch.to("cpu", torch.float64)
        getattr(changed, name).neg_()
        assert torch.equal(network(changed)["answer"], before)
        higher = build([4], order=order + 1).eval()
        assert not torch.equal(higher(changed)["answer"], higher(three_chains())["answer"])

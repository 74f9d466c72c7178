"""Networks in a stack answer, and learn, as each does alone."""

import pytest
import torch
from crystal_batches import batch_of, rattled
from torch import nn

from trisk.nn import (
    CompositionStream,
    EnergyHead,
    EquivariantBackbone,
    MemberLosses,
    NetworkStack,
    PotentialLoss,
    PotentialNetwork,
    PropertyHead,
    PropertyLoss,
    PropertyNetwork,
    StructureStream,
    TriForcesEncoder,
)

CUTOFF = 4.5
#: More than the shortest distance of the crystals, so that some atoms repel.
CLOSE = 3.0


def networks(make):
    """Three networks with weights and seeds of their own."""
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        encoder = TriForcesEncoder(
            CompositionStream(8, 2, 2),
            StructureStream(CUTOFF, 8),
            EquivariantBackbone(CUTOFF, 8),
        )
        network = make(encoder).double().train()
        network.seeds = [seed]
        for parameter in network.head.parameters():
            nn.init.normal_(parameter, std=0.2)
        made.append(network)
    return made


def close_batch():
    crystals = [rattled("GaAs"), rattled("C", seed=1)]
    crystals[1].set_cell(0.6 * crystals[1].cell.array, scale_atoms=True)
    return batch_of(crystals, CUTOFF)


def assert_learns_alike(stack, alone, out, criterion, targets):
    """Outputs, losses and gradients of a stack are those of its networks."""
    losses = MemberLosses(criterion)(out, targets)
    losses.sum().backward()
    of_stack = dict(stack.named_parameters())
    for member, (network, output) in enumerate(alone):
        single = out[member] if torch.is_tensor(out) else {k: v[member] for k, v in out.items()}
        torch.testing.assert_close(single, output)
        loss = criterion(output, targets)
        loss.backward()
        torch.testing.assert_close(losses[member], loss)
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(of_stack[name].grad[member], parameter.grad)


@pytest.mark.parametrize("pooling", ["attention", "sum", "none"])
def test_properties(pooling):
    made = networks(
        lambda encoder: PropertyNetwork(
            encoder, PropertyHead(encoder.widths, 8, 2, pooling=pooling, dropout=0.3)
        )
    )
    stack, batch = NetworkStack(made), close_batch()
    stack.seed_dropout(4)
    out = stack(batch)
    for network in made:  # drops what the first drops
        network.seeds = [0]
        network.seed_dropout(4)
    alone = [(network, network(batch)) for network in made]
    n_rows = out.shape[1]
    targets = {"target": torch.ones(n_rows, 2).double(), "weight": torch.ones(n_rows)}
    assert_learns_alike(stack, alone, out, PropertyLoss("absolute_error"), targets)


@pytest.mark.parametrize("repulsion", [None, CLOSE])
def test_energies_forces_and_stresses(repulsion):
    made = networks(
        lambda encoder: PotentialNetwork(encoder, EnergyHead(encoder.widths, 8, 1.7, repulsion))
    )
    batch = close_batch()
    if repulsion:
        assert len(made[0].head.repulsion.pairs(batch))
    stack = NetworkStack(made)
    out = stack(batch)
    targets = {name: torch.zeros_like(out[name][0]) for name in ("energy", "forces", "stress")}
    targets["forces"][0] = torch.nan  # of an atom that is not known
    targets["n_atoms"] = torch.tensor([2.0, 2.0])
    criterion = PotentialLoss(1.0, 1.0, 0.1, 1.0, 2.0, 0.5)
    assert set(MemberLosses(criterion).measure(out, targets)) == set(
        criterion.measure(made[0](batch), targets)
    )
    alone = [(network, network(batch)) for network in made]
    assert_learns_alike(stack, alone, out, criterion, targets)


def test_networks_come_back_as_they_were():
    made = networks(lambda encoder: PropertyNetwork(encoder, PropertyHead(encoder.widths, 8, 1)))
    made[0].encoder.structure.requires_grad_(False)
    for network in made[1:]:
        network.encoder.structure.requires_grad_(False)
    for network, again in zip(made, NetworkStack(made).networks(), strict=True):
        assert again.seeds == network.seeds
        torch.testing.assert_close(again.state_dict(), network.state_dict())
        for one, other in zip(network.parameters(), again.parameters(), strict=True):
            assert one.requires_grad == other.requires_grad

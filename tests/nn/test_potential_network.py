"""Energies are extensive; forces and stresses are their derivatives, whichever streams are on."""

from itertools import combinations

import numpy as np
import pytest
import torch
from crystal_batches import REFERENCE_CRYSTALS, batch_of, rattled, rotated, rotation
from torch import nn

from trisk.nn import (
    STREAMS,
    CompositionStream,
    EnergyHead,
    EquivariantBackbone,
    PotentialNetwork,
    PropertyHead,
    PropertyNetwork,
    StructureStream,
    TriForcesEncoder,
)

CUTOFF = 4.5
SUBSETS = [s for n in (1, 2, 3) for s in combinations(STREAMS, n)]


def encoder(streams=STREAMS, **composition):
    torch.manual_seed(0)
    return TriForcesEncoder(
        CompositionStream(8, 2, 2, **composition) if "composition" in streams else None,
        StructureStream(CUTOFF, 8) if "structure" in streams else None,
        EquivariantBackbone(CUTOFF, 8) if "interaction" in streams else None,
    )


def potential(streams=STREAMS, **composition):
    streams = encoder(streams, **composition)
    head = EnergyHead(streams.widths, 8, scale=1.7)
    head.references[1:119] = torch.arange(1, 119) / 7
    network = PotentialNetwork(streams, head).double().eval()
    for readout in (network.head.of_atom, network.head.of_composition):
        if readout is not None:
            nn.init.normal_(readout[-1].weight)
    return network


def crystals():
    return [rattled("GaAs"), rattled("MgO", seed=1)]


@pytest.mark.parametrize("streams", SUBSETS, ids="+".join)
def test_forces_and_stress_are_derivatives_of_the_energy(streams):
    network, batch, step = potential(streams), batch_of(crystals(), CUTOFF), 1e-4
    out = network(batch)

    def energies(positions=batch.positions, strain=None):
        moved = batch.moved(positions)
        moved = moved if strain is None else moved.strained(strain)
        with torch.no_grad():
            return network.head(network.encoder(moved), moved)

    def slope(energy):
        """Central difference of the fourth order at zero."""
        near, far = energy(step) - energy(-step), energy(2 * step) - energy(-2 * step)
        return (8 * near - far) / (12 * step)

    forces, stress = torch.zeros_like(out["forces"]), torch.zeros_like(out["stress"])
    for index in np.ndindex(*forces.shape):
        unit = torch.zeros_like(forces)
        unit[index] = 1
        forces[index] = -slope(lambda h, unit=unit: energies(batch.positions + h * unit)).sum()
    for index in np.ndindex(3, 3):
        unit = torch.zeros_like(stress)
        unit[:, *index] = 1
        stress[:, *index] = slope(lambda h, unit=unit: energies(strain=h * unit)) / batch.volumes
    torch.testing.assert_close(out["forces"], forces, atol=1e-6, rtol=0)
    torch.testing.assert_close(out["stress"], stress, atol=1e-6, rtol=0)
    assert bool(forces.abs().max() > 1e-3) == (streams != ("composition",))
    assert batch.structures.mean(out["forces"]).abs().max() < 1e-10
    torch.testing.assert_close(out["stress"], out["stress"].transpose(1, 2))


def test_energy_is_extensive_and_batch_independent():
    network, (first, second) = potential(), crystals()
    energies = network(batch_of([first, second, first.repeat((2, 1, 2))], CUTOFF))["energy"]
    torch.testing.assert_close(energies[2], 4 * energies[0], atol=1e-9, rtol=0)
    alone = network(batch_of([second], CUTOFF))["energy"]
    torch.testing.assert_close(energies[1:2], alone, atol=1e-10, rtol=0)


def test_only_counts_beside_a_class_token_break_extensivity():
    crystal = crystals()[0]
    for options, extensive in [
        ({"class_token": True}, False),
        ({"class_token": True, "stoichiometry": "reduced"}, True),
    ]:
        network = potential(**options)
        one, four = network(batch_of([crystal, crystal.repeat((2, 2, 1))], CUTOFF))["energy"]
        assert bool((4 * one - four).abs() < 1e-9) == extensive


def test_composition_term_leaves_forces_bit_identical():
    network, batch = potential(), batch_of(crystals(), CUTOFF)
    before = network(batch)
    with torch.no_grad():
        for parameter in network.head.of_composition.parameters():
            parameter.add_(torch.randn_like(parameter))
    after = network(batch)
    assert (before["energy"] - after["energy"]).abs().min() > 1e-2
    assert torch.equal(before["forces"], after["forces"])
    assert torch.equal(before["stress"], after["stress"])


def test_no_work_around_a_closed_loop():
    network, batch = potential(), batch_of([rattled("MgO")], 6.0)
    angles = torch.linspace(0, 2 * torch.pi, 41, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    u, v = 0.1 * torch.randn(2, *batch.positions.shape, generator=generator, dtype=torch.float64)
    work, scale = 0.0, 0.0
    for angle in angles[:-1]:
        forces = network(batch.moved(batch.positions + u * angle.cos() + v * angle.sin()))["forces"]
        power = float((forces * (v * angle.cos() - u * angle.sin())).sum())
        work, scale = work + power, scale + abs(power)
    assert scale > 1
    assert abs(work) < 1e-6 * scale


def test_forces_turn_with_the_crystal():
    network, crystal = potential(), rattled("MgO")
    matrix = rotation(2)
    out = network(batch_of([crystal], CUTOFF))
    turned = network(batch_of([rotated(crystal, matrix)], CUTOFF))
    turn = torch.tensor(matrix)
    torch.testing.assert_close(turned["energy"], out["energy"], atol=1e-10, rtol=0)
    torch.testing.assert_close(turned["forces"], out["forces"] @ turn.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(turned["stress"][0], turn @ out["stress"][0] @ turn.T)


def test_training_mode_differentiates_forces_again():
    network, batch = potential().train(), batch_of(crystals(), CUTOFF)
    network(batch)["forces"].square().sum().backward()
    received = {n for n, p in network.named_parameters() if p.grad is not None}
    assert any(name.startswith("encoder.structure") for name in received)
    assert any(name.startswith("encoder.interaction") for name in received)


@pytest.mark.parametrize("pooling", ["mean", "attention", "sum"])
def test_property_head_pools_as_told(pooling):
    streams = encoder()
    head = PropertyHead(streams.widths, 8, 2, pooling=pooling)
    nn.init.normal_(head.readout[-1].weight)
    network = PropertyNetwork(streams, head).double().eval()
    crystal = crystals()[0]
    one, four = network(batch_of([crystal, crystal.repeat((2, 1, 2))], CUTOFF)).detach()
    torch.testing.assert_close(four, 4 * one if pooling == "sum" else one, atol=1e-9, rtol=0)
    assert one.abs().min() > 1e-3


def test_blocks_are_named_and_normalised():
    names = list(REFERENCE_CRYSTALS)[:4]
    embeddings = encoder().double()(batch_of([REFERENCE_CRYSTALS[n] for n in names], CUTOFF))
    assert tuple(embeddings.atoms) == STREAMS
    assert set(embeddings.structures) == set(STREAMS)
    for block in embeddings.atoms.values():
        spread = block.std(1, correction=0)
        torch.testing.assert_close(spread, torch.ones_like(spread), atol=0.02, rtol=0)
        assert block.mean(1).abs().max() < 1e-6
    with pytest.raises(ValueError, match="at least one stream"):
        TriForcesEncoder()
    with pytest.raises(ValueError, match=r"one of \('attention'"):
        PropertyHead({"structure": 4}, 4, 1, pooling="max")

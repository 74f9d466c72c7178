"""Steps of all networks on a pretended accelerator: nothing stays behind, nothing waits."""

import pytest
import torch
from crystal_batches import batch_of, rattled
from fake_device import fake_device
from graph_batches import three_chains

from trisk.nn import (
    STREAMS,
    CompositionEncoderNetwork,
    CompositionStream,
    DeepSupervisionLoss,
    EnergyHead,
    GraphTRIADSNetwork,
    HybridTRIADSNetwork,
    InputLayout,
    MemberDropout,
    PotentialLoss,
    PotentialNetwork,
    PretrainingLoss,
    PretrainingNetwork,
    PropertyHead,
    PropertyLoss,
    PropertyNetwork,
    StructureStream,
    TriForcesEncoder,
    make_backbone,
)

CUTOFF = 4.0


def step(on, network, criterion, inputs, targets, predict=True):
    """One step of AdamW with clipping, then one prediction."""
    network = on.module(network.train())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = criterion(network(inputs), targets)
    assert losses.device == on.device
    losses.sum().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    network.eval()
    if predict:
        with torch.no_grad():
            network(inputs)


def encoder(streams=STREAMS, backbone="builtin", **composition):
    return TriForcesEncoder(
        CompositionStream(8, 1, 2, **composition) if "composition" in streams else None,
        StructureStream(CUTOFF, 8) if "structure" in streams else None,
        make_backbone(backbone, cutoff=CUTOFF, dim=8, n_layers=2)
        if "interaction" in streams
        else None,
    )


def crystals():
    return batch_of([rattled("GaAs"), rattled("MgO", seed=1)], CUTOFF, torch.float32)


def test_hybrid():
    network = HybridTRIADSNetwork(
        [1, 2],
        InputLayout(3, 2, 4, 5),
        1,
        attention_dim=8,
        n_attention_layers=1,
        n_heads=2,
        shared_projection=False,
        embedding_dim=3,
        n_frequencies=4,
        frequency_scale=0.7,
        hidden_dim=8,
        feedforward_dim=8,
        n_steps=2,
        dropout=0.2,
        confidence=True,
    )
    with fake_device() as on:
        x = on.tensor(torch.zeros(2, 6, 15))
        targets = on.tensor(torch.zeros(2, 6, 1)), on.tensor(torch.zeros(2, 6))
        step(on, network, DeepSupervisionLoss("huber"), x, targets)


def test_composition_encoder():
    network = CompositionEncoderNetwork([1, 2], 3, dim=8, n_layers=1, n_heads=2)
    with fake_device() as on:
        x = on.tensor(torch.ones(2, 6, 8))
        targets = on.tensor(torch.zeros(2, 6, 3)), on.tensor(torch.zeros(2, 6))
        step(on, network, DeepSupervisionLoss("cross_entropy"), x, targets)


def graph_network(**changes):
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
        "min_cycles": 1,
        "max_cycles": 4,
        "halting_threshold": 0.1,
        "dropout": 0.1,
    }
    return GraphTRIADSNetwork([1, 2], **{**parameters, **changes})


def test_graph():
    network, batch = graph_network(), three_chains(torch.float32)
    network.exits_early = False
    with fake_device() as on:
        batch = on.batch(batch)
        targets = on.tensor(torch.zeros(2, 3, 1)), on.tensor(torch.zeros(2, 3))
        step(on, network, DeepSupervisionLoss("absolute_error", ponder_cost=0.1), batch, targets)


def test_graph__cycles_that_no_crystal_needs_change_nothing():
    network, batch = graph_network(dropout=0.0), three_chains(torch.float32)
    criterion = DeepSupervisionLoss("absolute_error", ponder_cost=0.1)
    targets = torch.ones(2, 3, 1), torch.ones(2, 3)
    losses, n_steps = [], []
    for network.exits_early in (True, False):
        output = network(batch)
        losses.append(criterion(output, targets))
        n_steps.append(output["steps"].shape[1])
    assert n_steps == [2, 4]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    ("pooling", "stoichiometry"),
    [("attention", "counts"), ("mean", "reduced"), ("sum", "fractions")],
)
def test_property(pooling, stoichiometry):
    streams = encoder(stoichiometry=stoichiometry, class_token=True)
    head = PropertyHead(streams.widths, 8, 2, pooling=pooling, dropout=0.3)
    batch = crystals()
    with fake_device() as on:
        targets = {"target": on.tensor(torch.zeros(2, 2)), "weight": on.tensor(torch.zeros(2))}
        network, criterion = PropertyNetwork(streams, head), PropertyLoss("squared_error")
        step(on, network, criterion, on.batch(batch), targets)


@pytest.mark.parametrize("streams", [STREAMS, *([name] for name in STREAMS)], ids="+".join)
def test_potential(streams):
    streams, batch = encoder(streams), crystals()
    network = PotentialNetwork(streams, EnergyHead(streams.widths, 8, {12: -1.0}))
    shapes = {
        "energy": (len(batch),),
        "forces": batch.positions.shape,
        "stress": (len(batch), 3, 3),
        "n_atoms": (len(batch),),
    }
    with fake_device() as on:
        targets = {name: on.tensor(torch.ones(shape)) for name, shape in shapes.items()}
        step(on, network, PotentialLoss(1, 10, 1, 1, 1, 1), on.batch(batch), targets)


def test_pretraining():
    network, batch = PretrainingNetwork(encoder(), 8, n_slices=5), crystals()
    n_atoms = len(batch.positions)
    targets = {
        "elements": batch.atomic_numbers,
        "masked": torch.zeros(n_atoms, dtype=torch.bool),
        "moved": torch.ones(n_atoms, dtype=torch.bool),
        "noise": torch.zeros(n_atoms, 3),
    }
    criterion = PretrainingLoss({"denoising": 1.0, "masking": 1.0, "lejepa": 1.0})
    with fake_device() as on:
        targets = {name: on.tensor(values) for name, values in targets.items()}
        step(on, network, criterion, on.batch(batch), targets)


@pytest.mark.parametrize(
    ("backbone", "package"), [("esen", "fairchem"), ("mace", "mace"), ("orb", "orb_models")]
)
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_other_backbones(backbone, package):
    pytest.importorskip(package)
    streams, batch = encoder(["interaction"], backbone), crystals()
    head = PropertyHead(streams.widths, 8, 1)
    with fake_device() as on:
        targets = {"target": on.tensor(torch.zeros(2, 1)), "weight": on.tensor(torch.zeros(2))}
        network, criterion = PropertyNetwork(streams, head), PropertyLoss("squared_error")
        # The second run of TorchScript, on which MACE stands, compares tensors.
        step(on, network, criterion, on.batch(batch), targets, predict=False)


def test_the_pretended_device_tells_of_mixtures_and_of_waiting():
    with fake_device() as on:
        x = on.tensor(torch.ones(3))
        with pytest.raises(Exception, match=r"same device|two devices"):
            x + torch.ones(3)
        with pytest.raises(Exception, match=r"aten\._local_scalar_dense"):
            x.sum().item()
        with pytest.raises(Exception, match=r"aten\.nonzero"):
            x[x > 0]


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_by_counters_is_as_random_as_on_a_cpu(p):
    """What a device computes, computed here: rates, independence, and the same masks again."""
    dropout = MemberDropout(p)

    def draw(seeds, n=80_000):
        dropout.seed([(seed, 3, 1) for seed in seeds])
        states = dropout.hashed_bytes(n, torch.device("cpu")), dropout.hashed_bytes(n, "cpu")
        return [(bytes_ >= dropout.threshold).double() for bytes_ in states]

    first, second = draw([1, 2, 3])
    assert not torch.equal(first, second)
    torch.testing.assert_close(torch.cat(draw([2])), torch.stack([first[1], second[1]]))
    masks = torch.cat([first, second])
    rate = 1 - dropout.threshold / 256
    deviation = (rate * (1 - rate) / 80_000) ** 0.5
    assert (masks.mean(1) - rate).abs().max() < 5 * deviation
    correlation = torch.corrcoef(torch.cat([masks, masks.roll(1, 1)]))
    assert (correlation - torch.eye(12).double()).abs().max() < 5 / 80_000**0.5

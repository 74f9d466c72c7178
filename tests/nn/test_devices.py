"""Steps of all networks on a pretended accelerator: nothing stays behind, nothing waits."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

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
    MemberLosses,
    NetworkStack,
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
from trisk.nn.members import MemberDropout

CUTOFF = 4.0
PACKAGES = {"esen": "fairchem", "mace": "mace", "orb": "orb_models"}


@pytest.fixture(scope="module")
def apart():
    """Run a function in a process in which autograd did nothing before there was the device."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def step(on, network, criterion, inputs, targets, *, predict=True):
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


def hybrid():
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


def composition_encoder():
    network = CompositionEncoderNetwork([1, 2], 3, dim=8, n_layers=1, n_heads=2)
    with fake_device() as on:
        x = on.tensor(torch.ones(2, 6, 8))
        targets = on.tensor(torch.zeros(2, 6, 3)), on.tensor(torch.zeros(2, 6))
        step(on, network, DeepSupervisionLoss("cross_entropy"), x, targets)


def graph_network(dropout):
    return GraphTRIADSNetwork(
        [1, 2],
        n_atom_features=3,
        n_context=5,
        n_sensors=2,
        n_outputs=1,
        springs=True,
        order=3,
        n_radial=6,
        n_angular=4,
        cutoff=4.0,
        element_dim=3,
        hidden_dim=8,
        bond_dim=6,
        angle_dim=4,
        feedforward_dim=8,
        n_heads=2,
        min_cycles=1,
        max_cycles=4,
        halting_threshold=0.1,
        dropout=dropout,
    )


def graph():
    network, batch = graph_network(0.1), three_chains(torch.float32)
    with fake_device() as on:
        targets = on.tensor(torch.zeros(2, 3, 1)), on.tensor(torch.zeros(2, 3))
        criterion = DeepSupervisionLoss("absolute_error", ponder_cost=0.1)
        step(on, network, criterion, on.batch(batch), targets)


def encoder(streams=STREAMS, backbone="builtin", **composition):
    has = [name in streams for name in STREAMS]
    return TriForcesEncoder(
        CompositionStream(8, 1, 2, **composition) if has[0] else None,
        StructureStream(CUTOFF, 8) if has[1] else None,
        make_backbone(backbone, cutoff=CUTOFF, dim=8, n_layers=2) if has[2] else None,
    )


def crystals():
    return batch_of([rattled("GaAs"), rattled("MgO", seed=1)], CUTOFF, torch.float32)


def properties(streams, pooling="attention", *, predict=True):
    network = PropertyNetwork(
        streams, PropertyHead(streams.widths, 8, 2, pooling=pooling, dropout=0.3)
    )
    batch, criterion = crystals(), PropertyLoss("squared_error")
    with fake_device() as on:
        targets = {"target": on.tensor(torch.zeros(2, 2)), "weight": on.tensor(torch.zeros(2))}
        step(on, network, criterion, on.batch(batch), targets, predict=predict)


def pooled(pooling, stoichiometry):
    properties(encoder(stoichiometry=stoichiometry, class_token=True), pooling)


def other_backbone(name):
    # The second run of TorchScript, on which MACE stands, compares tensors.
    properties(encoder(["interaction"], name), predict=False)


def potential(*names, n_networks=1):
    streams, batch = encoder(names), crystals()
    network = PotentialNetwork(streams, EnergyHead(streams.widths, 8, repulsion=CUTOFF))
    criterion = PotentialLoss(1, 10, 1, 1, 1, 1)
    if n_networks > 1:
        network, criterion = NetworkStack([network] * n_networks), MemberLosses(criterion)
    shapes = {"energy": (2,), "forces": (4, 3), "stress": (2, 3, 3), "n_atoms": (2,)}
    with fake_device() as on:
        targets = {name: on.tensor(torch.ones(shape)) for name, shape in shapes.items()}
        step(on, network, criterion, on.batch(batch), targets)


def pretraining():
    network, batch = PretrainingNetwork(encoder(), 8, n_slices=5), crystals()
    targets = {
        "elements": batch.atomic_numbers,
        "masked": torch.zeros(4, dtype=torch.bool),
        "moved": torch.ones(4, dtype=torch.bool),
        "noise": torch.zeros(4, 3),
    }
    criterion = PretrainingLoss({"denoising": 1.0, "masking": 1.0, "lejepa": 1.0})
    with fake_device() as on:
        targets = {name: on.tensor(values) for name, values in targets.items()}
        step(on, network, criterion, on.batch(batch), targets)


def tells_of_mixtures_and_waiting():
    with fake_device() as on:
        x = on.tensor(torch.ones(3))
        with pytest.raises(Exception, match=r"same device|two devices"):
            x + torch.ones(3)
        with pytest.raises(Exception, match=r"aten\._local_scalar_dense"):
            x.sum().item()
        with pytest.raises(Exception, match=r"aten\.nonzero"):
            x[x > 0]


CASES = {
    "hybrid": hybrid,
    "composition encoder": composition_encoder,
    "graph": graph,
    "attention": partial(pooled, "attention", "counts"),
    "mean": partial(pooled, "mean", "reduced"),
    "sum": partial(pooled, "sum", "fractions"),
    "potential": partial(potential, *STREAMS),
    "stack of potentials": partial(potential, *STREAMS, n_networks=3),
    **{f"potential of {name}": partial(potential, name) for name in STREAMS},
    "pretraining": pretraining,
    "mixtures": tells_of_mixtures_and_waiting,
}


@pytest.mark.parametrize("case", CASES)
def test_step(case, apart):
    apart(CASES[case])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), PACKAGES.items())
def test_step__other_backbones(name, package, apart):
    pytest.importorskip(package)
    apart(other_backbone, name)


def test_cycles_that_no_crystal_needs_change_nothing():
    network, batch = graph_network(0.0), three_chains(torch.float32)
    criterion = DeepSupervisionLoss("absolute_error", ponder_cost=0.1)
    targets = torch.ones(2, 3, 1), torch.ones(2, 3)
    losses, n_steps = [], []
    for network.exits_early in (True, False):
        output = network(batch)
        losses.append(criterion(output, targets))
        n_steps.append(output["steps"].shape[1])
    assert n_steps == [2, 4]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_by_counters_is_as_random_as_on_a_cpu(p):
    """What a device computes, computed here: rates, independence, and the same masks again."""
    dropout, n = MemberDropout(p), 80_000

    def draw(seeds):
        dropout.seed([(seed, 3, 1) for seed in seeds])
        drawn = [dropout.hashed_bytes(n, torch.device("cpu")) for _ in range(2)]
        return torch.cat([(bytes_ >= dropout.threshold).double() for bytes_ in drawn])

    masks = draw([1, 2, 3])
    assert torch.equal(draw([2]), masks[[1, 4]])
    rate = 1 - dropout.threshold / 256
    assert (masks.mean(1) - rate).abs().max() < 5 * (rate * (1 - rate) / n) ** 0.5
    correlation = torch.corrcoef(torch.cat([masks, masks.roll(1, 1)]))
    assert (correlation - torch.eye(12).double()).abs().max() < 5 / n**0.5

"""Views of crystals: what is drawn, and what no stream may see."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trisk.estimators.triforces import TriForcesOptions, build_encoder
from trisk.nn import STREAMS, PretrainingLoss, PretrainingNetwork, to_batch
from trisk.structures import connect, read_structures
from trisk.testing import make_structures
from trisk.training.pretraining import (
    ViewDataset,
    ViewMaker,
    draw_masks,
    draw_noise,
    draw_rotations,
)

WEIGHTS = {"denoising": 1.0, "masking": 1.0, "lejepa": 1.0}


@pytest.fixture(scope="module")
def graphs():
    return read_structures(make_structures(16, random_state=0)[0])[0]


@pytest.fixture
def network():
    torch.manual_seed(0)
    streams = TriForcesOptions(hidden_dim=8, n_layers=2, cutoff=4.5)._encoder()
    return PretrainingNetwork(build_encoder(streams), 8).double()


def test_noise_has_no_mean_and_unit_variance():
    counts = np.tile([2, 3, 5, 1], 2000)
    noise = draw_noise(counts, np.random.default_rng(0))
    structures = np.repeat(np.arange(len(counts)), counts)
    means = np.add.reduceat(noise, np.cumsum(counts) - counts)
    np.testing.assert_allclose(means, 0, atol=1e-12)
    for n_atoms in (2, 3, 5):
        of_size = noise[counts[structures] == n_atoms]
        np.testing.assert_allclose(of_size.std(), 1, atol=0.02)
    assert (noise[counts[structures] == 1] == 0).all()


def test_every_structure_has_a_hidden_atom():
    counts = np.tile([1, 2, 4, 40], 500)
    masked = draw_masks(counts, (0.1, 0.3), np.random.default_rng(0))
    per_structure = np.add.reduceat(masked, np.cumsum(counts) - counts)
    assert per_structure.min() == 1
    assert masked[np.repeat(counts, counts) == 40].mean() == pytest.approx(0.2, abs=0.01)
    first = masked.reshape(500, -1)[:, 1:3]
    assert 0.3 < first[:, 0].mean() < 0.7, "one of two atoms is hidden more often"


def test_rotations_have_no_preferred_direction():
    rotations = draw_rotations(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    # Euler angles that are drawn uniformly would give 0.5 for some of these.
    np.testing.assert_allclose((rotations**2).mean(0), 1 / 3, atol=0.01)


def test_views_hold_what_they_were_made_with(graphs):
    maker = ViewMaker(4.5, noise=(0.1, 0.1), masked=(0.2, 0.2), cutoff_range=(0.6, 0.6))
    batch, targets = maker(graphs, np.random.default_rng(0))
    n_atoms = len(graphs.atomic_numbers)
    assert len(batch) == 2 * len(graphs)
    np.testing.assert_array_equal(targets["elements"], np.tile(graphs.atomic_numbers, 2))
    assert (batch.atomic_numbers[targets["masked"]] == 0).all()
    assert (batch.atomic_numbers[~targets["masked"]] > 0).all()
    moved = batch.positions.numpy() - np.tile(graphs.positions, (2, 1))
    np.testing.assert_allclose(moved, 0.1 * targets["noise"], atol=1e-5)
    assert not torch.equal(targets["noise"][:n_atoms], targets["noise"][n_atoms:])
    assert batch.lengths[batch.padding[:, 0] == 0].max() <= 0.6 * 4.5
    again, _ = maker(graphs, np.random.default_rng(0))
    assert torch.equal(again.positions, batch.positions)


def test_views_without_changes_are_the_crystals(graphs):
    batch, targets = ViewMaker(4.5)(graphs, np.random.default_rng(0))
    plain = to_batch(connect(graphs, 4.5))
    assert not targets["masked"].any()
    assert not targets["moved"].any()
    torch.testing.assert_close(batch.lengths.sort()[0][::2], plain.lengths.sort()[0])


def test_hidden_elements_are_invisible_to_every_stream(graphs, network):
    maker = ViewMaker(4.5, masked=(0.3, 0.3))
    batch, targets = maker(graphs, np.random.default_rng(0))
    n_atoms, n_structures = len(graphs.atomic_numbers), len(graphs)
    hidden = targets["masked"][:n_atoms].numpy()
    first = np.logical_or.reduceat(hidden, graphs.offsets["atom"][:-1])
    second = targets["masked"][n_atoms:].numpy()
    second = np.logical_or.reduceat(second, graphs.offsets["atom"][:-1])
    assert (first != second).all(), "one view of each structure hides something"
    other = graphs.take(np.arange(n_structures))
    other.atomic_numbers[hidden] = 79
    changed, _ = maker(other, np.random.default_rng(0))
    atoms = np.repeat(first, graphs.counts("atom"))
    outputs = [network(b.to(dtype=torch.float64)) for b in (batch, changed)]
    for level, rows, n_rows in (("atoms", atoms, n_atoms), ("structures", first, n_structures)):
        for stream in STREAMS:
            before, after = (output[level][stream] for output in outputs)
            assert torch.equal(before[:n_rows][rows], after[:n_rows][rows])
            seen = stream != "structure"
            assert torch.equal(before[n_rows:], after[n_rows:]) != seen


def test_guesses_of_noise_turn_with_the_crystal(graphs, network):
    batch = to_batch(connect(graphs, 4.5), dtype=torch.float64)
    batch = batch.moved(batch.positions + 0.1 * torch.randn_like(batch.positions))
    turn = torch.from_numpy(draw_rotations(1, np.random.default_rng(0))[0])
    plain = network(batch)
    turned = network(
        replace(batch, positions=batch.positions @ turn.T, lattices=batch.lattices @ turn.T)
    )
    torch.testing.assert_close(turned["noise"], plain["noise"] @ turn.T)
    torch.testing.assert_close(turned["elements"], plain["elements"])


def test_every_objective_reaches_every_stream(graphs, network):
    maker = ViewMaker(4.5, (0.05, 0.1), (0.2, 0.3), (0.7, 1.0))
    batch, targets = maker(graphs, np.random.default_rng(0))
    targets["noise"] = targets["noise"].double()
    terms = PretrainingLoss(WEIGHTS).terms(network(batch.to(dtype=torch.float64)), targets)
    assert list(terms) == list(WEIGHTS)
    for term in terms.values():
        network.zero_grad()
        term.backward(retain_graph=True)
        for stream in STREAMS:
            gradients = [p.grad for p in getattr(network.encoder, stream).parameters()]
            assert any(g is not None and g.abs().max() > 0 for g in gradients)


def test_loss_of_the_right_guess_is_zero(graphs, network):
    maker = ViewMaker(4.5, (0.05, 0.1), (0.2, 0.3))
    batch, targets = maker(graphs, np.random.default_rng(0))
    output = network(batch.to(dtype=torch.float64))
    output["noise"] = targets["noise"]
    output["elements"] = 1e3 * torch.nn.functional.one_hot(targets["elements"], 119).double()
    assert list(output["stream_elements"]) == ["composition", "interaction"]
    output["stream_elements"] = {"composition": output["elements"]}
    terms = PretrainingLoss(WEIGHTS).terms(output, targets)
    assert float(terms["denoising"]) == 0
    assert float(terms["masking"]) == pytest.approx(0, abs=1e-6)
    zero = PretrainingLoss(WEIGHTS)._denoising(output | {"noise": 0 * targets["noise"]}, targets)
    assert float(zero) == pytest.approx(1, abs=0.15), "guessing nothing costs one"


def test_weight_of_lejepa_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    loss = PretrainingLoss({"lejepa": 1.0})
    views = (0.5 + 2 * torch.randn(4096, 8)).repeat(2, 1)
    directions = torch.nn.functional.normalize(torch.randn(8, 128), dim=0)
    sizes = [
        float(loss._agreement(part.flatten(0, 1), directions))
        for part in (views.view(2, -1, 8)[:, :512], views.view(2, -1, 8))
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_views_depend_on_seed_epoch_and_place_only(graphs):
    maker = ViewMaker(4.5, (0.05, 0.1), (0.2, 0.3), (0.7, 1.0))

    def epoch(number, part=slice(None)):
        dataset = ViewDataset(graphs, maker, seed=3, device="cpu", part=part)
        return [batch.positions for batch, _ in dataset.batches(5, number)]

    first, again, second = epoch(0), epoch(0), epoch(1)
    assert len(first) == 4
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], second[0])
    # Processes share a batch: what one of them draws is what all would.
    halves = [epoch(0, slice(rank, None, 2)) for rank in (0, 1)]
    for whole, *parts in zip(first, *halves, strict=True):
        assert sum(map(len, parts)) == len(whole)
        rows = {tuple(row) for row in whole.tolist()}
        assert {tuple(row) for part in parts for row in part.tolist()} == rows

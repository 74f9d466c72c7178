"""The container of crystals agrees with ASE and moves differentiably."""

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from crystal_batches import REFERENCE_CRYSTALS, batch_of, rattled

from trisk.nn import CrystalBatch


def test_vectors_are_ases_on_a_mixed_batch():
    crystals = [*REFERENCE_CRYSTALS.values(), rattled()]
    batch = batch_of(crystals, 5.0)
    real = batch.padding[:, 0] == 0
    expected = np.concatenate([neighbor_list("d", c, 5.0) for c in crystals])
    assert int(real.sum()) == len(expected)
    np.testing.assert_allclose(np.sort(batch.lengths[real]), np.sort(expected), atol=1e-12)
    assert (batch.lengths[~real] > 100).all()
    assert len(batch.pair_blocks.shapes) > 3
    assert (~real).float().mean() < 0.35


def test_sums_over_neighbors_are_sums_over_pairs():
    batch = batch_of([rattled(), REFERENCE_CRYSTALS["C"], REFERENCE_CRYSTALS["K"]], 4.7)
    generator = torch.Generator().manual_seed(0)
    n_pairs = len(batch.centers)
    left = torch.rand(n_pairs, 3, generator=generator, dtype=torch.float64)
    left = left * (batch.padding == 0)
    right = torch.rand(n_pairs, 5, generator=generator, dtype=torch.float64)
    outer = left.unsqueeze(2) * right.unsqueeze(1)
    expected = torch.zeros(len(batch.atomic_numbers), 3, 5, dtype=torch.float64)
    expected.index_add_(0, batch.centers, outer)
    torch.testing.assert_close(batch.sum_over_neighbors(left, right), expected)


def test_messages_of_images_are_summed_once():
    """A cell of all links, one of atoms with their own neighbours, and atoms without any."""
    large = REFERENCE_CRYSTALS["Si"].repeat((6, 6, 6))
    large.rattle(0.1, seed=0)
    lone = Atoms("Ar", cell=[20, 20, 20], pbc=True)
    batch = batch_of([rattled(), lone, large, REFERENCE_CRYSTALS["K"]], 4.0)
    assert len(batch.links.senders) < len(batch.links.receivers) < len(batch.centers)
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(len(batch.centers), 3, generator=generator, dtype=torch.float64)
    weights = (weights * (batch.padding == 0)).requires_grad_()
    sent = torch.rand(len(batch.positions), 5, generator=generator, dtype=torch.float64)
    sent.requires_grad_()
    of_pairs = batch.sum_over_neighbors(weights, sent.index_select(0, batch.neighbors))
    of_links = batch.links.receive(batch.links.sum_over_images(weights), sent)
    torch.testing.assert_close(of_links, of_pairs)
    real = batch.padding[:, 0] == 0
    expected, found = (
        torch.autograd.grad(sums.square().sum(), (weights, sent)) for sums in (of_pairs, of_links)
    )
    torch.testing.assert_close(found[0][real], expected[0][real])
    torch.testing.assert_close(found[1], expected[1])


def test_atoms_without_neighbors_are_kept():
    lone = Atoms("Ar", cell=[20, 20, 20], pbc=True)
    batch = batch_of([lone, REFERENCE_CRYSTALS["Si"], lone], 5.0)
    ones = torch.ones(len(batch.centers), 1, dtype=torch.float64)
    counts = batch.sum_over_neighbors(ones * (batch.padding == 0), ones).flatten()
    assert counts.tolist() == [0, 28, 28, 0]
    alone = batch_of([lone], 5.0)
    assert alone.lengths.shape == (0,)
    assert alone.sum_over_neighbors(ones[:0], ones[:0]).shape == (1, 1, 1)


def test_strain_deforms_atoms_with_their_lattice_and_ignores_rotations():
    crystal = rattled()
    batch = batch_of([crystal, crystal], 5.0)
    strain = torch.zeros(2, 3, 3, dtype=torch.float64)
    strain[0, 0, 1] = 0.02
    strained = batch.strained(strain)
    deformation = np.array([[1, 0.01, 0], [0.01, 1, 0], [0, 0, 1]])
    crystal.set_cell(crystal.cell.array @ deformation, scale_atoms=True)
    np.testing.assert_allclose(strained.positions[:2], crystal.positions, atol=1e-12)
    np.testing.assert_allclose(strained.lattices[0], crystal.cell.array, atol=1e-12)
    torch.testing.assert_close(strained.positions[2:], batch.positions[2:])
    strain[0, 1, 0] = -0.02
    torch.testing.assert_close(batch.strained(strain).vectors, batch.vectors)


def test_to_keeps_integers():
    batch = batch_of([rattled()]).to(dtype=torch.float32)
    assert batch.positions.dtype == torch.float32
    assert batch.atomic_numbers.dtype == torch.int64
    assert isinstance(batch, CrystalBatch)

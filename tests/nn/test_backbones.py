"""The built-in backbone is equivariant, smooth and independent of its batch."""

import numpy as np
import torch
from ase import Atoms
from crystal_batches import REFERENCE_CRYSTALS, batch_of, rattled, rotated, rotation

from trisk.nn import EquivariantBackbone

CUTOFF = 5.0


def backbone():
    torch.manual_seed(0)
    return EquivariantBackbone(CUTOFF, 12).double()


def test_scalars_are_invariant_and_vectors_turn_along():
    module, crystal = backbone(), rattled("MgO")
    scalars, vectors = module(batch_of([crystal], CUTOFF))
    for improper in (False, True):
        matrix = rotation(3, improper)
        turned_scalars, turned = module(batch_of([rotated(crystal, matrix)], CUTOFF))
        torch.testing.assert_close(turned_scalars, scalars, atol=1e-10, rtol=0)
        expected = torch.einsum("ij,njf->nif", torch.tensor(matrix), vectors)
        torch.testing.assert_close(turned, expected, atol=1e-10, rtol=0)
    assert vectors.abs().max() > 1e-2


def test_independent_of_batch_and_of_the_cell():
    module, crystal = backbone(), rattled("MgO")
    alone = module(batch_of([crystal], CUTOFF))
    crowd = [REFERENCE_CRYSTALS["K"], crystal, REFERENCE_CRYSTALS["C"].repeat(2)]
    together = module(batch_of(crowd, CUTOFF))
    large = module(batch_of([crystal.repeat((1, 2, 1))], CUTOFF))
    for one, part, many in zip(alone, together, large, strict=True):
        torch.testing.assert_close(part[1:3], one, atol=1e-10, rtol=0)
        torch.testing.assert_close(many, torch.cat([one, one]), atol=1e-10, rtol=0)


def test_permutation_of_atoms_permutes_the_embedding():
    module, crystal = backbone(), rattled("MgO").repeat((1, 1, 2))
    order = np.random.default_rng(0).permutation(len(crystal))
    scalars, vectors = module(batch_of([crystal], CUTOFF))
    permuted = module(batch_of([crystal[order]], CUTOFF))
    torch.testing.assert_close(permuted[0], scalars[order], atol=1e-10, rtol=0)
    torch.testing.assert_close(permuted[1], vectors[order], atol=1e-10, rtol=0)


def test_a_neighbor_fades_at_the_cutoff():
    module = backbone()

    def embed(distance):
        pair = Atoms("LiF", [[0, 0, 0], [distance, 0, 0]], cell=[30] * 3, pbc=True)
        return module(batch_of([pair], CUTOFF + 0.5))[0]

    assert (embed(CUTOFF - 1e-3) - embed(CUTOFF + 0.3)).abs().max() < 1e-6
    assert (embed(4.0) - embed(CUTOFF + 0.3)).abs().max() > 1e-3

"""Attention over unique elements is attention over all atoms."""

import math

import pytest
import torch
from ase import Atoms
from crystal_batches import batch_of
from torch import nn

from trisk.nn import CompositionStream

COMPOSITIONS = ["BaTiO3", "Si2", "Fe2O3", "H8C3N5", "Ar"]


def crystals(formulas=COMPOSITIONS):
    return [Atoms(f, cell=[9, 9, 9], pbc=True) for f in formulas]


def batch(formulas=COMPOSITIONS):
    # Positions never enter, so no pair of atoms needs to be known.
    return batch_of(crystals(formulas), 0.1)


def stream(**options):
    torch.manual_seed(0)
    module = CompositionStream(24, 3, 4, **options).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def attend_to_all_atoms(module, numbers):
    """The same network with one token for every atom."""
    x = module.embed(torch.as_tensor(numbers)).unsqueeze(0)
    if module.class_token is not None:
        x = torch.cat([module.class_token.view(1, 1, -1), x], dim=1)
    for layer in module.layers:
        n_tokens = x.shape[1]
        heads = layer.project(layer.norm(x)).view(1, n_tokens, 3, layer.n_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)
        x = x + layer.merge((weights @ v).transpose(1, 2).reshape(x.shape))
        x = x + layer.update(x)
    x = module.norm(x)[0]
    if module.class_token is not None:
        return x[1:], x[0]
    return x, x.mean(0)


@pytest.mark.parametrize("class_token", [False, True])
def test_equals_attention_over_all_atoms(class_token):
    module = stream(class_token=class_token)
    atoms, structures = module(batch())
    start = 0
    for crystal, structure in zip(crystals(), structures, strict=True):
        expected_atoms, expected = attend_to_all_atoms(module, crystal.numbers)
        found = atoms[start : start + len(crystal)]
        torch.testing.assert_close(found, expected_atoms, atol=1e-10, rtol=0)
        torch.testing.assert_close(structure, expected, atol=1e-10, rtol=0)
        start += len(crystal)


@pytest.mark.parametrize(
    ("options", "is_invariant"),
    [
        ({}, True),
        ({"class_token": True}, False),
        ({"stoichiometry": "reduced", "class_token": True}, True),
        ({"stoichiometry": "fractions", "class_token": True}, True),
        ({"stoichiometry": "fractions"}, True),
    ],
)
def test_supercell_law(options, is_invariant):
    module = stream(**options)
    sizes = ["Fe2O3", "Fe4O6", "Fe8O12", "Fe16O24", "Fe32O48"]
    embeddings = module(batch(sizes))[1]
    steps = embeddings.diff(dim=0).norm(dim=1)
    if is_invariant:
        assert steps.max() < 1e-10
    else:
        # The class token loses weight against the atoms: a finite limit, so never extensive.
        assert steps[0] > 1e-2
        assert (steps[1:] < 0.8 * steps[:-1]).all()


@pytest.mark.parametrize("stoichiometry", ["counts", "reduced", "fractions"])
def test_independent_of_order_batch_and_padding(stoichiometry):
    module = stream(stoichiometry=stoichiometry, class_token=True)
    together = module(batch())[1]
    for row, formula in enumerate(COMPOSITIONS):
        torch.testing.assert_close(module(batch([formula]))[1][0], together[row])
    atoms, structure = module(batch(["O3TiBa"]))
    torch.testing.assert_close(structure[0], together[0])
    torch.testing.assert_close(atoms.flip(0), module(batch(["BaTiO3"]))[0])


def test_sees_no_geometry_and_says_what_it_cannot_do():
    there = batch()
    there.positions.requires_grad_()
    atoms, structures = stream()(there)
    gradient = torch.autograd.grad(
        atoms.sum() + structures.sum(), there.positions, allow_unused=True
    )
    assert gradient == (None,)
    with pytest.raises(ValueError, match="'reduced'"):
        CompositionStream(8, 1, 2, stoichiometry="gcd")
    with pytest.raises(ValueError, match="no multiple of the 3 heads"):
        CompositionStream(8, 1, 3)

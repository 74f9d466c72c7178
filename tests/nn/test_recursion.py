"""The recursion against a loop written out."""

import pytest
import torch
from torch.nn import functional as F

from trisk.nn import initialize_members
from trisk.nn.recursion import RecursiveCore

_K, _B, _DIM, _HIDDEN = 2, 5, 6, 9


def _core(n_steps):
    core = RecursiveCore(_K, _DIM, _HIDDEN, n_steps, 0.1)
    initialize_members(core, range(_K))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return core.double().eval()


def _update(update, inputs, member):
    hidden = torch.cat(inputs, dim=-1) @ update.weight[member] + update.bias[member]
    out = F.gelu(hidden) @ update.outer.weight[member] + update.outer.bias[member]
    return F.layer_norm(out, (_DIM,), update.norm.gain[member, 0], update.norm.bias[member, 0])


@pytest.mark.parametrize("n_steps", [1, 2, 5])
@pytest.mark.parametrize("member", range(_K))
def test_recursion_equals_a_plain_loop(n_steps, member):
    core = _core(n_steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_K, _B, _DIM, dtype=torch.float64, generator=generator)
    answers = core(x)
    assert answers.shape == (_K, n_steps, _B, _DIM)
    y = z = torch.zeros(_B, _DIM, dtype=torch.float64)
    for step in range(n_steps):
        z = z + _update(core.latent, [x[member], y, z], member)
        y = y + _update(core.answer, [y, z], member)
        torch.testing.assert_close(answers[member, step], y)


def test_recursion_shares_its_weights_between_steps():
    def n_parameters(n_steps):
        return sum(p.numel() for p in _core(n_steps).parameters())

    assert n_parameters(1) == n_parameters(20)

"""Member-batched layers against plain torch and direct formulas."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trisk.nn import MemberLinear, initialize_members, select_members
from trisk.nn.members import MemberDropout, MemberLayerNorm, PeriodicEmbedding

_SEEDS = [11, 12, 13]


def _randn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _initialized(layer, seeds=_SEEDS):
    initialize_members(layer, seeds)
    return layer.double()


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 6, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_applies_each_members_own_map(shape, bias):
    layer = _initialized(MemberLinear(3, 4, 7, bias=bias))
    if bias:
        with torch.no_grad():
            layer.bias.normal_(generator=torch.Generator().manual_seed(1))
    x = _randn(*shape)
    out = layer(x)
    for k in range(3):
        offset = layer.bias[k, 0] if bias else None
        torch.testing.assert_close(out[k], F.linear(x[k], layer.weight[k].T, offset))


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 6, 4)])
def test_layer_norm_equals_torch_with_each_members_affine_map(shape):
    layer = _initialized(MemberLayerNorm(3, 4))
    with torch.no_grad():
        layer.gain.normal_(generator=torch.Generator().manual_seed(1))
        layer.bias.normal_(generator=torch.Generator().manual_seed(2))
    x = _randn(*shape)
    out = layer(x)
    for k in range(3):
        expected = F.layer_norm(x[k], (4,), layer.gain[k, 0], layer.bias[k, 0])
        torch.testing.assert_close(out[k], expected)


def test_initialization_depends_on_the_members_own_seed_only():
    together = _initialized(MemberLinear(3, 4, 7))
    alone = _initialized(MemberLinear(1, 4, 7), _SEEDS[1:2])
    assert torch.equal(together.weight[1], alone.weight[0])
    assert not torch.equal(together.weight[0], together.weight[1])


def test_initialization_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    _initialized(MemberLinear(3, 4, 7))
    assert torch.equal(torch.random.get_rng_state(), before)


def _dropout(p, seeds):
    dropout = MemberDropout(p)
    dropout.seed([(seed, 0, 0) for seed in seeds])
    return dropout


def test_dropout_draws_the_same_masks_alone_and_in_a_batch():
    together, alone = _dropout(0.3, _SEEDS), _dropout(0.3, _SEEDS[1:2])
    ones = torch.ones(3, 5, 7)  # 35 elements: not a whole number of 8-byte words
    for _ in range(4):
        masks = together(ones)
        assert torch.equal(masks[1], alone(ones[1:2])[0])
        assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_dropout_rate_is_p_to_a_256th_and_keeps_the_mean(p):
    dropped = _dropout(p, [1])(torch.ones(1, 1000, 400))
    n = dropped.numel()
    rate = (dropped == 0).double().mean().item()
    sampling = 5 * math.sqrt(p * (1 - p) / n)
    assert abs(rate - p) < 1 / 512 + sampling
    kept = dropped[dropped != 0]
    assert kept.unique().numel() == 1
    assert dropped.double().mean().item() == pytest.approx(1, abs=sampling / (1 - p) + 1e-6)


def test_dropout_is_off_in_evaluation_and_at_rate_zero():
    x = _randn(2, 5, 4)
    assert _dropout(0.5, [1, 2]).eval()(x) is x
    assert _dropout(0.0, [1, 2])(x) is x


def test_dropout_at_a_rate_near_one_keeps_something():
    dropped = _dropout(0.999, [1])(torch.ones(1, 200, 200))
    assert torch.isfinite(dropped).all()
    assert 0 < (dropped == 0).double().mean() < 1


def test_dropout_streams_start_anew_when_seeded():
    dropout = _dropout(0.5, [1])
    x = torch.ones(1, 50, 4)
    first, second = dropout(x), dropout(x)
    dropout.seed([(1, 0, 0)])
    assert torch.equal(dropout(x), first)
    dropout.seed([(1, 1, 0)])
    other_epoch = dropout(x)
    assert not torch.equal(other_epoch, first)
    assert not torch.equal(second, first)


def test_periodic_embedding_equals_its_formula():
    layer = _initialized(PeriodicEmbedding(3, 2, n_frequencies=5, dim=4, frequency_scale=0.7))
    with torch.no_grad():
        layer.gain.normal_(generator=torch.Generator().manual_seed(1))
    x = _randn(3, 6, 2)
    out = layer(x)
    assert layer.out_features == 8
    assert out.shape == (3, 6, 8)
    for k in range(3):
        for row in range(6):
            for d in range(2):
                scaled = layer.gain[k, 0, d] * x[k, row, d]
                angle = 2 * math.pi * (layer.frequency[k, d, 0] * scaled + layer.phase[k, d, 0])
                expected = torch.cat([scaled.view(1), angle.cos() @ layer.weight[k, d]])
                torch.testing.assert_close(out[k, row, 4 * d : 4 * d + 4], expected)


def test_select_members_copies_the_parameters_of_those_members():
    layer = _initialized(nn.Sequential(MemberLinear(3, 4, 6), MemberLinear(3, 6, 2)))
    part = nn.Sequential(MemberLinear(2, 4, 6), MemberLinear(2, 6, 2)).double()
    state = select_members(layer.state_dict(), slice(1, 3))
    part.load_state_dict(state)
    x = _randn(3, 5, 4)
    expected = layer(x)[1:]
    torch.testing.assert_close(part(x[1:]), expected)
    for value in state.values():
        value.zero_()
    torch.testing.assert_close(layer(x)[1:], expected)

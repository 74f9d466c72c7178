"""Attention layers against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trisk.nn import initialize_members
from trisk.nn.attention import ContextAttention, SelfAttentionLayer, TokenProjection

_K, _B, _T, _DIM, _HEADS = 2, 5, 4, 12, 3


def _randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _initialized(layer):
    """Draw the parameters, and move biases and gains off zero and one."""
    initialize_members(layer, range(_K))
    layer.double().eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in layer.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise, alpha=0.3)
    return layer


def _copy_linear(target, layer, member):
    target.weight.copy_(layer.weight[member].T)
    target.bias.copy_(layer.bias[member, 0])


def _copy_norm(target, layer, member):
    target.weight.copy_(layer.gain[member, 0])
    target.bias.copy_(layer.bias[member, 0])


@pytest.mark.parametrize("member", range(_K))
def test_self_attention_equals_torch_with_copied_weights(member):
    layer = _initialized(SelfAttentionLayer(_K, _DIM, _HEADS, 0.1))
    oracle = nn.MultiheadAttention(_DIM, _HEADS, batch_first=True, dtype=torch.float64).eval()
    with torch.no_grad():
        oracle.in_proj_weight.copy_(layer.query_key_value.weight[member].T)
        oracle.in_proj_bias.copy_(layer.query_key_value.bias[member, 0])
        _copy_linear(oracle.out_proj, layer.mix, member)
    tokens = _randn(_K, _B, _T, _DIM)
    mixed, weights = layer.attend(tokens)
    x = tokens[member]
    expected, expected_weights = oracle(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(layer.mix(mixed)[member], expected)
    torch.testing.assert_close(weights[member], expected_weights)


@pytest.mark.parametrize("member", range(_K))
def test_self_attention_layer_equals_torchs_post_norm_encoder_layer(member):
    layer = _initialized(SelfAttentionLayer(_K, _DIM, _HEADS, 0.1))
    oracle = nn.TransformerEncoderLayer(
        _DIM, _HEADS, 2 * _DIM, activation="gelu", batch_first=True, dtype=torch.float64
    ).eval()
    with torch.no_grad():
        oracle.self_attn.in_proj_weight.copy_(layer.query_key_value.weight[member].T)
        oracle.self_attn.in_proj_bias.copy_(layer.query_key_value.bias[member, 0])
        _copy_linear(oracle.self_attn.out_proj, layer.mix, member)
        _copy_linear(oracle.linear1, layer.inner, member)
        _copy_linear(oracle.linear2, layer.outer, member)
        _copy_norm(oracle.norm1, layer.norm, member)
        _copy_norm(oracle.norm2, layer.outer_norm, member)
    tokens = _randn(_K, _B, _T, _DIM)
    torch.testing.assert_close(layer(tokens)[member], oracle(tokens[member]))


@pytest.mark.parametrize("member", range(_K))
def test_context_attention_equals_cross_attention_to_one_key(member):
    layer = _initialized(ContextAttention(_K, 7, _DIM))
    oracle = nn.MultiheadAttention(_DIM, _HEADS, batch_first=True, dtype=torch.float64).eval()
    with torch.no_grad():
        # Queries and keys of the oracle stay random: they must not matter.
        oracle.in_proj_weight[2 * _DIM :].copy_(layer.value.weight[member].T)
        oracle.in_proj_bias[2 * _DIM :].copy_(layer.value.bias[member, 0])
        _copy_linear(oracle.out_proj, layer.mix, member)
    tokens, context = _randn(_K, _B, _T, _DIM), _randn(_K, _B, 7, seed=1)
    key = F.gelu(layer.project_norm(layer.project(context)))[member].unsqueeze(1)
    added = oracle(tokens[member], key, key)[0]
    expected = layer.norm(tokens + added)[member]
    torch.testing.assert_close(layer(tokens, context)[member], expected)


@pytest.mark.parametrize("shared", [True, False])
def test_token_projection_equals_one_map_per_token(shared):
    layer = _initialized(TokenProjection(_K, _T, 3, _DIM, shared=shared))
    x = _randn(_K, _B, _T * 3)
    out = layer(x)
    assert out.shape == (_K, _B, _T, _DIM)
    lifted = torch.empty(_K, _B, _T, _DIM, dtype=torch.float64)
    for k in range(_K):
        for t in range(_T):
            token_map = 0 if shared else t
            lifted[k, :, t] = (
                x[k, :, 3 * t : 3 * t + 3] @ layer.weight[k, token_map]
                + layer.bias[k, 0, token_map]
            )
    expected = F.gelu(layer.norm(lifted))
    torch.testing.assert_close(out, expected)


def test_unshared_projection_tells_equal_tokens_apart_from_the_start():
    for shared, equal in ((True, True), (False, False)):
        layer = TokenProjection(1, 2, 3, _DIM, shared=shared)
        initialize_members(layer, [0])
        values = torch.randn(1, _B, 3, generator=torch.Generator().manual_seed(0))
        out = layer(torch.cat([values, values], dim=-1))
        assert torch.allclose(out[:, :, 0], out[:, :, 1]) is equal

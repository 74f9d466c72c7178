"""Encoders of compositions as members of an ensemble."""

import math

import pytest
import torch
from torch.nn import functional as F

from trisk._encoder_weights import read_encoder
from trisk.nn import (
    CompositionEncoder,
    CompositionEncoderNetwork,
    DeepSupervisionLoss,
    initialize_members,
    select_members,
)

_SIZES = {"dim": 8, "n_layers": 2, "n_heads": 2, "embedding_dim": 6, "n_answers": 3}
_SEEDS = [3, 1, 4]
_TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}


def _make(seeds):
    return CompositionEncoderNetwork(seeds, 2, head_dim=5, **_SIZES).double()


@pytest.fixture
def tokens():
    """Nine compositions of one to five elements, and their fractions, ``(9, 10)``."""
    generator = torch.Generator().manual_seed(0)
    elements = torch.rand(9, 118, generator=generator).argsort(1)[:, :5] + 1
    fractions = torch.rand(9, 5, dtype=torch.float64, generator=generator)
    lengths = torch.tensor([1, 3, 2, 5, 4, 1, 2, 3, 3])
    fractions = fractions * (torch.arange(5) < lengths[:, None])
    return torch.cat([elements, fractions / fractions.sum(1, keepdim=True)], dim=1)


def _train(network, x, n_steps):
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    criterion, k = DeepSupervisionLoss("absolute_error"), network.n_members
    weight = torch.ones(k, len(x), dtype=torch.float64)
    for _ in range(n_steps):
        optimizer.zero_grad()
        target = x[:, -2:].expand(k, -1, -1)
        criterion(network(x.expand(k, *x.shape)), (target, weight)).sum().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("n_steps", [0, 5])
def test_member_alone_equals_member_in_a_batch(tokens, n_steps):
    together = _train(_make(_SEEDS), tokens, n_steps)(tokens.expand(3, *tokens.shape))
    assert not torch.allclose(together["answer"][0], together["answer"][1])
    for k, seed in enumerate(_SEEDS):
        alone = _train(_make([seed]), tokens, n_steps)(tokens[None])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][k], value[0], **_TOLERANCE)


def test_selected_members_predict_as_before(tokens):
    network, part = _make(_SEEDS), _make([0, 0])
    part.load_state_dict(select_members(network.state_dict(), slice(1, 3)))
    expected = network(tokens.expand(3, *tokens.shape))["answer"][1:]
    torch.testing.assert_close(part(tokens.expand(2, *tokens.shape))["answer"], expected)


def test_rows_do_not_depend_on_their_company(tokens):
    network = _make([0])
    together = network(tokens[None])["answer"][0]
    for row, expected in zip(tokens, together, strict=True):
        torch.testing.assert_close(network(row[None, None])["answer"][0, 0], expected, **_TOLERANCE)


def embed_one(weights, elements, fractions):
    """Embedding and answers of one composition, with a file's weights and torch's own layers."""

    def linear(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def normalized(name, x):
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    logarithms = fractions.clamp_min(1e-4).log()
    turns = 2 * torch.pi * fractions[:, None] * fractions.new_tensor([0.5, 1, 1.5, 2, 3, 4])
    scales = torch.stack([fractions, (logarithms - math.log(1e-4)) / 10], 1)
    x = weights["element"][elements] + linear("fraction", torch.cat([scales, turns.cos()], 1))
    n_heads = len(weights["pool.bias"])
    for layer in range(sum(name.endswith("weight_of_fraction") for name in weights)):
        name = f"layers.{layer}"
        projected = linear(f"{name}.project", normalized(f"{name}.norm_attention", x))
        query, key, value = projected.view(len(x), 3, n_heads, -1).permute(1, 2, 0, 3)
        bias = weights[f"{name}.weight_of_fraction"][:, None, None] * logarithms
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.expand(n_heads, len(x), len(x))
        )
        x = x + linear(f"{name}.join", mixed.transpose(0, 1).flatten(1))
        hidden = F.silu(linear(f"{name}.widen", normalized(f"{name}.norm_update", x)))
        x = x + linear(f"{name}.narrow", hidden)
    x = normalized("norm", x)
    shares = (linear("pool", x) + logarithms[:, None]).softmax(0)
    attended = (shares[:, :, None] * x.view(len(x), n_heads, -1)).sum(0).flatten()
    pooled = torch.cat([attended, fractions @ x])
    embedding = linear("narrow", F.silu(linear("widen", pooled)))
    return embedding, linear("answer", F.silu(embedding))


def test_shipped_weights_compute_what_torchs_own_layers_compute():
    weights, _ = read_encoder("default")
    weights = {name: torch.from_numpy(array).double() for name, array in weights.items()}
    network = CompositionEncoderNetwork([1, 2], 1).double()
    network.load_encoder(weights)
    compositions = [
        ([26, 8], [0.4, 0.6]),
        ([14], [1.0]),
        ([8, 29, 56, 39], [7 / 13, 3 / 13, 2 / 13, 1 / 13]),
    ]
    rows = torch.zeros(3, 8, dtype=torch.float64)
    for row, (elements, fractions) in zip(rows, compositions, strict=True):
        row[: len(elements)] = torch.tensor(elements)
        row[4 : 4 + len(elements)] = torch.tensor(fractions, dtype=torch.float64)
    found = network.encoder(rows.expand(2, *rows.shape))
    for i, (elements, fractions) in enumerate(compositions):
        expected = embed_one(
            weights, torch.tensor(elements), torch.tensor(fractions, dtype=torch.float64)
        )
        for values, one in zip(found, expected, strict=True):
            torch.testing.assert_close(values[:, i], one.expand(2, -1), rtol=1e-10, atol=1e-12)


def test_arrays_of_an_encoder_give_it_to_another(tokens):
    first, second = (CompositionEncoder(1, **_SIZES) for _ in range(2))
    initialize_members(first, [0])
    second.load_arrays(first.arrays())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_part_of_a_batch_is_cut_to_its_longest_row(tokens):
    encoder = _make([0]).encoder
    elements, fractions = tokens[None].chunk(2, dim=-1)
    whole = encoder.read(encoder.encode(elements.long(), fractions)[1])
    for found, expected in zip(encoder(tokens[None]), whole, strict=True):
        torch.testing.assert_close(found, expected, **_TOLERANCE)

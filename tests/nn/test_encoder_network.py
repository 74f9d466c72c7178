"""Encoders of compositions as members of an ensemble."""

import pytest
import torch

from trisk.nn import (
    CompositionEncoder,
    CompositionEncoderNetwork,
    DeepSupervisionLoss,
    select_members,
)

_SIZES = {"dim": 8, "n_layers": 2, "n_heads": 2, "embedding_dim": 6, "n_answers": 3}
_SEEDS = [3, 1, 4]
_TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}


def _make(seeds):
    return CompositionEncoderNetwork(seeds, 2, head_dim=5, **_SIZES).double()


@pytest.fixture
def fractions():
    """Nine compositions of one to five of twenty elements, ``(9, 20)``."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(9, 20, dtype=torch.float64, generator=generator)
    order = torch.rand(9, 20, generator=generator).argsort(1)
    x[order >= torch.tensor([1, 3, 2, 5, 4, 1, 2, 3, 3])[:, None]] = 0
    return x / x.sum(1, keepdim=True)


def _train(network, x, n_steps):
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    criterion, k = DeepSupervisionLoss("absolute_error"), network.n_members
    weight = torch.ones(k, len(x), dtype=torch.float64)
    for _ in range(n_steps):
        optimizer.zero_grad()
        target = x[:, :2].expand(k, -1, -1)
        criterion(network(x.expand(k, *x.shape)), (target, weight)).sum().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("n_steps", [0, 5])
def test_member_alone_equals_member_in_a_batch(fractions, n_steps):
    together = _train(_make(_SEEDS), fractions, n_steps)(fractions.expand(3, *fractions.shape))
    assert not torch.allclose(together["answer"][0], together["answer"][1])
    for k, seed in enumerate(_SEEDS):
        alone = _train(_make([seed]), fractions, n_steps)(fractions[None])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][k], value[0], **_TOLERANCE)


def test_selected_members_predict_as_before(fractions):
    network, part = _make(_SEEDS), _make([0, 0])
    part.load_state_dict(select_members(network.state_dict(), slice(1, 3)))
    expected = network(fractions.expand(3, *fractions.shape))["answer"][1:]
    torch.testing.assert_close(part(fractions.expand(2, *fractions.shape))["answer"], expected)


def test_rows_do_not_depend_on_their_company(fractions):
    network = _make([0])
    together = network(fractions[None])["answer"][0]
    for row, expected in zip(fractions, together, strict=True):
        torch.testing.assert_close(network(row[None, None])["answer"][0, 0], expected, **_TOLERANCE)


def test_loaded_encoder_computes_what_the_trained_one_does(fractions):
    """Both are written independently: one on flat groups of rows, one on padded members."""
    torch.manual_seed(0)
    sizes = {k: v for k, v in _SIZES.items() if k != "n_answers"}
    trained = CompositionEncoder(torch.randn(119, 4), 3, **sizes)
    network = _make([1, 2]).float()
    network.load_encoder({**trained.state_dict(), "element": trained.element_table().detach()})
    x = fractions.float()
    embedding, answers = network.encoder(x.expand(2, *x.shape))
    for i, row in enumerate(x):
        columns = row.nonzero()[:, 0]
        out = trained(columns + 1, row[columns], [(1, len(columns))])
        for member in range(2):
            torch.testing.assert_close(embedding[member, i], out["embedding"][0])
            torch.testing.assert_close(answers[member, i], out["answers"][0])

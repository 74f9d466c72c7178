"""The HybridTRIADS network as a whole."""

import pytest
import torch

from trisk.nn import DeepSupervisionLoss, InputLayout, select_members

_SEEDS = [3, 1, 4]
# Members are independent up to the rounding of double precision, 2e-16 per operation.
_TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}
_OPTIONS = [
    {},
    {"confidence": True, "shared_projection": True},
    {"n_attention_layers": 2, "embedding_dim": None},
    {"n_attention_layers": 0},
    {"layout": InputLayout(0, 0, 0, 15)},
    {"layout": InputLayout(15, 1, 0, 0)},
]


def _train(network, x, y, n_batches):
    """Train on the same batches for every member, with dropout, as the estimators do."""
    criterion = DeepSupervisionLoss("absolute_error")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    weight = torch.ones(network.n_members, len(x), dtype=torch.float64)
    k = network.n_members
    network.train()
    for epoch in range(n_batches):
        network.seed_dropout(epoch)
        optimizer.zero_grad()
        output = network(x.expand(k, *x.shape))
        criterion(output, (y.expand(k, *y.shape), weight)).sum().backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize("options", _OPTIONS, ids=str)
@pytest.mark.parametrize("n_batches", [0, 6])
def test_member_alone_equals_member_in_a_batch(make_network, rows, options, n_batches):
    y = rows[:, :2].sin()
    together = _train(make_network(_SEEDS, **options), rows, y, n_batches)
    outputs = together(rows.expand(3, *rows.shape))
    for k, seed in enumerate(_SEEDS):
        alone = _train(make_network([seed], **options), rows, y, n_batches)
        for name, value in alone(rows.expand(1, *rows.shape)).items():
            torch.testing.assert_close(outputs[name][k], value[0], **_TOLERANCE)


def test_members_differ(make_network, rows):
    answer = make_network(_SEEDS).eval()(rows.expand(3, *rows.shape))["answer"]
    assert not torch.allclose(answer[0], answer[1])


def test_selected_members_predict_as_before(make_network, rows):
    network = make_network(_SEEDS).eval()
    part = make_network([0, 0]).eval()
    part.load_state_dict(select_members(network.state_dict(), slice(1, 3)))
    expected = network(rows.expand(3, *rows.shape))["answer"][1:]
    torch.testing.assert_close(part(rows.expand(2, *rows.shape))["answer"], expected)


def test_published_network_has_the_published_number_of_parameters(make_network):
    network = make_network(
        [0],
        InputLayout(n_tokens=22, token_width=6, n_context=200, n_rest=200),
        n_outputs=1,
        attention_dim=64,
        n_attention_layers=2,
        n_heads=4,
        shared_projection=True,
        embedding_dim=None,
        hidden_dim=96,
        feedforward_dim=150,
        n_steps=20,
        dropout=0.2,
        confidence=False,
    )
    # With one key, queries and keys of the published cross-attention cannot act.
    without_effect = 2 * (64 * 64 + 64)
    assert sum(p.numel() for p in network.parameters()) == 224_685 - without_effect == 216_365


def test_answer_is_the_last_step(make_network, rows):
    output = make_network(_SEEDS).eval()(rows.expand(3, *rows.shape))
    assert output["steps"].shape == (3, 3, 7, 2)
    assert torch.equal(output["answer"], output["steps"][:, -1])
    assert "confidence" not in output


def test_confidence_sums_to_one_and_weighs_the_steps(make_network, rows):
    output = make_network(_SEEDS, confidence=True).eval()(rows.expand(3, *rows.shape))
    confidence = output["confidence"]
    assert confidence.shape == (3, 3, 7)
    torch.testing.assert_close(confidence.sum(1), torch.ones(3, 7, dtype=torch.float64))
    expected = torch.einsum("ktbo,ktb->kbo", output["steps"], confidence)
    torch.testing.assert_close(output["answer"], expected)


def test_every_parameter_gets_a_gradient(make_network, rows):
    network = make_network(_SEEDS, n_attention_layers=2, confidence=True)
    y = torch.ones(3, 7, 2, dtype=torch.float64)
    weight = torch.ones(3, 7, dtype=torch.float64)
    output = network(rows.expand(3, *rows.shape))
    DeepSupervisionLoss("squared_error")(output, (y, weight)).sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_a_row_does_not_see_the_other_rows(make_network, rows):
    network = make_network(_SEEDS, confidence=True).eval()
    x = rows.expand(3, *rows.shape)
    together = network(x)["answer"]
    alone = torch.cat([network(x[:, [row]])["answer"] for row in range(7)], dim=1)
    torch.testing.assert_close(together, alone, **_TOLERANCE)

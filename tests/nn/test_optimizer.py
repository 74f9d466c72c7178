"""One optimiser for parts of a stack with rates of their own, against one optimiser per part."""

import pytest
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from trisk.nn import MemberAdamW, MemberLinear, keep_members

SIZES, RATES, DECAYS = [2, 1, 3], [1e-2, 3e-3, 1e-1], [0.1, 0.0, 0.5]
BETAS = (0.9, 0.99)


def make_layer(n_members):
    torch.manual_seed(n_members)
    layer = MemberLinear(n_members, 3, 5)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    return layer


def groups(layer):
    return [{"params": [layer.bias], "weight_decay": 0.0}, {"params": [layer.weight]}]


def halve(step):
    return 0.5**step


def train(layer, optimizer, x, n_steps):
    schedule = LambdaLR(optimizer, halve)

    def differentiate():
        optimizer.zero_grad()
        loss = layer(x).square().sum()
        loss.backward()
        return loss

    for _ in range(n_steps):
        optimizer.step(differentiate)
        schedule.step()
    return schedule, differentiate


@pytest.fixture
def stack():
    layer = make_layer(sum(SIZES))
    x = torch.randn(sum(SIZES), 4, 3)
    optimizer = MemberAdamW(
        groups(layer), n_members=SIZES, lr=RATES, weight_decay=DECAYS, betas=BETAS
    )
    return layer, x, optimizer


def alone(layer, x, part, n_steps):
    start = sum(SIZES[:part])
    members = slice(start, start + SIZES[part])
    own = make_layer(SIZES[part])
    with torch.no_grad():
        own.weight.copy_(layer.weight[members])
        own.bias.copy_(layer.bias[members])
    optimizer = AdamW(
        groups(own), lr=RATES[part], weight_decay=DECAYS[part], betas=BETAS, fused=True
    )
    train(own, optimizer, x[members], n_steps)
    return members, own


def test_parts_step_as_if_alone(stack):
    layer, x, optimizer = stack
    expected = [alone(layer, x, part, 6) for part in range(3)]
    train(layer, optimizer, x, 6)
    for members, own in expected:
        torch.testing.assert_close(layer.weight[members], own.weight)
        torch.testing.assert_close(layer.bias[members], own.bias)


def test_parts_that_stay_go_on_as_if_nothing_had_happened(stack):
    layer, x, optimizer = stack
    expected = [alone(layer, x, part, 6) for part in (0, 2)]
    schedule, _ = train(layer, optimizer, x, 3)
    kept = [0, 1, 3, 4, 5]
    keep_members(layer, kept)
    optimizer.keep_parts([0, 2])
    assert len(optimizer.state) == 4
    for _ in range(3):
        optimizer.zero_grad()
        layer(x[kept]).square().sum().backward()
        optimizer.step()
        schedule.step()
    for members, (_, own) in zip((slice(0, 2), slice(2, 5)), expected, strict=True):
        torch.testing.assert_close(layer.weight[members], own.weight)
        torch.testing.assert_close(layer.bias[members], own.bias)


def test_parameters_without_a_gradient_stay(stack):
    layer, x, optimizer = stack
    layer.weight.requires_grad_(False)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    train(layer, optimizer, x, 2)
    assert torch.equal(layer.weight, weight)
    assert not torch.equal(layer.bias, bias)

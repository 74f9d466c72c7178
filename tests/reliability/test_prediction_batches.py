"""A prediction is the same bits whatever stands beside its row."""

import numpy as np
import pytest
import torch

from reliability.models import cases
from reliability.prediction_batches import rows_of, take
from trisk.nn import BatchInvariance

_PREDICTORS = [
    c for c in cases() if c.name.startswith(("HybridT", "GraphT", "TriF", "CompositionE", "Delta"))
]


@pytest.mark.parametrize("name", [c.name for c in _PREDICTORS])
def test_batch_and_order_of_rows__change_no_bit(fitted, name):
    subject, model = fitted(name)
    X = subject.data()[0]
    ask = getattr(model, subject.method)
    expected, order = rows_of(ask(X)), np.random.default_rng(0).permutation(len(X))
    for size in (1, 3, 7, len(X)):
        for start in range(0, len(X), size):
            part = order[start : start + size]
            for row, found in zip(part, rows_of(ask(take(X, part))), strict=True):
                np.testing.assert_array_equal(found, expected[row])


@pytest.mark.parametrize("n_columns", [1, 3, 8, 33])
@pytest.mark.parametrize("n_inner", [1, 5, 37, 300])
def test_products__do_not_depend_on_other_rows(n_columns, n_inner):
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    x, weight = torch.randn(203, n_inner, **draw), torch.randn(n_columns, n_inner, **draw)
    bias = torch.randn(n_columns, **draw)
    with BatchInvariance():
        expected = torch.nn.functional.linear(x, weight, bias)
        for rows in (torch.arange(1), torch.arange(5, 100), torch.randperm(203)):
            found = torch.nn.functional.linear(x[rows], weight, bias)
            assert torch.equal(found, expected[rows])
    np.testing.assert_allclose(expected, x @ weight.T + bias, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n_rows", [1, 8, 25, 64])
@pytest.mark.parametrize("n_inner", [1, 9, 64, 100])
def test_products__do_not_depend_on_other_columns(n_rows, n_inner):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(4, n_rows, n_inner, generator=generator, dtype=torch.float64)
    right = torch.randn(4, n_inner, 700, generator=generator, dtype=torch.float64)
    with BatchInvariance(columns_vary=True):
        expected = left @ right
        for n in (1, 5, 8, 17, 24, 31, 40, 63, 78, 83, 100, 170, 333, 400, 600):
            assert torch.equal(left @ right[..., :n], expected[..., :n])
    np.testing.assert_allclose(expected, left.numpy() @ right.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu"])
def test_functions__and_their_derivatives_are_those_of_torch(name):
    function = getattr(torch.nn.functional, name)
    x = torch.linspace(-30, 30, 101, dtype=torch.float64)
    found = []
    for context in (torch.enable_grad(), BatchInvariance()):
        with context:
            argument = x.clone().requires_grad_()
            value = function(argument)
            found.append((value.detach(), *torch.autograd.grad(value.sum(), argument)))
    for plain, invariant in zip(*found, strict=True):
        torch.testing.assert_close(invariant, plain, rtol=1e-13, atol=1e-16)


def test_context__is_known_where_it_holds():
    assert not BatchInvariance.is_active()
    with BatchInvariance():
        assert BatchInvariance.is_active()
    assert not BatchInvariance.is_active()

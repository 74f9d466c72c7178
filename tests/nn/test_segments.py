"""Gather and sum over segments."""

import pytest
import torch

from trisk.nn.batch import Segments

INDEX = torch.tensor([2, 0, 0, 4, 2])


@pytest.fixture
def segments():
    return Segments(INDEX, 5)


@pytest.mark.parametrize("n_members", [1, 3])
def test_sum_and_gather_match_index_add(segments, n_members):
    rows = torch.randn(n_members, 5, 4, dtype=torch.float64)
    expected = torch.zeros(n_members, 5, 4, dtype=torch.float64).index_add(1, INDEX, rows)
    assert torch.allclose(segments.sum(rows), expected)
    assert torch.equal(segments.gather(rows), rows[:, INDEX])


@pytest.mark.parametrize("method", ["sum", "gather", "mean", "softmax"])
def test_derivatives(segments, method):
    rows = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(segments, method), rows)


def test_softmax_adds_up_to_one_in_every_segment_that_has_rows(segments):
    logits = torch.tensor([300.0, -300.0, 5.0, 0.0, 299.0]).view(1, 5, 1)
    totals = segments.sum(segments.softmax(logits)).flatten()
    assert torch.allclose(totals, torch.tensor([1.0, 0, 1, 0, 1]))


def test_a_sum_does_not_depend_on_other_segments(segments):
    rows = torch.randn(1, 5, 4)
    alone = Segments(torch.zeros(2, dtype=torch.long), 1)
    assert torch.equal(alone.sum(rows[:, [0, 4]])[0, 0], segments.sum(rows)[0, 2])


def test_no_rows_at_all():
    empty = Segments(torch.empty(0, dtype=torch.long), 3)
    assert torch.equal(empty.sum(torch.empty(2, 0, 4)), torch.zeros(2, 3, 4))
    assert empty.gather(torch.randn(2, 3, 4)).shape == (2, 0, 4)

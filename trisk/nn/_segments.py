"""Rows that belong to segments: gather and sum as each other's derivative."""

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F


class Segments:
    """Rows assigned to segments, e.g. bonds to the atom they start from.

    ``gather`` copies the segments' values to their rows, ``sum`` adds rows up. Either is the
    derivative of the other, and both add in a fixed order: results repeat to the bit on every
    device and do not depend on what else is in the batch.

    Parameters
    ----------
    index : Tensor of shape (n_rows,), int64
        Segment of each row, in any order.
    n_segments : int
        Number of segments.

    Notes
    -----
    Shapes: segments ``(K, n_segments, D)``, rows ``(K, n_rows, D)``.
    """

    def __init__(self, index: Tensor, n_segments: int):
        self.index = index
        self.n_segments = n_segments
        self._tiles: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    @cached_property
    def counts(self) -> Tensor:
        """Rows of each segment, ``(n_segments,)``."""
        return torch.bincount(self.index, minlength=self.n_segments)

    @cached_property
    def order(self) -> Tensor:
        """Rows sorted by segment, ``(n_rows,)``."""
        return torch.argsort(self.index, stable=True)

    def tile(self, n_members: int) -> tuple[Tensor, Tensor, Tensor]:
        """Index, sorted rows and starts of the segments, repeated for every member."""
        if n_members not in self._tiles:
            member = torch.arange(n_members, device=self.index.device).unsqueeze(1)
            index = (self.index + member * self.n_segments).flatten()
            order = (self.order + member * len(self.index)).flatten()
            starts = self.counts.cumsum(0) - self.counts
            starts = (starts + member * len(self.index)).flatten()
            self._tiles[n_members] = index, order, starts
        return self._tiles[n_members]

    def gather(self, values: Tensor) -> Tensor:
        """Copy each segment's values to its rows."""
        return _Gather.apply(values, self)

    def sum(self, rows: Tensor) -> Tensor:
        """Add the rows of each segment; an empty one gives zero."""
        return _Sum.apply(rows, self)

    def mean(self, rows: Tensor) -> Tensor:
        """Average the rows of each segment; an empty one gives zero."""
        return self.sum(rows) / self.counts.clamp_min(1).unsqueeze(1).to(rows.dtype)

    def softmax(self, logits: Tensor) -> Tensor:
        """Weights of the rows that add up to one in every segment and column."""
        with torch.no_grad():
            shape = (len(logits), self.n_segments, logits.shape[2])
            index = self.index.view(1, -1, 1).expand_as(logits)
            highest = logits.new_full(shape, -torch.inf)
            highest = highest.scatter_reduce_(1, index, logits, "amax")
            highest = highest.index_select(1, self.index)
        weights = (logits - highest).exp()
        return weights / self.gather(self.sum(weights))


def _gather(values: Tensor, segments: Segments) -> Tensor:
    n_members = len(values)
    index = segments.tile(n_members)[0]
    return values.flatten(0, 1).index_select(0, index).view(n_members, -1, values.shape[2])


def _sum(rows: Tensor, segments: Segments) -> Tensor:
    n_members = len(rows)
    _, order, starts = segments.tile(n_members)
    # A bag of rows per segment: ten times the speed of index_add on a CPU, and deterministic.
    flat = rows.flatten(0, 1).contiguous()
    return F.embedding_bag(order, flat, starts, mode="sum").view(n_members, -1, rows.shape[2])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, segments):
        ctx.segments = segments
        return _gather(values, segments)

    @staticmethod
    def backward(ctx, gradient):
        return _sum(gradient, ctx.segments), None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, segments):
        ctx.segments = segments
        return _sum(rows, segments)

    @staticmethod
    def backward(ctx, gradient):
        return _gather(gradient, ctx.segments), None

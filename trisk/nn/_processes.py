"""Sums over the processes of a distributed training."""

from typing import Any

import torch
from torch import Tensor, distributed


def sum_over_processes(values: Tensor) -> Tensor:
    """Add a tensor over all processes, differentiably.

    Where every process differentiates the same function of such sums, and gradients are then
    averaged over processes, the result is the gradient that one process with all samples has.

    Parameters
    ----------
    values : Tensor
        Of the same shape in every process.

    Returns
    -------
    Tensor
        The sum, equal in all of them.
    """
    return _Sum.apply(values)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total

"""Objectives with deep supervision over recursion steps."""

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _absolute(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target.unsqueeze(1)).abs().mean(-1)


def _squared(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target.unsqueeze(1)).square().mean(-1)


def _huber(prediction: Tensor, target: Tensor) -> Tensor:
    target = target.unsqueeze(1).expand_as(prediction)
    return F.huber_loss(prediction, target, reduction="none").mean(-1)


def _cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    log_probability = prediction.log_softmax(-1)
    return -(log_probability * target.unsqueeze(1)).sum(-1)


_ROW_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "absolute_error": _absolute,
    "squared_error": _squared,
    "huber": _huber,
    "cross_entropy": _cross_entropy,
}


class DeepSupervisionLoss(nn.Module):
    """Loss of every recursion step, weighted in proportion to the step's number.

    Parameters
    ----------
    kind : {"absolute_error", "squared_error", "huber", "cross_entropy"} or list of them
        Loss of one row at one step, of all members or of each. Cross-entropy takes class
        probabilities as targets.
    deep : bool, default=True
        Supervise all steps with weights 1, 2, … T (normalised); otherwise the last one only.
    openness_cost : float, default=0.0
        Loss per cycle for which a network with halting stays open.

    Notes
    -----
    ``forward(output, (target, weight))`` takes the network's output dictionary, targets
    ``(K, B, n_outputs)`` and row weights ``(K, B)`` and returns one loss per member, ``(K,)``.
    Where the network gives a confidence in each step, the loss of the confidence-weighted
    answer is added.
    """

    def __init__(self, kind: str | Sequence[str], *, deep: bool = True, openness_cost: float = 0.0):
        super().__init__()
        self.kind = kind
        self.deep = deep
        self.openness_cost = openness_cost

    def keep_members(self, members: Sequence[int]) -> None:
        """Forget the kinds of all other members."""
        if not isinstance(self.kind, str):
            self.kind = [self.kind[member] for member in members]

    def row_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of every row at every step, ``(K, n_steps, B)``."""
        if isinstance(self.kind, str):
            return _ROW_LOSSES[self.kind](prediction, target)
        losses, start = [], 0
        for kind, members in groupby(self.kind):
            stop = start + len(list(members))
            losses.append(_ROW_LOSSES[kind](prediction[start:stop], target[start:stop]))
            start = stop
        return torch.cat(losses)

    def forward(self, output: dict[str, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        """Average the weighted row losses of each member."""
        values, row_weight = target
        steps = output["steps"] if self.deep else output["steps"][:, -1:]
        losses = (self.row_loss(steps, values) * row_weight.unsqueeze(1)).mean(-1)
        step_weight = torch.arange(1, steps.shape[1] + 1, device=steps.device, dtype=steps.dtype)
        loss = losses @ (step_weight / step_weight.sum())
        if "confidence" in output:
            answer = self.row_loss(output["answer"].unsqueeze(1), values).squeeze(1)
            loss = loss + (answer * row_weight).mean(-1)
        if "openness" in output and self.openness_cost:
            loss = loss + self.openness_cost * (output["openness"] * row_weight).mean(-1)
        return loss

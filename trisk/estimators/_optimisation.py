"""Rates of optimisation: whose they are, and how they change along a training."""

import math
from dataclasses import dataclass

import torch

from trisk.nn import MemberAdamW


@dataclass(frozen=True)
class LearningRateFactor:
    """Learning rate over the initial one, as a function of the step.

    Attributes
    ----------
    schedule : {"cosine", "constant"}
        Warm-up over 5 % of the steps and a cosine to zero, or no change.
    n_steps : int
        Steps of the whole training.
    averaging_start : int or None
        With plain weight averaging: the step at which it starts. The cosine then falls to a
        tenth by that step, and the rate is half the initial one from there on, as published.
    """

    schedule: str
    n_steps: int
    averaging_start: int | None = None

    def __call__(self, step):
        """Evaluate the factor."""
        if self.schedule == "constant":
            return 1.0
        if self.averaging_start is not None:
            if step >= self.averaging_start:
                return 0.5
            return 0.1 + 0.45 * (1 + math.cos(math.pi * step / self.averaging_start))
        warm_up = max(1, self.n_steps // 20)
        if step < warm_up:
            return (step + 1) / warm_up
        progress = (step - warm_up) / max(1, self.n_steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def optimizer_params(settings):
    """Parameters of a net that set its optimiser's rates.

    Parameters
    ----------
    settings : list of tuple (estimator, n_members)
        Whose rates hold for how many members, in order.

    Returns
    -------
    params : dict
        One rate for all where there is one estimator, else one for each.
    """
    first, _ = settings[0]
    if len(settings) == 1:
        return {
            "optimizer": torch.optim.AdamW,
            "optimizer__lr": first.learning_rate,
            "optimizer__weight_decay": first.weight_decay,
            "optimizer__fused": True,
        }
    return {
        "optimizer": MemberAdamW,
        "optimizer__lr": [estimator.learning_rate for estimator, _ in settings],
        "optimizer__weight_decay": [estimator.weight_decay for estimator, _ in settings],
        "optimizer__n_members": [n_members for _, n_members in settings],
    }

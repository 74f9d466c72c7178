"""AdamW with rates of their own for parts of a stack of members."""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW


class MemberAdamW(AdamW):
    """AdamW that steps every part of a stack of members as if it were a stack of its own.

    The stacked parameters are stepped through views of their parts, by the same fused kernel as
    a stack with one rate for all. A schedule multiplies each part's own learning rate.

    Parameters
    ----------
    params : iterable of dict
        Groups with ``"params"``; a group with ``"weight_decay"`` has this one in all parts.
    n_members : sequence of int
        Members of each part; parts follow one another.
    lr, weight_decay : sequence of float
        Initial learning rate and decoupled weight decay of each part.
    betas : tuple of float, default=(0.9, 0.999)
        Decay of the averages of gradients and of their squares.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        n_members: Sequence[int],
        lr: Sequence[float],
        weight_decay: Sequence[float],
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        groups = list(params)
        stacks = [parameter for group in groups for parameter in group["params"]]
        views: list[list[Tensor]] = []
        shares: list[dict[str, Any]] = []
        for part, rate, decay in zip(_slices(n_members), lr, weight_decay, strict=True):
            of_part: list[Tensor] = []
            by_decay: dict[float, list[Tensor]] = {}
            for group in groups:
                own = [parameter.detach()[part] for parameter in group["params"]]
                by_decay.setdefault(group.get("weight_decay", decay), []).extend(own)
                of_part.extend(own)
            views.append(of_part)
            shares.extend({"params": p, "lr": rate, "weight_decay": d} for d, p in by_decay.items())
        super().__init__(shares, betas=betas, fused=True)
        self.stacks = stacks
        self.n_members = list(n_members)
        self.views = views

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the stacked parameters."""
        for parameter in self.stacks:
            parameter.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step every part."""
        loss = None if closure is None else closure()
        for part, of_part in zip(_slices(self.n_members), self.views, strict=True):
            for parameter, view in zip(self.stacks, of_part, strict=True):
                view.grad = None if parameter.grad is None else parameter.grad[part]
        super().step()
        return loss

    @torch.no_grad()
    def keep_parts(self, parts: Sequence[int]) -> None:
        """Forget all other parts, whose members were taken out of the network.

        Parameters
        ----------
        parts : sequence of int
            Positions of the parts that stay, ascending.
        """
        kept = {id(view) for part in parts for view in self.views[part]}
        for group in self.param_groups:
            # Groups that are left empty keep their places, by which schedules know them.
            for view in group["params"]:
                if id(view) not in kept:
                    self.state.pop(view, None)
            group["params"] = [view for view in group["params"] if id(view) in kept]
        self.n_members = [self.n_members[part] for part in parts]
        self.views = [self.views[part] for part in parts]
        for members, of_part in zip(_slices(self.n_members), self.views, strict=True):
            for parameter, view in zip(self.stacks, of_part, strict=True):
                view.grad = None
                view.data = parameter.data[members]


def _slices(n_members: Sequence[int]) -> list[slice]:
    """Where each part lies in the stack."""
    return [slice(*ends) for ends in pairwise([0, *accumulate(n_members)])]


@torch.no_grad()
def keep_members(network: Any, members: Sequence[int]) -> None:
    """Take all other members out of a network, in place."""
    for parameter in network.parameters():
        parameter.grad = None
        parameter.data = parameter.data[members]
    for part in network.modules():
        if hasattr(part, "keep_members"):
            part.keep_members(members)

"""The weight-tied recursion of the TRIADS networks, and the gate that ends it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn.members import MemberDropout, MemberLayerNorm, MemberLinear

# An untrained gate lets one cycle pass at a quarter and closes then: further cycles cost time,
# so they have to prove their worth.
_FIRST_LOGIT = -1.0


class Update(nn.Module):
    """``LayerNorm(W2 dropout(GELU(hidden)) + b2)``, the second half of every update."""

    def __init__(self, n_members: int, hidden_dim: int, dim: int, dropout: float):
        super().__init__()
        self.dropout = MemberDropout(dropout)
        self.outer = MemberLinear(n_members, hidden_dim, dim)
        self.norm = MemberLayerNorm(n_members, dim)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(self.outer(self.dropout(F.gelu(hidden))))


class _JoinedUpdate(Update):
    """An update whose hidden layer reads several inputs of the same width."""

    def __init__(self, n_members: int, n_inputs: int, hidden_dim: int, dim: int, dropout: float):
        super().__init__(n_members, hidden_dim, dim, dropout)
        self.weight = nn.Parameter(torch.empty(n_members, n_inputs * dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(n_members, 1, hidden_dim))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's first layer; the other layers draw their own."""
        nn.init.xavier_uniform_(self.weight[member], generator=generator)
        nn.init.zeros_(self.bias[member])

    def split(self) -> tuple[Tensor, ...]:
        """The first layer's weights, one block per input.

        Taken once per pass: slicing at every step would make the backward pass fill a
        gradient of the whole weight with zeros each time.
        """
        return self.weight.split(self.norm.gain.shape[-1], dim=1)


class RecursiveCore(nn.Module):
    """Refine a latent state z and an answer state y with shared weights.

    As in ``docs/networks/hybrid_triads.md``; the share of x is computed once. Shapes:
    ``(K, B, dim)`` to ``(K, n_steps, B, dim)``, the answer state after every step. TRIADS follows
    here the tiny recursive networks of A. Jolicoeur-Martineau, arXiv:2510.04871.
    """

    def __init__(self, n_members: int, dim: int, hidden_dim: int, n_steps: int, dropout: float):
        super().__init__()
        self.n_steps = n_steps
        self.latent = _JoinedUpdate(n_members, 3, hidden_dim, dim, dropout)
        self.answer = _JoinedUpdate(n_members, 2, hidden_dim, dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        from_x, from_y, from_z = self.latent.split()
        to_y, z_to_y = self.answer.split()
        injected = torch.baddbmm(self.latent.bias, x, from_x)
        bias = self.answer.bias
        z = self.latent(injected)
        y = self.answer(torch.baddbmm(bias, z, z_to_y))
        answers = [y]
        for _ in range(self.n_steps - 1):
            hidden = torch.baddbmm(torch.baddbmm(injected, y, from_y), z, from_z)
            z = z + self.latent(hidden)
            hidden = torch.baddbmm(torch.baddbmm(bias, y, to_y), z, z_to_y)
            y = y + self.answer(hidden)
            answers.append(y)
        return torch.stack(answers, dim=1)


@dataclass(frozen=True)
class Progress:
    """How far the crystals of a batch have come.

    ``openness`` ``(K, n_structures, 1)`` says how much the next cycle may change each crystal,
    from one down to zero for those that are done (None while all are at one); ``cycles``
    ``(K, n_structures)`` counts cycles begun, ``total`` of that shape sums the openness after the
    fewest cycles allowed.
    """

    openness: Tensor | None
    cycles: Tensor
    total: Tensor

    @property
    def finished(self) -> bool:
        return self.openness is not None and not self.openness.any()


class Halting(nn.Module):
    """A gate that closes the recursion of each crystal.

    After the fewest cycles, a gate read from the pooled answer multiplies the openness, the
    factor of all further updates. Once the openness falls below a threshold the crystal is
    done: nothing in it changes any more.
    """

    def __init__(self, n_members: int, in_features: int, min_cycles: int, threshold: float):
        super().__init__()
        self.min_cycles = min_cycles
        self.threshold = threshold
        self.gate = MemberLinear(n_members, in_features, 1, zero=True)

    def forward(self, progress: Progress, pooled: Tensor, cycle: int) -> Progress:
        """Decide after a cycle, by the pooled answer, how far the next one may go."""
        if cycle < self.min_cycles:
            return replace(progress, cycles=progress.cycles + 1)
        openness = (self.gate(pooled) + _FIRST_LOGIT).sigmoid()
        if progress.openness is not None:
            openness = openness * progress.openness
        openness = openness * (openness >= self.threshold)
        begun = (openness > 0).to(openness.dtype).squeeze(-1)
        total = progress.total + openness.squeeze(-1)
        return Progress(openness, progress.cycles + begun, total)

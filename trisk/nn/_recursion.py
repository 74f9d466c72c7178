"""The weight-tied recursion at the heart of the TRIADS networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._members import MemberDropout, MemberLayerNorm, MemberLinear


class _Update(nn.Module):
    """A two-layer update, ``LayerNorm(W2 dropout(GELU(W1 [inputs] + b1)) + b2)``."""

    def __init__(
        self,
        n_members: int,
        in_features: int,
        dim: int,
        hidden: int,
        dropout: float | Sequence[float],
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, in_features, hidden))
        self.bias = nn.Parameter(torch.empty(n_members, 1, hidden))
        self.dropout = MemberDropout(dropout)
        self.outer = MemberLinear(n_members, hidden, dim)
        self.norm = MemberLayerNorm(n_members, dim)

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's first layer; the other layers see to themselves."""
        nn.init.xavier_uniform_(self.weight[member], generator=generator)
        nn.init.zeros_(self.bias[member])

    def split(self) -> tuple[Tensor, ...]:
        """The first layer's weights, one block per input.

        Taken once per pass: slicing at every step would make the backward pass fill a
        gradient of the whole weight with zeros each time.
        """
        return self.weight.split(self.norm.gain.shape[-1], dim=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Finish the update from the first layer's output."""
        return self.norm(self.outer(self.dropout(F.gelu(hidden))))


class RecursiveCore(nn.Module):
    """Refine a latent state z and an answer state y with shared weights [1]_.

    Starting from zeros, each step computes ``z ← z + f(x, y, z)`` and ``y ← y + g(y, z)``. The
    share of x in f is the same at every step and is computed once.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    dim : int
        Width D of x, y and z.
    hidden : int
        Hidden width of f and g.
    n_steps : int
        Number of recursion steps, T.
    dropout : float or sequence of float
        Dropout rate inside f and g, of all members or of each.

    Notes
    -----
    Shapes: input ``(K, B, D)``, output ``(K, T, B, D)``: the answer state after every step.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026; the
       recursion follows A. Jolicoeur-Martineau, "Less is More: Recursive Reasoning with Tiny
       Networks", arXiv:2510.04871.
    """

    def __init__(
        self, n_members: int, dim: int, hidden: int, n_steps: int, dropout: float | Sequence[float]
    ):
        super().__init__()
        self.n_steps = n_steps
        self.latent = _Update(n_members, 3 * dim, dim, hidden, dropout)
        self.answer = _Update(n_members, 2 * dim, dim, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Run the recursion."""
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

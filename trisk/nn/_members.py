"""Layers with a leading member dimension: an ensemble of networks as one batched computation.

Every parameter has shape ``(n_members, ...)`` and every activation ``(n_members, batch, ...)``.
No operation mixes members, so an element-wise optimiser that steps the whole stack steps each
member as if it trained alone.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._batch_invariance import BatchInvariance


class MemberLinear(nn.Module):
    """An affine map per member.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    in_features, out_features : int
        Widths of input and output.
    bias : bool, default=True
        Whether to add a bias.

    Notes
    -----
    Shapes: input ``(K, B, in_features)`` or ``(K, B, T, in_features)``; the output has the same
    leading dimensions and ``out_features`` last.
    """

    def __init__(self, n_members: int, in_features: int, out_features: int, *, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(n_members, 1, out_features)) if bias else None

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.weight.shape[2]

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's weights (Xavier uniform) and set its bias to zero."""
        nn.init.xavier_uniform_(self.weight[member], generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias[member])

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's map to its own activations."""
        flat = x.flatten(1, -2)
        if self.bias is None:
            out = torch.bmm(flat, self.weight)
        else:
            out = torch.baddbmm(self.bias, flat, self.weight)
        return out.view(*x.shape[:-1], self.out_features)


class ZeroLinear(MemberLinear):
    """A linear map per member whose weights start from zero: silent until it is of use.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    in_features, out_features : int
        Widths of input and output.
    bias : bool, default=True
        Whether to add a bias.
    """

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Set one member's weights and bias to zero."""
        nn.init.zeros_(self.weight[member])
        if self.bias is not None:
            nn.init.zeros_(self.bias[member])


class MemberLayerNorm(nn.Module):
    """Layer normalisation over the last dimension with one affine map per member.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    dim : int
        Width of the normalised dimension.

    Notes
    -----
    Shapes: input and output ``(K, B, dim)`` or ``(K, B, T, dim)``.
    """

    def __init__(self, n_members: int, dim: int):
        super().__init__()
        self.gain = nn.Parameter(torch.empty(n_members, 1, dim))
        self.bias = nn.Parameter(torch.empty(n_members, 1, dim))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Set one member's affine map to the identity."""
        nn.init.ones_(self.gain[member])
        nn.init.zeros_(self.bias[member])

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, then apply each member's gain and bias."""
        normed = F.layer_norm(x, x.shape[-1:]).flatten(1, -2)
        return torch.addcmul(self.bias, normed, self.gain).view_as(x)


class MemberDropout(nn.Module):
    """Dropout whose masks come from one random stream per member.

    A member draws the same masks whether it trains alone or in a batch of members. Masks are
    bytes compared with a threshold, so the rate is a multiple of 1/256: several times cheaper
    than Bernoulli draws, which matters inside a recursion.

    Parameters
    ----------
    p : float or sequence of float
        Probability of dropping an element, of all members or of each.
    """

    def __init__(self, p: float | Sequence[float]):
        super().__init__()
        bytes_dropped = np.round(256 * np.atleast_1d(np.asarray(p, dtype=np.float64)))
        self.threshold = np.minimum(bytes_dropped, 255).astype(np.uint8)[:, None]
        self.streams: list[np.random.Generator] = []

    def seed(self, seeds: Sequence[Sequence[int]]) -> None:
        """Start one stream per member."""
        self.streams = [np.random.Generator(np.random.SFC64(list(s))) for s in seeds]

    def keep_members(self, members: Sequence[int]) -> None:
        """Forget the rates and streams of all other members."""
        if len(self.threshold) > 1:
            self.threshold = self.threshold[members]
        self.streams = [self.streams[member] for member in members]

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements at random and rescale the rest while training; else do nothing."""
        if not self.training or not self.threshold.any():
            return x
        n_bytes = x[0].numel()
        words = -(-n_bytes // 8)
        drawn = np.stack([s.integers(0, 2**64, size=words, dtype=np.uint64) for s in self.streams])
        mask = torch.from_numpy(drawn.view(np.uint8)[:, :n_bytes] >= self.threshold)
        scale = torch.from_numpy(256 / (256.0 - self.threshold)).to(x.device, x.dtype)
        kept = mask.view(x.shape).to(x.device, x.dtype)
        return x * kept.mul_(scale.view(-1, *[1] * (x.dim() - 1)))


class PeriodicEmbedding(nn.Module):
    """Embed every numeric feature through learned cosines, its own linear map and itself.

    Feature x becomes ``[g x, W cos(2π (f g x + b))]`` with its own gain g, frequencies f,
    phases b and map W, so that a network can resolve fine steps of one variable [1]_.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    n_features : int
        Number of features, D.
    n_frequencies : int, default=16
        Cosines per feature.
    dim : int, default=4
        Width each feature is embedded to, its own value included.
    frequency_scale : float or sequence of float, default=0.7
        Standard deviation of the initial frequencies, of all members or of each.

    Notes
    -----
    Shapes: input ``(K, B, D)``, output ``(K, B, D * dim)``.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in
       Tabular Deep Learning", NeurIPS 2022, equation 2.
    """

    def __init__(
        self,
        n_members: int,
        n_features: int,
        *,
        n_frequencies: int = 16,
        dim: int = 4,
        frequency_scale: float | Sequence[float] = 0.7,
    ):
        super().__init__()
        self.frequency_scale = np.broadcast_to(frequency_scale, n_members).tolist()
        self.gain = nn.Parameter(torch.empty(n_members, 1, n_features))
        self.frequency = nn.Parameter(torch.empty(n_members, n_features, 1, n_frequencies))
        self.phase = nn.Parameter(torch.empty(n_members, n_features, 1, n_frequencies))
        self.weight = nn.Parameter(torch.empty(n_members, n_features, n_frequencies, dim - 1))

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.weight.shape[1] * (self.weight.shape[3] + 1)

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's frequencies, phases and maps."""
        nn.init.ones_(self.gain[member])
        std = self.frequency_scale[member]
        nn.init.normal_(self.frequency[member], std=std, generator=generator)
        nn.init.uniform_(self.phase[member], -0.5, 0.5, generator=generator)
        bound = math.sqrt(3 / self.weight.shape[2])
        nn.init.uniform_(self.weight[member], -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Embed each feature."""
        n_members, n_rows, n_features = x.shape
        # One small matrix per member and feature: products of matrices have far cheaper
        # backward passes than broadcasts, and sin(a + π/2) than cos(a).
        row = (x * self.gain).transpose(1, 2).reshape(n_members * n_features, 1, n_rows)
        frequency = (2 * math.pi * self.frequency).flatten(0, 1).transpose(1, 2)
        phase = (2 * math.pi * self.phase + math.pi / 2).flatten(0, 1).transpose(1, 2)
        angle = torch.baddbmm(phase, frequency, row)
        weight = self.weight.flatten(0, 1)
        if BatchInvariance.is_active():  # wants rows on the left, which trains more slowly
            waves = torch.bmm(angle.sin().transpose(1, 2), weight).transpose(1, 2)
        else:
            waves = torch.bmm(weight.transpose(1, 2), angle.sin())
        embedded = torch.cat([row, waves], dim=1).view(n_members, n_features, -1, n_rows)
        return embedded.permute(0, 3, 1, 2).reshape(n_members, n_rows, -1)


def initialize_members(network: nn.Module, seeds: Sequence[int]) -> None:
    """Draw each member's initial parameters from its own seed.

    Parameters
    ----------
    network : Module
        Any module whose layers offer ``reset_member(member, generator)``.
    seeds : sequence of int
        One seed per member.
    """
    layers: list[Any] = [m for m in network.modules() if hasattr(m, "reset_member")]
    with torch.no_grad():
        for member, seed in enumerate(seeds):
            generator = torch.Generator().manual_seed(seed)
            for layer in layers:
                layer.reset_member(member, generator)


def select_members(state: dict[str, Tensor], members: slice) -> dict[str, Tensor]:
    """Cut some members out of a stacked network's state.

    Parameters
    ----------
    state : dict of str to Tensor
        ``state_dict()`` of a member-batched network.
    members : slice
        Which members to keep.

    Returns
    -------
    state : dict of str to Tensor
        Copies of those members' parameters.
    """
    return {name: value[members].clone() for name, value in state.items()}


@torch.no_grad()
def keep_members(network: nn.Module, members: Sequence[int]) -> None:
    """Take all other members out of a network, in place.

    Parameters
    ----------
    network : Module
        A member-batched network. What its parts know of each member they forget by their own
        ``keep_members(members)``.
    members : sequence of int
        Positions of those that stay, ascending.
    """
    for parameter in network.parameters():
        parameter.grad = None
        parameter.data = parameter.data[members]
    parts: Iterable[Any] = network.modules()
    for part in parts:
        if hasattr(part, "keep_members"):
            part.keep_members(members)

"""Layers with a leading member dimension: an ensemble of networks as one batched computation.

Every parameter has shape ``(n_members, ...)`` and every activation ``(n_members, batch, ...)``.
No operation mixes members, so an element-wise optimiser that steps the whole stack steps each
member as if it trained alone. K stands for the number of members.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# SplitMix64: the step of its counter, and how each of its words is mixed.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_MIXING = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64), (31, 1))


class SeededNetwork(nn.Module):
    """A network whose dropout starts anew at every epoch, from one seed per member in `seeds`."""

    def __init__(self, seeds: Sequence[int] = (0,)):
        super().__init__()
        self.seeds = list(seeds)

    @property
    def n_members(self) -> int:
        return len(self.seeds)

    def reset_parameters(self) -> None:
        """Draw all initial parameters of a member-batched network, and start its dropout."""
        initialize_members(self, self.seeds)
        self.seed_dropout(0)

    def seed_dropout(self, epoch: int) -> None:
        """Start every random stream at the beginning of an epoch, so that runs can resume."""
        streams = [m for m in self.modules() if isinstance(m, RandomStreams)]
        for site, stream in enumerate(streams):
            stream.seed([(seed, epoch, site) for seed in self.seeds])


class MemberLinear(nn.Module):
    """An affine map per member, ``(K, B, in_features)`` or ``(K, B, T, in_features)``.

    With `zero` it starts from zero weights: silent until it is of use.
    """

    def __init__(
        self,
        n_members: int,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        zero: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(n_members, 1, out_features)) if bias else None
        self.zero = zero

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's weights (Xavier uniform) and set its bias to zero."""
        if self.zero:
            nn.init.zeros_(self.weight[member])
        else:
            nn.init.xavier_uniform_(self.weight[member], generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias[member])

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1, -2)
        if self.bias is None:
            out = torch.bmm(flat, self.weight)
        else:
            out = torch.baddbmm(self.bias, flat, self.weight)
        return out.view(*x.shape[:-1], self.weight.shape[2])


class MemberLayerNorm(nn.Module):
    """Layer normalisation with one affine map per member, ``(K, B, dim)`` or ``(K, B, T, dim)``."""

    def __init__(self, n_members: int, dim: int):
        super().__init__()
        self.gain = nn.Parameter(torch.empty(n_members, 1, dim))
        self.bias = nn.Parameter(torch.empty(n_members, 1, dim))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        nn.init.ones_(self.gain[member])
        nn.init.zeros_(self.bias[member])

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x, x.shape[-1:]).flatten(1, -2)
        return torch.addcmul(self.bias, normed, self.gain).view_as(x)


class RandomStreams(nn.Module):
    """One stream of random bytes per member, the same whether it trains alone or in a batch.

    On a CPU a fast generator draws them; elsewhere they are hashes of a counter, computed on
    the device, so that nothing is copied and nothing waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed([(0, 0, 0)])

    def seed(self, seeds: Sequence[Sequence[int]]) -> None:
        self.seeds = [list(seed) for seed in seeds]
        self.generators = [np.random.Generator(np.random.SFC64(seed)) for seed in self.seeds]
        self.keys: Tensor | None = None
        self.n_drawn = 0

    def draw(self, n_bytes: int, device: torch.device) -> Tensor:
        """The next random bytes of all members, ``(K, n_bytes)``."""
        n_words = -(-n_bytes // 8)
        if device.type == "cpu":
            words = [g.integers(0, 2**64, size=n_words, dtype=np.uint64) for g in self.generators]
            return torch.from_numpy(np.stack(words).view(np.uint8)[:, :n_bytes])
        return self.hashed_bytes(n_bytes, device)

    def hashed_bytes(self, n_bytes: int, device: torch.device) -> Tensor:
        """Bytes of SplitMix64, whose words are hashes of a counter, computed on the device."""
        n_words = -(-n_bytes // 8)
        if self.keys is None or self.keys.device != device:
            states = [np.random.SeedSequence(seed).generate_state(2) for seed in self.seeds]
            keys = [int(state.view(np.int64)[0]) for state in states]
            self.keys = torch.cat([torch.full((1, 1), key, device=device) for key in keys])
        first = self.n_drawn + 1
        self.n_drawn += n_words
        counter = torch.arange(first, first + n_words, device=device)
        hashed = self.keys + counter * _STEP
        for shift, factor in _MIXING:
            hashed = (hashed ^ ((hashed >> shift) & (2 ** (64 - shift) - 1))) * factor
        return hashed.view(torch.uint8)[:, :n_bytes]


class MemberDropout(RandomStreams):
    """Dropout whose masks come from one random stream per member, ``(K, ...)``.

    Masks are bytes compared with a threshold, so the rate `p` is a multiple of 1/256: several
    times cheaper than Bernoulli draws, which matters inside a recursion.
    """

    def __init__(self, p: float):
        super().__init__()
        self.threshold = min(round(256 * p), 255)

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements at random and rescale the rest while training; else do nothing."""
        if not self.training or not self.threshold:
            return x
        mask = self.draw(x[0].numel(), x.device)
        # NumPy compares bytes several times as fast as torch does.
        mask = (
            torch.from_numpy(mask.numpy() >= self.threshold)
            if mask.device.type == "cpu"
            else (mask >= self.threshold)
        )
        return x * mask.view(x.shape).to(x.dtype).mul_(256 / (256 - self.threshold))


class PeriodicEmbedding(nn.Module):
    """Embed every numeric feature through learned cosines, its own linear map and itself.

    Feature x becomes ``[g x, W cos(2π (f g x + b))]`` with its own gain g, frequencies f (of
    standard deviation `frequency_scale` at first), phases b and map W, so that a network can
    resolve fine steps of one variable [1]_. Shapes: ``(K, B, D)`` to ``(K, B, D * dim)``.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko, NeurIPS 2022, equation 2.
    """

    def __init__(
        self,
        n_members: int,
        n_features: int,
        *,
        n_frequencies: int,
        dim: int,
        frequency_scale: float,
    ):
        super().__init__()
        self.out_features = n_features * dim
        self.frequency_scale = frequency_scale
        self.gain = nn.Parameter(torch.empty(n_members, 1, n_features))
        self.frequency = nn.Parameter(torch.empty(n_members, n_features, 1, n_frequencies))
        self.phase = nn.Parameter(torch.empty(n_members, n_features, 1, n_frequencies))
        self.weight = nn.Parameter(torch.empty(n_members, n_features, n_frequencies, dim - 1))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        nn.init.ones_(self.gain[member])
        nn.init.normal_(self.frequency[member], std=self.frequency_scale, generator=generator)
        nn.init.uniform_(self.phase[member], -0.5, 0.5, generator=generator)
        bound = math.sqrt(3 / self.weight.shape[2])
        nn.init.uniform_(self.weight[member], -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        n_members, n_rows, n_features = x.shape
        # One small matrix per member and feature: products of matrices have far cheaper
        # backward passes than broadcasts, and sin(a + π/2) than cos(a).
        row = (x * self.gain).transpose(1, 2).reshape(n_members * n_features, 1, n_rows)
        frequency = (2 * math.pi * self.frequency).flatten(0, 1).transpose(1, 2)
        phase = (2 * math.pi * self.phase + math.pi / 2).flatten(0, 1).transpose(1, 2)
        angle = torch.baddbmm(phase, frequency, row)
        waves = torch.bmm(self.weight.flatten(0, 1).transpose(1, 2), angle.sin())
        embedded = torch.cat([row, waves], dim=1).view(n_members, n_features, -1, n_rows)
        return embedded.permute(0, 3, 1, 2).reshape(n_members, n_rows, -1)


def initialize_members(network: nn.Module, seeds: Sequence[int]) -> None:
    """Draw each member's initial parameters from its own seed.

    Layers offer ``reset_member(member, generator)``; the process's generator stays as it is.
    """
    layers: list[Any] = [m for m in network.modules() if hasattr(m, "reset_member")]
    with torch.no_grad():
        for member, seed in enumerate(seeds):
            generator = torch.Generator().manual_seed(seed)
            for layer in layers:
                layer.reset_member(member, generator)


def select_members(state: dict[str, Tensor], members: slice) -> dict[str, Tensor]:
    """Copy some members' parameters out of a stacked network's ``state_dict()``."""
    return {name: value[members].clone() for name, value in state.items()}

"""Composition encoders as members of an ensemble, each with a head: what fine-tuning trains."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._composition_encoder import FRACTION_FLOOR, FRACTION_FREQUENCIES, encode_fractions
from trisk.nn._members import MemberLayerNorm, MemberLinear, initialize_members

_N_ELEMENTS = 118
# Rows are padded to the longest of their part of a batch.
_N_PARTS = 4


class CompositionEncoderNetwork(nn.Module):
    """Member-batched :class:`CompositionEncoder` with a head for one task.

    Parameters
    ----------
    seeds : sequence of int
        One seed per member; their number is the number of members, K.
    n_outputs : int
        Width of the prediction.
    dim, n_layers, n_heads : int, default=128, 3, 4
        Width of a token, depth, attention heads per layer.
    embedding_dim, n_answers : int, default=64, 4
        Width of the encoder's embedding, and number of answers that it was trained to give.
    head_dim : int, default=64
        Hidden width of the head that reads both.

    Notes
    -----
    Shapes: input ``(K, B, n_columns)``, fractions of the elements by atomic number, each row with
    at least one above zero; output a dictionary with ``answer`` ``(K, B, n_outputs)`` and
    ``steps``, the same as the only step of ``(K, 1, B, n_outputs)``.
    """

    #: Parameters that may have one value per member.
    member_parameters = ()

    def __init__(
        self,
        seeds: Sequence[int],
        n_outputs: int,
        *,
        dim: int = 128,
        n_layers: int = 3,
        n_heads: int = 4,
        embedding_dim: int = 64,
        n_answers: int = 4,
        head_dim: int = 64,
    ):
        super().__init__()
        self.seeds = list(seeds)
        k = len(self.seeds)
        self.encoder = _Encoder(k, dim, n_layers, n_heads, embedding_dim, n_answers)
        self.head_inner = MemberLinear(k, embedding_dim + n_answers, head_dim)
        self.head_outer = MemberLinear(k, head_dim, n_outputs)
        initialize_members(self, self.seeds)

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.seeds)

    def seed_dropout(self, epoch: int) -> None:
        """Do nothing: there is no dropout."""

    def keep_members(self, members: Sequence[int]) -> None:
        """Forget the seeds of all other members."""
        self.seeds = [self.seeds[member] for member in members]

    @torch.no_grad()
    def load_encoder(self, arrays: Mapping[str, Tensor]) -> None:
        """Give the encoder of every member the weights of a :class:`CompositionEncoder`."""
        for name, parameter in self.encoder.named_parameters():
            source = name.replace("fraction_gain", "weight_of_fraction").replace("gain", "weight")
            values = arrays[source]
            is_map = values.dim() == 2 and name != "element"
            parameter.copy_((values.T if is_map else values).expand_as(parameter))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Predict from fractions of elements."""
        embedding, answers = self.encoder(x)
        read = torch.cat([F.silu(embedding), answers], dim=-1)
        answer = self.head_outer(F.silu(self.head_inner(read)))
        return {"steps": answer.unsqueeze(1), "answer": answer}


class _Encoder(nn.Module):
    """The arithmetic of :class:`CompositionEncoder`, one set of weights per member."""

    def __init__(self, k, dim, n_layers, n_heads, embedding_dim, n_answers):
        super().__init__()
        self.n_heads = n_heads
        self.element = nn.Parameter(torch.empty(k, _N_ELEMENTS + 1, dim))
        self.fraction = MemberLinear(k, 2 + len(FRACTION_FREQUENCIES), dim)
        self.layers = nn.ModuleList(_Layer(k, dim, n_heads) for _ in range(n_layers))
        self.norm = MemberLayerNorm(k, dim)
        self.pool = MemberLinear(k, dim, n_heads)
        self.widen = MemberLinear(k, 2 * dim, 2 * dim)
        self.narrow = MemberLinear(k, 2 * dim, embedding_dim)
        self.answer = MemberLinear(k, embedding_dim, n_answers)

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's vectors of the elements."""
        nn.init.normal_(self.element[member], std=0.1, generator=generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embed compositions, ``(K, B, embedding_dim)``, and read off the answers."""
        counts, order = (x > 0).sum(-1).sort(dim=1, stable=True)
        ordered = x.gather(1, order.unsqueeze(-1).expand_as(x))
        size = math.ceil(x.shape[1] / _N_PARTS)
        parts = [
            self._pool(part, int(length.max()))
            for part, length in zip(ordered.split(size, 1), counts.split(size, 1), strict=True)
        ]
        pooled = torch.cat(parts, 1)
        pooled = pooled.gather(1, order.argsort(1).unsqueeze(-1).expand_as(pooled))
        embedding = self.narrow(F.silu(self.widen(pooled)))
        return embedding, self.answer(F.silu(embedding))

    def _pool(self, x: Tensor, length: int) -> Tensor:
        """One vector per row of at most `length` elements, ``(K, B, 2 dim)``."""
        fractions, columns = x.topk(length, dim=-1)
        absent = fractions <= 0
        k, n_rows, _ = x.shape
        # One table for all members, so that looking up is one gather.
        first = torch.arange(k, device=x.device).view(k, 1, 1) * (_N_ELEMENTS + 1) + 1
        tokens = F.embedding(columns + first, self.element.flatten(0, 1))
        tokens = tokens + self.fraction(encode_fractions(fractions))
        logarithms = fractions.clamp_min(FRACTION_FLOOR).log()
        for layer in self.layers:
            tokens = layer(tokens, logarithms, absent)
        tokens = self.norm(tokens)
        scores = self.pool(tokens) + logarithms.unsqueeze(-1)
        shares = scores.masked_fill(absent.unsqueeze(-1), -torch.inf).softmax(2)
        heads = tokens.view(k, n_rows, length, self.n_heads, -1)
        attended = (shares.unsqueeze(-1) * heads).sum(2).flatten(2)
        return torch.cat([attended, (fractions.unsqueeze(-1) * tokens).sum(2)], dim=-1)


class _Layer(nn.Module):
    """Attention in which an element weighs by its fraction, then a feed-forward update."""

    def __init__(self, k, dim, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = MemberLayerNorm(k, dim)
        self.project = MemberLinear(k, dim, 3 * dim)
        self.fraction_gain = nn.Parameter(torch.empty(k, n_heads))
        self.join = MemberLinear(k, dim, dim)
        self.norm_update = MemberLayerNorm(k, dim)
        self.widen = MemberLinear(k, dim, 2 * dim)
        self.narrow = MemberLinear(k, 2 * dim, dim)

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Let one member begin with half the logarithm of the fractions."""
        nn.init.constant_(self.fraction_gain[member], 0.5)

    def forward(self, tokens: Tensor, logarithms: Tensor, absent: Tensor) -> Tensor:
        """Let the elements of a row look at one another, then update each."""
        k, n_rows, length, dim = tokens.shape
        projected = self.project(self.norm_attention(tokens))
        heads = projected.view(k, n_rows, length, 3, self.n_heads, -1)
        query, key, value = heads.permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias = logarithms.view(k, n_rows, 1, 1, length) * self.fraction_gain.view(k, 1, -1, 1, 1)
        bias = bias.masked_fill(absent.view(k, n_rows, 1, 1, length), -torch.inf)
        scores = query @ key.transpose(-1, -2) / (dim // self.n_heads) ** 0.5 + bias
        attended = (scores.softmax(-1) @ value).transpose(2, 3).reshape(tokens.shape)
        tokens = tokens + self.join(attended)
        return tokens + self.narrow(F.silu(self.widen(self.norm_update(tokens))))

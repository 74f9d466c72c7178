"""A composition as a set of elements with fractions: attention among them, one vector out."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn.attention import attend
from trisk.nn.batch import N_ELEMENTS
from trisk.nn.members import MemberLayerNorm, MemberLinear, SeededNetwork

#: Cosines of the fraction that a token sees, in cycles between pure and absent.
FRACTION_FREQUENCIES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
#: Fractions are raised to this value before their logarithm.
FRACTION_FLOOR = 1e-4

# On a CPU, rows are cut to the longest of their part of a batch.
_N_PARTS = 4


class CompositionEncoder(nn.Module):
    """Attention over the elements of a composition, pooled to one vector and linear answers.

    Input ``(K, B, 2 L)``: first the atomic numbers of a row's elements, then their fractions in
    the same order, both filled up with zeros. Output: an embedding ``(K, B, embedding_dim)`` and
    answers ``(K, B, n_answers)`` read from it. Element 0 is one that is not to be seen.
    """

    frequencies: Tensor

    def __init__(
        self,
        n_members: int,
        *,
        dim: int = 128,
        n_layers: int = 3,
        n_heads: int = 4,
        embedding_dim: int = 64,
        n_answers: int = 4,
    ):
        super().__init__()
        k = n_members
        self.n_heads = n_heads
        frequencies = torch.tensor(FRACTION_FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.element = nn.Parameter(torch.empty(k, N_ELEMENTS, dim))
        self.fraction = MemberLinear(k, 2 + len(FRACTION_FREQUENCIES), dim)
        self.layers = nn.ModuleList(_Layer(k, dim, n_heads) for _ in range(n_layers))
        self.norm = MemberLayerNorm(k, dim)
        self.pool = MemberLinear(k, dim, n_heads)
        self.widen = MemberLinear(k, 2 * dim, 2 * dim)
        self.narrow = MemberLinear(k, 2 * dim, embedding_dim)
        self.answer = MemberLinear(k, embedding_dim, n_answers)

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        nn.init.normal_(self.element[member], std=0.1, generator=generator)

    @torch.no_grad()
    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """Give every member the weights of a file, in which maps stand as in `nn.Linear`."""
        for name, parameter in self.named_parameters():
            values = arrays[_name_in_file(name)]
            is_map = values.dim() == 2 and name != "element"
            parameter.copy_((values.T if is_map else values).expand_as(parameter))

    def arrays(self) -> dict[str, Tensor]:
        """Weights of the first member as :meth:`load_arrays` takes them."""
        arrays = {}
        for name, parameter in self.named_parameters():
            values = parameter.detach()[0]
            if name.endswith(".weight"):
                values = values.T
            elif name != "element":
                values = values.flatten()
            arrays[_name_in_file(name)] = values.contiguous()
        return arrays

    def encode(
        self, elements: Tensor, fractions: Tensor, table: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Vectors of elements among others, ``(K, B, L, dim)``, and of rows, ``(K, B, 2 dim)``.

        Elements look themselves up in their own table or in another one, ``(K, 119, dim)``.
        """
        table = self.element if table is None else table
        k, n_rows, length = elements.shape
        absent = fractions <= 0
        # One table for all members, so that looking up is one gather.
        first = torch.arange(k, device=elements.device).view(k, 1, 1) * N_ELEMENTS
        tokens = F.embedding(elements + first, table.flatten(0, 1))
        logarithms = fractions.clamp_min(FRACTION_FLOOR).log()
        scaled = (logarithms - math.log(FRACTION_FLOOR)) / 10
        waves = (2 * math.pi * (fractions.unsqueeze(-1) * self.frequencies)).cos()
        columns = [fractions.unsqueeze(-1), scaled.unsqueeze(-1), waves]
        tokens = tokens + self.fraction(torch.cat(columns, dim=-1))
        for layer in self.layers:
            tokens = layer(tokens, logarithms, absent)
        tokens = self.norm(tokens)
        scores = self.pool(tokens) + logarithms.unsqueeze(-1)
        shares = scores.masked_fill(absent.unsqueeze(-1), -torch.inf).softmax(2)
        heads = tokens.view(k, n_rows, length, self.n_heads, -1)
        attended = (shares.unsqueeze(-1) * heads).sum(2).flatten(2)
        mean = (fractions.unsqueeze(-1) * tokens).sum(2)
        return tokens, torch.cat([attended, mean], dim=-1)

    def read(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and answers from the vectors of rows."""
        embedding = self.narrow(F.silu(self.widen(pooled)))
        return embedding, self.answer(F.silu(embedding))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.device.type != "cpu":
            elements, fractions = x.chunk(2, dim=-1)
            return self.read(self.encode(elements.long(), fractions)[1])
        lengths, order = (x.chunk(2, dim=-1)[1] > 0).sum(-1).sort(dim=1, stable=True)
        ordered = x.gather(1, order.unsqueeze(-1).expand_as(x))
        size = math.ceil(x.shape[1] / _N_PARTS)
        parts = []
        for part, length in zip(ordered.split(size, 1), lengths.split(size, 1), strict=True):
            elements, fractions = (v[..., : length.max()] for v in part.chunk(2, dim=-1))
            parts.append(self.encode(elements.long(), fractions)[1])
        pooled = torch.cat(parts, 1)
        back = order.argsort(1).unsqueeze(-1).expand_as(pooled)
        return self.read(pooled.gather(1, back))


def _name_in_file(name: str) -> str:
    return name.replace("fraction_gain", "weight_of_fraction").replace("gain", "weight")


class _Layer(nn.Module):
    """Attention in which an element weighs by its fraction, then a feed-forward update."""

    def __init__(self, k: int, dim: int, n_heads: int):
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
        k, n_rows, length, _ = tokens.shape
        bias = logarithms.view(k, n_rows, 1, 1, length) * self.fraction_gain.view(k, 1, -1, 1, 1)
        bias = bias.masked_fill(absent.view(k, n_rows, 1, 1, length), -torch.inf)
        projected = self.project(self.norm_attention(tokens))
        tokens = tokens + self.join(attend(projected, self.n_heads, bias=bias)[0])
        return tokens + self.narrow(F.silu(self.widen(self.norm_update(tokens))))


class CompositionEncoderNetwork(SeededNetwork):
    """Member-batched :class:`CompositionEncoder`, each with a head that reads what it gives.

    There is one seed per member; input and sizes are those of :class:`CompositionEncoder`. Output:
    a dictionary with ``answer`` ``(K, B, n_outputs)`` and ``steps``, the same as the only step of
    ``(K, 1, B, n_outputs)``.
    """

    def __init__(self, seeds: Sequence[int], n_outputs: int, *, head_dim: int = 64, **sizes: int):
        super().__init__(seeds)
        k = self.n_members
        self.encoder = CompositionEncoder(k, **sizes)
        n_inputs = self.encoder.narrow.weight.shape[2] + self.encoder.answer.weight.shape[2]
        self.head_inner = MemberLinear(k, n_inputs, head_dim)
        self.head_outer = MemberLinear(k, head_dim, n_outputs)
        self.reset_parameters()

    def load_encoder(self, arrays: Mapping[str, Tensor]) -> None:
        self.encoder.load_arrays(arrays)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        embedding, answers = self.encoder(x)
        read = torch.cat([F.silu(embedding), answers], dim=-1)
        answer = self.head_outer(F.silu(self.head_inner(read)))
        return {"steps": answer.unsqueeze(1), "answer": answer}

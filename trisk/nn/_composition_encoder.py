"""A composition as a set of elements with fractions: attention among them, one vector out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Cosines of the fraction that a token sees, in cycles between pure and absent.
FRACTION_FREQUENCIES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
#: Fractions are raised to this value before their logarithm.
FRACTION_FLOOR = 1e-4


def encode_fractions(fractions: Tensor) -> Tensor:
    """Smooth functions of atomic fractions.

    Parameters
    ----------
    fractions : Tensor of shape (...,)
        Atomic fractions, above 0 and up to 1.

    Returns
    -------
    Tensor of shape (..., 8)
        The fraction, a tenth of its natural logarithm's distance from that of the floor, cosines.
    """
    logarithms = (fractions.clamp_min(FRACTION_FLOOR) / FRACTION_FLOOR).log() / 10
    turns = fractions[..., None] * fractions.new_tensor(FRACTION_FREQUENCIES)
    waves = (2 * torch.pi * turns).cos()
    return torch.cat([fractions[..., None], logarithms[..., None], waves], -1)


class CompositionEncoder(nn.Module):
    """Attention over the elements of a composition, pooled to one vector and linear answers.

    Parameters
    ----------
    properties : Tensor of shape (n_elements + 1, n_properties)
        Standardised element properties by atomic number; they are projected and added to a
        learned vector of each element, so that rare elements borrow from like ones.
    n_outputs : int
        Number of answers.
    dim : int, default=128
        Width of a token.
    n_layers, n_heads : int, default=3, 4
        Depth, and attention heads per layer.
    embedding_dim : int, default=64
        Width of the vector that the answers are read from.

    Notes
    -----
    Compositions stand one after the other in flat arrays, sorted by their number of elements, so
    that nothing is padded. `forward` takes ``elements`` of shape (n_entries,), ``fractions`` of
    the same shape, ``groups`` (a list of pairs: how many rows, and of how many elements) and
    optionally ``hidden``, entries whose element is not to be seen; it returns ``answers`` of shape
    (n_rows, n_outputs), ``embedding`` of shape (n_rows, embedding_dim) and ``tokens`` of shape
    (n_entries, dim).
    """

    def __init__(
        self, properties: Tensor, n_outputs: int, dim=128, n_layers=3, n_heads=4, embedding_dim=64
    ):
        super().__init__()
        n_rows, n_properties = properties.shape
        self.n_heads = n_heads
        self.register_buffer("properties", properties)
        self.element = nn.Parameter(0.1 * torch.randn(n_rows, dim))
        self.property = nn.Linear(n_properties, dim)
        self.fraction = nn.Linear(2 + len(FRACTION_FREQUENCIES), dim)
        self.unknown = nn.Parameter(0.1 * torch.randn(dim))
        self.layers = nn.ModuleList(_Layer(dim, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(dim)
        self.pool = nn.Linear(dim, n_heads)
        self.widen = nn.Linear(2 * dim, 2 * dim)
        self.narrow = nn.Linear(2 * dim, embedding_dim)
        self.answer = nn.Linear(embedding_dim, n_outputs)
        self.guess = nn.Linear(dim, n_rows)

    def element_table(self) -> Tensor:
        """Give the elements' vectors by atomic number, of shape (n_elements + 1, dim)."""
        return self.element + self.property(self.properties)

    def forward(
        self,
        elements: Tensor,
        fractions: Tensor,
        groups: list[tuple[int, int]],
        hidden: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode compositions that stand sorted by their number of elements."""
        tokens = self.element_table()[elements]
        if hidden is not None:
            tokens = torch.where(hidden[:, None], self.unknown, tokens)
        tokens = tokens + self.fraction(encode_fractions(fractions))
        logarithms = fractions.clamp_min(FRACTION_FLOOR).log()
        for layer in self.layers:
            tokens = layer(tokens, logarithms, groups)
        tokens = self.norm(tokens)
        scores = self.pool(tokens) + logarithms[:, None]
        pooled, start = [], 0
        for n_rows, length in groups:
            part = slice(start, start + n_rows * length)
            values = tokens[part].view(n_rows, length, -1)
            shares = scores[part].view(n_rows, length, -1).softmax(1)
            heads = values.view(n_rows, length, self.n_heads, -1)
            attended = (shares[..., None] * heads).sum(1).flatten(1)
            mean = (fractions[part].view(n_rows, length, 1) * values).sum(1)
            pooled.append(torch.cat([attended, mean], 1))
            start = part.stop
        embedding = self.narrow(F.silu(self.widen(torch.cat(pooled))))
        # Answers keep single precision where the rest runs in half.
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.float()
            answers = self.answer(F.silu(embedding))
        return {
            "answers": answers,
            "embedding": embedding,
            "tokens": tokens,
        }


class _Layer(nn.Module):
    """Attention in which an element weighs by its fraction, then a feed-forward update."""

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim)
        self.weight_of_fraction = nn.Parameter(torch.full((n_heads,), 0.5))
        self.join = nn.Linear(dim, dim)
        self.norm_update = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 2 * dim)
        self.narrow = nn.Linear(2 * dim, dim)

    def forward(self, tokens: Tensor, logarithms: Tensor, groups: list[tuple[int, int]]) -> Tensor:
        projected = self.project(self.norm_attention(tokens))
        attended, start = [], 0
        for n_rows, length in groups:
            part = slice(start, start + n_rows * length)
            query, key, value = projected[part].view(n_rows, length, 3, self.n_heads, -1).unbind(2)
            scores = torch.einsum("nihd,njhd->nhij", query, key) / query.shape[-1] ** 0.5
            bias = logarithms[part].view(n_rows, 1, length) * self.weight_of_fraction[:, None]
            shares = (scores + bias[:, :, None]).softmax(-1)
            attended.append(torch.einsum("nhij,njhd->nihd", shares, value).flatten(2).flatten(0, 1))
            start = part.stop
        tokens = tokens + self.join(torch.cat(attended))
        return tokens + self.narrow(F.silu(self.widen(self.norm_update(tokens))))

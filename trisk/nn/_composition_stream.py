"""Attention over the elements of a composition, weighted by how often each occurs."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._crystal_batch import CrystalBatch
from trisk.nn._elements import N_ELEMENTS, ElementVectors

#: Ways to count atoms: as they are, divided by their common divisor, or as fractions.
STOICHIOMETRIES = ("counts", "reduced", "fractions")


class CompositionStream(nn.Module):
    r"""Transformer over unique elements that equals one over all atoms.

    An element that occurs c times is one token, whose keys carry log c: the softmax then weighs
    it as c equal tokens would weigh. Positions and lattices never enter.

    Parameters
    ----------
    dim : int
        Width of the tokens.
    n_layers, n_heads : int
        Number of blocks and of attention heads.
    stoichiometry : {"counts", "reduced", "fractions"}, default="counts"
        What the tokens know of their counts. With ``"counts"`` and without a class token, only
        ratios matter, for a constant factor leaves a softmax as it is; with a class token, whose
        count is one, larger cells differ from smaller ones. ``"reduced"`` divides counts by
        their greatest common divisor. ``"fractions"`` embeds the atomic fraction in the token
        and gives all tokens equal weight in attention.
    class_token : bool, default=False
        Whether a learned token collects the composition's embedding; otherwise it is the mean
        over atoms.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch` and gives embeddings of atoms ``(n_atoms, dim)``,
    equal for all atoms of an element in a structure, and of structures ``(n_structures, dim)``.
    """

    def __init__(
        self,
        dim: int,
        n_layers: int,
        n_heads: int,
        *,
        stoichiometry: str = "counts",
        class_token: bool = False,
    ):
        super().__init__()
        if stoichiometry not in STOICHIOMETRIES:
            raise ValueError(
                f"stoichiometry must be one of {STOICHIOMETRIES}, but is {stoichiometry!r}"
            )
        self.stoichiometry = stoichiometry
        self.embed = ElementVectors(dim)
        if stoichiometry == "fractions":
            self.embed_fraction = nn.Sequential(
                nn.Linear(1, dim // 2), nn.SiLU(), nn.Linear(dim // 2, dim)
            )
        self.class_token = nn.Parameter(0.02 * torch.randn(dim)) if class_token else None
        self.layers = nn.ModuleList(_Block(dim, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        """Embed atoms and structures."""
        tokens = _Tokens(batch)
        counts = tokens.counts.to(self.embed.weight.dtype)
        if self.stoichiometry == "reduced":
            counts = counts / _common_divisors(tokens.counts).to(counts.dtype).unsqueeze(1)
        x = self.embed(tokens.elements)
        weights = counts
        if self.stoichiometry == "fractions":
            x = x + self.embed_fraction((counts / counts.sum(1, keepdim=True)).unsqueeze(-1))
            weights = (counts > 0).to(counts.dtype)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)
            weights = F.pad(weights, (1, 0), value=1.0)
        # The logarithm of zero hides the places that fill up a row.
        bias = weights.log().unsqueeze(1).unsqueeze(1)
        for layer in self.layers:
            x = layer(x, bias)
        x = self.norm(x)
        of_element = x if self.class_token is None else x[:, 1:]
        atoms = of_element.flatten(0, 1).index_select(0, tokens.of_atom)
        if self.class_token is not None:
            return atoms, x[:, 0]
        fractions = counts / counts.sum(1, keepdim=True)
        return atoms, (fractions.unsqueeze(-1) * of_element).sum(1)


class _Tokens:
    """Unique elements of every structure, padded to the largest number of them.

    Attributes: ``elements`` and ``counts``, both (n_structures, n_tokens), and ``of_atom``, the
    flat index of every atom's token.
    """

    def __init__(self, batch: CrystalBatch):
        keys = batch.atom_structure * N_ELEMENTS + batch.atomic_numbers
        unique, of_key, counts = torch.unique(keys, return_inverse=True, return_counts=True)
        structure = torch.div(unique, N_ELEMENTS, rounding_mode="floor")
        per_structure = torch.bincount(structure, minlength=len(batch))
        first = per_structure.cumsum(0) - per_structure
        n_tokens = int(per_structure.max())
        place = torch.arange(len(unique), device=unique.device) - first[structure]
        flat = structure * n_tokens + place
        self.elements = self._scatter(unique % N_ELEMENTS, flat, len(batch), n_tokens)
        self.counts = self._scatter(counts, flat, len(batch), n_tokens)
        self.of_atom = flat.index_select(0, of_key)

    @staticmethod
    def _scatter(values: Tensor, flat: Tensor, n_rows: int, n_columns: int) -> Tensor:
        table = torch.zeros(n_rows * n_columns, dtype=torch.int64, device=values.device)
        return table.index_copy(0, flat, values).view(n_rows, n_columns)


def _common_divisors(counts: Tensor) -> Tensor:
    divisors = counts[:, 0]
    for column in counts.unbind(1)[1:]:
        divisors = torch.gcd(divisors, column)
    return divisors


class _Block(nn.Module):
    """Pre-norm attention and feed-forward layer with a bias on the keys."""

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        if dim % n_heads:
            raise ValueError(f"the width {dim} is no multiple of the {n_heads} heads")
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.update = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Update tokens ``(n_structures, n_tokens, dim)``."""
        n_rows, n_tokens, dim = x.shape
        heads = self.project(self.norm(x)).view(n_rows, n_tokens, 3, self.n_heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        logits = query @ key.transpose(2, 3) / math.sqrt(dim // self.n_heads) + bias
        mixed = (logits.softmax(-1) @ value).transpose(1, 2).reshape(n_rows, n_tokens, dim)
        x = x + self.merge(mixed)
        return x + self.update(x)

"""The built-in equivariant backbone."""

import math

import torch
from torch import Tensor, nn

from trisk.nn.basis import BesselBasis
from trisk.nn.batch import CrystalBatch
from trisk.nn.streams import ElementVectors, coordination


class EquivariantBackbone(nn.Module):
    """Message passing with scalars and vectors on every atom, in the manner of PaiNN [1]_.

    The equations stand in ``docs/networks/triforces.md``, with sums over neighbours as small
    products of matrices. `forward` takes a :class:`CrystalBatch` and gives scalars
    ``(n_atoms, dim)`` and vectors ``(n_atoms, 3, dim)`` after `n_layers` rounds of messages.

    References
    ----------
    .. [1] K. T. Schütt, O. T. Unke, M. Gastegger, ICML 2021. https://arxiv.org/abs/2102.03150
    """

    def __init__(self, cutoff: float, dim: int, n_layers: int = 3, n_radial: int = 8):
        super().__init__()
        self.cutoff = cutoff
        self.out_features = dim
        self.embed = ElementVectors(dim)
        self.basis = BesselBasis(cutoff, n_radial)
        self.messages = nn.ModuleList(_Messages(dim, n_radial, i > 0) for i in range(n_layers))
        self.updates = nn.ModuleList(_Update(dim) for _ in range(n_layers))

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        scalars = self.embed(batch.atomic_numbers)
        damping = torch.rsqrt(1 + coordination(batch, self.cutoff)).index_select(
            0, batch.links.receivers
        )
        radial = self.basis(batch.lengths)
        directed = (radial.unsqueeze(1) * batch.directions.unsqueeze(2)).flatten(1)
        weights = batch.links.sum_over_images(torch.cat([radial, directed], dim=1))
        weights = weights * damping.unsqueeze(1)
        vectors = scalars.new_zeros(len(scalars), 3, 0)
        for message, update in zip(self.messages, self.updates, strict=True):
            scalars, vectors = message(batch, weights, scalars, vectors)
            scalars, vectors = update(scalars, vectors)
        return scalars, vectors


class _Messages(nn.Module):
    """Adds what the neighbours send."""

    def __init__(self, dim: int, n_radial: int, takes_vectors: bool):
        super().__init__()
        self.takes_vectors = takes_vectors
        self.n_radial = n_radial
        self.send = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, dim),
            nn.SiLU(),
            nn.Linear(dim, (2 if takes_vectors else 1) * dim),
        )
        # From sent scalars to scalars, from sent scalars to vectors, from vectors to vectors.
        n_filters = 3 if takes_vectors else 2
        self.filters = nn.Parameter(torch.randn(n_filters, n_radial, dim) / math.sqrt(n_radial))

    def forward(
        self, batch: CrystalBatch, weights: Tensor, scalars: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scalars ``(n_atoms, dim)`` and vectors ``(n_atoms, 3, dim)`` after the messages."""
        dim, k = scalars.shape[1], self.n_radial
        filters = self.filters.unbind()
        sent, *gates = self.send(scalars).split(dim, dim=1)
        to_scalars, to_vectors = (
            batch.links.receive(weights, sent).view(-1, 4, k, dim).split([1, 3], dim=1)
        )
        scalars = scalars + (to_scalars.squeeze(1) * filters[0]).sum(1)
        received = (to_vectors * filters[1]).sum(2)
        if not self.takes_vectors:
            return scalars, received
        sent_vectors = (gates[0].unsqueeze(1) * vectors).flatten(1)
        from_vectors = batch.links.receive(weights[:, :k], sent_vectors).view(-1, k, 3, dim)
        # Expanded beforehand: the derivative of a product sums over a middle axis slowly.
        filter_ = filters[2].unsqueeze(1).expand(-1, 3, -1)
        received = received + (from_vectors * filter_).sum(1)
        return scalars, vectors + received


class _Update(nn.Module):
    """Lets the scalars and vectors of an atom act on each other."""

    def __init__(self, dim: int):
        super().__init__()
        self.mix = nn.Linear(dim, 2 * dim, bias=False)
        self.gates = nn.Sequential(
            nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim), nn.SiLU(), nn.Linear(dim, 3 * dim)
        )

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.mix(vectors).chunk(2, dim=2)
        # The constant keeps the root differentiable for an atom without vectors.
        norms = (right.square().sum(1) + 1e-6).sqrt()
        gates = self.gates(torch.cat([scalars, norms], dim=1))
        plain, product, vector = gates.chunk(3, dim=1)
        scalars = scalars + plain + product * (left * right).sum(1)
        return scalars, vectors + vector.unsqueeze(1) * left

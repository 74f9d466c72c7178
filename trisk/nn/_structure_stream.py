"""What a structure looks like when nobody knows which element sits where."""

import math

import torch
from torch import Tensor, nn

from trisk.nn._crystal_batch import CrystalBatch
from trisk.nn._radial import BesselBasis, coordination
from trisk.nn._spherical_harmonics import real_spherical_harmonics

# Brings the spectra of fourteen crystals from diamond to potassium, at a cutoff of 6 Å, to
# standard deviations between 0.4 and 2.5, whatever the random mixture of radial functions.
_GAIN = 300.0

# Mixed radial functions that gate messages.
_N_GATES = 8


class PowerSpectrum(nn.Module):
    r"""Type-agnostic power spectrum of the neighbours' density around every atom.

    The density of atom i in channel a is
    :math:`c_{i,a,lm} = \sum_j \tilde\phi_a(r_{ij}) Y_{lm}(\hat r_{ij})` with radial functions
    :math:`\tilde\phi_a` mixed from all frequencies under all cutoffs, and the spectrum is
    :math:`p_{i,aa'l} = \sum_m c_{i,a,lm} c_{i,a',lm} / \sqrt{2 l + 1}`, for a ≤ a', with
    off-diagonal entries times √2. It is invariant under rotation, inversion and the order of
    neighbours, and does not see elements. Densities are divided by the root of one plus the
    smoothed number of neighbours, and a steep inverse hyperbolic sine compresses the values, so
    that diamond and potassium give numbers of the same order.

    Parameters
    ----------
    cutoff : float
        Largest distance, in Å.
    n_radial : int, default=8
        Frequencies of the radial basis.
    n_channels : int, default=8
        Mixed radial functions a.
    max_degree : int, default=4
        Largest degree l.
    scales : tuple of float, default=(0.5, 0.75, 1.0)
        Cutoffs, as parts of `cutoff`.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch`, the :class:`BesselBasis` values of its pairs and the
    :func:`coordination` of its atoms, and gives ``(n_atoms, out_features)``.
    """

    upper: Tensor
    scale: Tensor

    def __init__(
        self,
        cutoff: float,
        n_radial: int = 8,
        n_channels: int = 8,
        max_degree: int = 4,
        scales: tuple[float, ...] = (0.5, 0.75, 1.0),
    ):
        super().__init__()
        self.max_degree = max_degree
        self.basis = BesselBasis(cutoff, n_radial, scales)
        self.mix = nn.Parameter(torch.empty(self.basis.out_features, n_channels))
        nn.init.normal_(self.mix, std=1 / math.sqrt(self.basis.out_features))
        row, column = torch.triu_indices(n_channels, n_channels)
        self.register_buffer("upper", row * n_channels + column, persistent=False)
        weight = torch.where(row == column, _GAIN, _GAIN * math.sqrt(2))
        degrees = torch.arange(max_degree + 1).unsqueeze(1)
        self.register_buffer("scale", weight / (2 * degrees + 1).sqrt(), persistent=False)

    @property
    def out_features(self) -> int:
        """Numbers per atom."""
        return self.scale.numel()

    def forward(self, batch: CrystalBatch, radial: Tensor, n_neighbors: Tensor) -> Tensor:
        """Describe the neighbourhood of every atom."""
        angular = real_spherical_harmonics(batch.directions, self.max_degree)
        # Mixed after the sum, which no weight then stands behind.
        density = batch.sum_over_neighbors(angular, radial) @ self.mix
        density = density * torch.rsqrt(1 + n_neighbors).view(-1, 1, 1)
        spectra = []
        for part in density.split([2 * degree + 1 for degree in range(self.max_degree + 1)], 1):
            table = torch.bmm(part.transpose(1, 2), part).flatten(1)
            spectra.append(table.index_select(1, self.upper))
        return torch.asinh(torch.stack(spectra, 1) * self.scale).flatten(1)


class StructureStream(nn.Module):
    """Embeds atoms by the shape of their surroundings alone.

    The :class:`PowerSpectrum` passes a two-layer network beside a linear one; messages between
    neighbours, gated by smooth radial functions without a bias, then spread it. Elements never
    enter: a structure keeps its embedding when its elements are exchanged.

    Parameters
    ----------
    cutoff : float
        Largest distance, in Å.
    dim : int
        Width of the embedding.
    n_layers : int, default=2
        Rounds of messages.
    **spectrum
        As for :class:`PowerSpectrum`.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch` and gives ``(n_atoms, dim)``.
    """

    def __init__(self, cutoff: float, dim: int, n_layers: int = 2, **spectrum):
        super().__init__()
        self.spectrum = PowerSpectrum(cutoff, **spectrum)
        n_features, n_radial = self.spectrum.out_features, self.spectrum.basis.out_features
        self.linear = nn.Linear(n_features, dim)
        self.nonlinear = nn.Sequential(
            nn.Linear(n_features, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, dim)
        )
        self.mix = nn.Parameter(torch.randn(n_radial, _N_GATES) / math.sqrt(n_radial))
        self.layers = nn.ModuleList(_EnvelopedMessages(dim, _N_GATES) for _ in range(n_layers))

    def forward(self, batch: CrystalBatch) -> Tensor:
        """Embed atoms."""
        radial = self.spectrum.basis(batch.lengths)
        n_neighbors = coordination(batch, self.spectrum.basis.cutoff)
        spectrum = self.spectrum(batch, radial, n_neighbors)
        x = self.linear(spectrum) + self.nonlinear(spectrum)
        damping = torch.rsqrt(1 + n_neighbors).index_select(0, batch.links.receivers)
        weights = (batch.links.sum_over_images(radial) @ self.mix) * damping.unsqueeze(1)
        for layer in self.layers:
            x = x + layer(batch, weights, x)
        return x


class _EnvelopedMessages(nn.Module):
    """Messages that fade with the radial functions of their pair."""

    def __init__(self, dim: int, n_radial: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.send = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Parameter(torch.randn(n_radial, dim) / math.sqrt(n_radial))
        self.receive = nn.Sequential(nn.Linear(2 * dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, batch: CrystalBatch, weights: Tensor, x: Tensor) -> Tensor:
        """Change of the embedding ``(n_atoms, dim)``."""
        normed = self.norm(x)
        message = (batch.links.receive(weights, self.send(normed)) * self.gate).sum(1)
        return self.receive(torch.cat([normed, message], dim=1))

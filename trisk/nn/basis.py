"""Functions of distances, directions and angles that networks read."""

import math

import torch
from torch import Tensor, nn

from trisk.structures import harmonics

#: Largest degree of the spherical harmonics.
MAX_DEGREE = 4


def smooth_cutoff(ratio: Tensor) -> Tensor:
    """One at zero, zero from one on, with two continuous derivatives: 1 − 28x⁶ + 48x⁷ − 21x⁸."""
    x = ratio.clamp(0.0, 1.0)
    square = x * x
    return 1 - square * square * square * (28 - x * (48 - 21 * x))


class BesselBasis(nn.Module):
    r"""Spherical Bessel functions of order zero under smooth cutoffs of several ranges.

    Function k under the cutoff s r_c is
    :math:`\sqrt{2 / r_c} \, \sin(k \pi r / r_c) / r \, f(r / (s r_c))`, with `scales` s as parts
    of the `cutoff` in Å. Shapes: ``(n_pairs,)`` to ``(n_pairs, len(scales) * n_functions)``.
    """

    frequencies: Tensor

    def __init__(self, cutoff: float, n_functions: int, scales: tuple[float, ...] = (1.0,)):
        super().__init__()
        self.cutoff = cutoff
        self.n_functions = n_functions
        self.scales = tuple(scales)
        frequencies = torch.arange(1, n_functions + 1) * math.pi / cutoff
        self.register_buffer("frequencies", frequencies, persistent=False)

    @property
    def out_features(self) -> int:
        return len(self.scales) * self.n_functions

    def forward(self, lengths: Tensor) -> Tensor:
        lengths = lengths.unsqueeze(-1)
        waves = torch.sin(lengths * self.frequencies) * (math.sqrt(2 / self.cutoff) / lengths)
        ratio = lengths / self.cutoff
        return torch.cat([waves * smooth_cutoff(ratio / scale) for scale in self.scales], dim=-1)


class GaussianBasis(nn.Module):
    """Gaussians from zero to `cutoff`, as wide as they are apart, ``(n_lengths, n_functions)``."""

    centers: Tensor

    def __init__(self, n_functions: int, cutoff: float):
        super().__init__()
        centers = torch.linspace(0, cutoff, n_functions)
        self.register_buffer("centers", centers, persistent=False)
        self.width = cutoff / (n_functions - 1)

    def forward(self, lengths: Tensor) -> Tensor:
        return torch.exp(-0.5 * ((lengths.unsqueeze(1) - self.centers) / self.width) ** 2)


def cosine_basis(cosines: Tensor, n_functions: int) -> Tensor:
    """Evaluate cos(n θ) for n = 0, 1, 2 and so on, ``(n_angles, n_functions)``, from cos θ.

    These Chebyshev polynomials are complete for functions of a bond angle and for functions of a
    dihedral angle that do not tell left from right, and no inverse cosine is taken.
    """
    values = [torch.ones_like(cosines), cosines]
    while len(values) < n_functions:
        values.append(2 * cosines * values[-1] - values[-2])
    return torch.stack(values[:n_functions], dim=1)


def real_spherical_harmonics(directions: Tensor) -> Tensor:
    r"""Evaluate real spherical harmonics to degree 4, orders from −l to l, ``(n_vectors, 25)``.

    Values of unit vectors ``(n_vectors, 3)`` are multiplied by :math:`\sqrt{4 \pi}`, so that the
    squares of degree l add up to 2 l + 1.
    """
    x, y, z = directions.unbind(-1)
    return torch.stack(harmonics.real_spherical_harmonics(x, y, z, MAX_DEGREE), dim=-1)

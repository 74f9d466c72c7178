"""Functions of distances, directions and angles that networks read."""

import math

import torch
from torch import Tensor, nn

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
    x2, y2, z2 = x * x, y * y, z * z
    xy, difference = x * y, x2 - y2
    sine3, cosine3 = y * (3 * x2 - y2), x * (x2 - 3 * y2)
    ring3, ring4, ring5 = 5 * z2 - 1, 7 * z2 - 1, z * (7 * z2 - 3)
    root3, root15, root105, root315 = (math.sqrt(n) for n in (3, 15, 105, 315))
    outer3, middle3 = math.sqrt(35 / 8), math.sqrt(21 / 8)
    outer4, middle4, inner4 = math.sqrt(315 / 8), math.sqrt(45), math.sqrt(45 / 8)
    columns = [
        torch.ones_like(x),
        root3 * y,
        root3 * z,
        root3 * x,
        root15 * xy,
        root15 * y * z,
        math.sqrt(5) / 2 * (3 * z2 - 1),
        root15 * x * z,
        root15 / 2 * difference,
        outer3 * sine3,
        root105 * xy * z,
        middle3 * y * ring3,
        math.sqrt(7) / 2 * z * (5 * z2 - 3),
        middle3 * x * ring3,
        root105 / 2 * z * difference,
        outer3 * cosine3,
        root315 / 2 * xy * difference,
        outer4 * z * sine3,
        middle4 / 2 * xy * ring4,
        inner4 * y * ring5,
        3 / 8 * (z2 * (35 * z2 - 30) + 3),
        inner4 * x * ring5,
        middle4 / 4 * difference * ring4,
        outer4 * z * cosine3,
        root315 / 8 * (difference * difference - 4 * xy * xy),
    ]
    return torch.stack(columns, dim=-1)

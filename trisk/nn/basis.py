"""Functions of distances, directions and angles that networks read."""

import math

import torch
from torch import Tensor, nn

#: Largest degree for which spherical harmonics are written down.
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
        """Number of functions of a distance."""
        return len(self.scales) * self.n_functions

    def forward(self, lengths: Tensor) -> Tensor:
        """Evaluate all functions."""
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
        """Evaluate all functions."""
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


def real_spherical_harmonics(directions: Tensor, max_degree: int) -> Tensor:
    r"""Evaluate real spherical harmonics, degree by degree, orders from −l to l.

    Parameters
    ----------
    directions : Tensor of shape (n_vectors, 3)
        Unit vectors.
    max_degree : int
        Largest degree, at most 4.

    Returns
    -------
    Tensor of shape (n_vectors, (max_degree + 1) ** 2)
        Values times :math:`\sqrt{4 \pi}`, so that the squares of degree l add up to 2 l + 1.
    """
    if not 0 <= max_degree <= MAX_DEGREE:
        raise ValueError(f"max_degree must be between 0 and {MAX_DEGREE}, but is {max_degree}")
    x, y, z = directions.unbind(-1)
    columns = [torch.ones_like(x)]
    if max_degree >= 1:
        root = math.sqrt(3)
        columns += [root * y, root * z, root * x]
    if max_degree >= 2:
        x2, y2, z2 = x * x, y * y, z * z
        xy, difference = x * y, x2 - y2
        root = math.sqrt(15)
        columns += [
            root * xy,
            root * y * z,
            math.sqrt(5) / 2 * (3 * z2 - 1),
            root * x * z,
            root / 2 * difference,
        ]
    if max_degree >= 3:
        sine3, cosine3 = y * (3 * x2 - y2), x * (x2 - 3 * y2)
        outer, middle = math.sqrt(35 / 8), math.sqrt(21 / 8)
        ring = 5 * z2 - 1
        columns += [
            outer * sine3,
            math.sqrt(105) * xy * z,
            middle * y * ring,
            math.sqrt(7) / 2 * z * (5 * z2 - 3),
            middle * x * ring,
            math.sqrt(105) / 2 * z * difference,
            outer * cosine3,
        ]
    if max_degree >= 4:
        outer, middle, inner = math.sqrt(315 / 8), math.sqrt(45), math.sqrt(45 / 8)
        ring4, ring3 = 7 * z2 - 1, z * (7 * z2 - 3)
        columns += [
            math.sqrt(315) / 2 * xy * difference,
            outer * z * sine3,
            middle / 2 * xy * ring4,
            inner * y * ring3,
            3 / 8 * (z2 * (35 * z2 - 30) + 3),
            inner * x * ring3,
            middle / 4 * difference * ring4,
            outer * z * cosine3,
            math.sqrt(315) / 8 * (difference * difference - 4 * xy * xy),
        ]
    return torch.stack(columns, dim=-1)

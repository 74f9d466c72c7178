"""Real spherical harmonics to the fourth degree, as polynomials of unit vectors."""

import math

import torch
from torch import Tensor

#: Largest degree for which polynomials are written down.
MAX_DEGREE = 4


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

    Raises
    ------
    ValueError
        If `max_degree` is not between 0 and 4.
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

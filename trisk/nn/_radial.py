"""Radial functions of interatomic distances; all of them end smoothly at the cutoff."""

import math

import torch
from torch import Tensor, nn

from trisk.nn._crystal_batch import CrystalBatch


def smooth_cutoff(ratio: Tensor) -> Tensor:
    """One at zero, zero from one on, with two continuous derivatives everywhere.

    Parameters
    ----------
    ratio : Tensor
        Distance over cutoff.

    Returns
    -------
    Tensor
        1 − 28 x⁶ + 48 x⁷ − 21 x⁸ for the ratio x limited to [0, 1].
    """
    x = ratio.clamp(0.0, 1.0)
    square = x * x
    return 1 - square * square * square * (28 - x * (48 - 21 * x))


def coordination(batch: CrystalBatch, cutoff: float) -> Tensor:
    """Count neighbours, each with the weight of the smooth cutoff.

    Parameters
    ----------
    batch : CrystalBatch
        Crystals.
    cutoff : float
        Largest distance, in Å.

    Returns
    -------
    Tensor of shape (n_atoms,)
        Smooth numbers of neighbours.
    """
    weights = smooth_cutoff(batch.lengths / cutoff).unsqueeze(1)
    return batch.sum_over_neighbors(weights, torch.ones_like(weights)).flatten()


class BesselBasis(nn.Module):
    r"""Spherical Bessel functions of order zero under smooth cutoffs of several ranges.

    Function k under the cutoff s r_c is
    :math:`\sqrt{2 / r_c} \, \sin(k \pi r / r_c) / r \, f(r / (s r_c))`.

    Parameters
    ----------
    cutoff : float
        Largest distance r_c, in Å.
    n_functions : int
        Number of frequencies k = 1, 2, ….
    scales : tuple of float, default=(1.0,)
        Ranges s of the cutoffs, as parts of `cutoff`.

    Notes
    -----
    Shapes: distances ``(n_pairs,)`` to ``(n_pairs, len(scales) * n_functions)``.
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

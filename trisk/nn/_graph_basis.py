"""Functions of bond lengths, bond angles and dihedral angles that a network reads."""

import torch
from torch import Tensor, nn


class GaussianBasis(nn.Module):
    """Gaussians at equal distances, as wide as they are apart.

    Parameters
    ----------
    n_functions : int
        Number of Gaussians.
    cutoff : float
        Centre of the last one, in Å; the first stands at zero.
    """

    centers: Tensor

    def __init__(self, n_functions: int, cutoff: float):
        super().__init__()
        centers = torch.linspace(0, cutoff, n_functions)
        self.register_buffer("centers", centers, persistent=False)
        self.width = cutoff / (n_functions - 1)

    def forward(self, lengths: Tensor) -> Tensor:
        """Evaluate at bond lengths, ``(n_bonds, n_functions)``."""
        return torch.exp(-0.5 * ((lengths.unsqueeze(1) - self.centers) / self.width) ** 2)


def cosine_basis(cosines: Tensor, n_functions: int) -> Tensor:
    """Cosines of multiples of an angle, cos(n θ) for n = 0, 1, 2 and so on.

    Complete for functions of a bond angle and for functions of a dihedral angle that do not
    tell left from right; polynomials of cos θ, so that no inverse cosine is taken.

    Parameters
    ----------
    cosines : Tensor of shape (n_angles,)
        cos θ.
    n_functions : int
        Number of functions, at least two.

    Returns
    -------
    values : Tensor of shape (n_angles, n_functions)
        Chebyshev polynomials T_n(cos θ).
    """
    values = [torch.ones_like(cosines), cosines]
    while len(values) < n_functions:
        values.append(2 * cosines * values[-1] - values[-2])
    return torch.stack(values[:n_functions], dim=1)

"""Losses of properties, and of energies with forces and stresses."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PropertyLoss(nn.Module):
    """Weighted mean loss over structures.

    Parameters
    ----------
    kind : {"absolute_error", "squared_error", "huber", "cross_entropy"}
        Loss of one structure; class probabilities are the targets of the last one.

    Notes
    -----
    `forward` takes outputs ``(n_structures, n_outputs)`` and a dictionary with ``target`` of
    that shape and ``weight`` ``(n_structures,)``.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, output: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Mean over structures."""
        target = targets["target"].to(output.dtype)
        if self.kind == "absolute_error":
            losses = (output - target).abs().mean(1)
        elif self.kind == "squared_error":
            losses = (output - target).square().mean(1)
        elif self.kind == "huber":
            losses = F.huber_loss(output, target, reduction="none").mean(1)
        else:
            losses = F.cross_entropy(output, target, reduction="none")
        return (losses * targets["weight"].to(losses.dtype)).mean()


class PotentialLoss(nn.Module):
    """Mean errors of energies per atom, forces and stresses, each relative to its spread.

    Parameters
    ----------
    energy_weight, forces_weight, stress_weight : float
        Weights of the three errors.
    energy_scale : float
        Spread of the energies per atom without references, in eV.
    forces_scale : float
        Root mean square of the forces, in eV/Å.
    stress_scale : float
        Root mean square of the stresses, in eV/Å³.

    Notes
    -----
    `forward` takes the output of :class:`PotentialNetwork` and a dictionary with ``energy``,
    ``forces`` and ``stress`` of the same shapes and ``n_atoms``. Missing values are NaN and do
    not count. Errors of forces and stresses are lengths of vectors and matrices, so that the
    loss does not depend on the axes.
    """

    def __init__(
        self,
        energy_weight: float,
        forces_weight: float,
        stress_weight: float,
        energy_scale: float,
        forces_scale: float,
        stress_scale: float,
    ):
        super().__init__()
        self.weights = (
            energy_weight / energy_scale,
            forces_weight / forces_scale,
            stress_weight / stress_scale,
        )

    def forward(self, output: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the three mean errors."""
        energy = (output["energy"] - targets["energy"]) / targets["n_atoms"]
        errors = (
            energy.unsqueeze(1),
            output["forces"] - targets["forces"],
            (output["stress"] - targets["stress"]).flatten(1),
        )
        lengths = torch.stack([_mean_length(error) for error in errors])
        return (lengths * lengths.new_tensor(self.weights)).sum()


def _mean_length(errors: Tensor) -> Tensor:
    """Mean length of the rows without missing values, zero if there are none."""
    known = errors.isfinite().all(1)
    squares = torch.where(known.unsqueeze(1), errors, 0).square().sum(1)
    # The constant keeps the root differentiable at zero.
    lengths = (squares + 1e-12).sqrt()
    return (lengths * known).sum() / known.sum().clamp_min(1)

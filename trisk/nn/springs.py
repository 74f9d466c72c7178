"""Vibrations of a crystal whose bonds are springs of learned stiffness."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trisk.nn.batch import GraphBatch
from trisk.nn.members import MemberLinear
from trisk.structures.elements import ATOMIC_MASSES

# Frequency of a spring of 1 N/m on a mass of 1 u, over 2πc, in 1/cm.
_WAVENUMBER = 130.28
# A frequency of 400/cm is zero, a factor of e^0.8 one, in what the head reads.
_LOG_CENTER, _LOG_SCALE = 5.99, 0.8
# Sideways, an empirical bond is a tenth as stiff as along its direction.
_LOG_TRANSVERSE = -2.3
# Steps of the learned logarithm of the stiffness.
_STIFFNESS_STEP = 0.2


class SpringGeometry(NamedTuple):
    """What is the same in every cycle.

    ``along`` and ``across`` ``(1, n_bonds, 6)`` project on the bond's direction and on the plane
    across it; ``mass_i`` and ``mass_j`` ``(1, n_bonds, 1)`` are masses of the ends in u.
    """

    along: Tensor
    across: Tensor
    mass_i: Tensor
    mass_j: Tensor


class SpringVibrations(nn.Module):
    """Frequencies of single atoms and of pairs of atoms in the field of all springs.

    The equations stand in ``docs/networks/graph_triads.md``. The second frequency, with the
    coupling of atom i to all its neighbours, c² = Σ_j |B_ij u|² / (m_i m_j) over its bonds'
    stiffness tensors B_ij, is one step of a Lanczos recursion (R. Haydock, Solid State Phys. 35,
    215, 1980). Shapes: bond states ``(K, n_bonds, bond_dim)`` to scaled logarithms of
    frequencies ``(K, n_structures, 3)``.
    """

    n_features = 3
    masses: Tensor
    unit: Tensor

    def __init__(self, n_members: int, bond_dim: int):
        super().__init__()
        self.stiffness = MemberLinear(n_members, bond_dim, 2)
        self.register_buffer("masses", torch.tensor([1.0, *ATOMIC_MASSES]), persistent=False)
        unit = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        self.register_buffer("unit", unit, persistent=False)
        self.log_sharpness = nn.Parameter(torch.empty(n_members, 1, self.n_features))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Start one member's maximum at a factor of e for a difference of a tenth."""
        nn.init.constant_(self.log_sharpness[member], 2.3)

    def prepare(self, batch: GraphBatch) -> SpringGeometry:
        """Compute what all cycles share."""
        along = _projector(batch.bond_directions)
        masses = self.masses[batch.atomic_numbers].view(1, -1, 1)
        of_ends = batch.centers.gather(masses), batch.neighbors.gather(masses)
        return SpringGeometry(along, self.unit - along, *of_ends)

    def squared_frequencies(
        self, along: Tensor, across: Tensor, geometry: SpringGeometry, batch: GraphBatch
    ) -> Tensor:
        """Squares of pair, recursion and Einstein frequency of bonds, in (N/m)/u.

        `along` and `across` ``(K, n_bonds, 1)`` are stiffnesses in N/m; the result is
        ``(K, n_bonds, 3)``.
        """
        tensor, sideways, mass_i, mass_j = geometry
        onsite = batch.centers.sum(along * tensor + across * sideways)
        of_i = (batch.centers.gather(onsite) * tensor).sum(-1, keepdim=True)
        of_j = (batch.neighbors.gather(onsite) * tensor).sum(-1, keepdim=True)
        # A bond is part of every sum along it: rounding must not take it away.
        of_i = torch.maximum(of_i, along) / mass_i
        of_j = torch.maximum(of_j, along) / mass_j
        squared = batch.centers.sum((along.square() * tensor + across.square() * sideways) / mass_j)
        shell = (batch.centers.gather(squared) * tensor).sum(-1, keepdim=True) / mass_i
        pair = along.square() / (mass_i * mass_j)
        shell = torch.maximum(shell, pair)
        center, offset = (of_i + of_j) / 2, ((of_i - of_j) / 2).square()
        roots = [center + (offset + coupling).sqrt() for coupling in (pair, shell)]
        return torch.cat([*roots, of_i], dim=-1)

    def forward(self, bonds: Tensor, geometry: SpringGeometry, batch: GraphBatch) -> Tensor:
        change = _STIFFNESS_STEP * self.stiffness(bonds)
        stiffness = batch.bond_stiffness.unsqueeze(1)
        along = stiffness * change[..., :1].exp()
        across = stiffness * (change[..., 1:] + _LOG_TRANSVERSE).exp()
        squares = self.squared_frequencies(along, across, geometry, batch)
        log_frequencies = 0.5 * (squares + 1e-6).log() + math.log(_WAVENUMBER)
        scaled = (log_frequencies - _LOG_CENTER) / _LOG_SCALE
        weights = batch.bond_structures.softmax(scaled * self.log_sharpness.exp() * _LOG_SCALE)
        return batch.bond_structures.sum(weights * scaled)


def _projector(directions: Tensor) -> Tensor:
    """Tensors u uᵀ as six numbers, so that a dot product is the product of two tensors."""
    x, y, z = directions.unbind(-1)
    root = math.sqrt(2)
    six = [x * x, y * y, z * z, root * x * y, root * y * z, root * z * x]
    return torch.stack(six, dim=-1).unsqueeze(0)

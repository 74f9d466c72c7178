"""One cycle of GraphTRIADS: messages from dihedrals to angles to bonds to atoms."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._graph_basis import GaussianBasis, cosine_basis
from trisk.nn._graph_batch import GraphBatch, KeptRows
from trisk.nn._members import MemberDropout, MemberLayerNorm, MemberLinear
from trisk.nn._segments import Segments

# Neighbours and angles per row are a dozen or so; sums of that many terms are brought to order
# one by the root of it.
_MESSAGE_SCALE = 0.3


class CellInput(NamedTuple):
    """What stays the same over all cycles, computed once.

    Attributes
    ----------
    atoms, bonds : Tensor
        Injected into every update of the atoms, ``(K, n_atoms, dim)``, and of the bonds,
        ``(K, n_bonds, bond_dim)``.
    angles, dihedrals : Tensor or None
        Filters of the messages along angles and dihedrals, ``(K, rows, angle_dim)``; of no row
        where the order leaves them out.
    """

    atoms: Tensor
    bonds: Tensor
    angles: Tensor
    dihedrals: Tensor

    def take(self, rows: KeptRows) -> "CellInput":
        """Keep some rows."""
        angles, dihedrals = self.angles, self.dihedrals
        if angles.shape[1]:
            angles = angles[:, rows.angles]
        if dihedrals.shape[1]:
            dihedrals = dihedrals[:, rows.dihedrals]
        return CellInput(self.atoms[:, rows.atoms], self.bonds[:, rows.bonds], angles, dihedrals)


class CellState(NamedTuple):
    """What the cycles refine.

    Attributes
    ----------
    latent, answer : Tensor
        States z and y of the atoms, ``(K, n_atoms, dim)``.
    bonds : Tensor
        State of the bonds, ``(K, n_bonds, bond_dim)``.
    """

    latent: Tensor
    answer: Tensor
    bonds: Tensor

    def take(self, rows: KeptRows) -> "CellState":
        """Keep some rows."""
        latent, answer, bonds = self
        return CellState(latent[:, rows.atoms], answer[:, rows.atoms], bonds[:, rows.bonds])


class Update(nn.Module):
    """``LayerNorm(W2 dropout(GELU(hidden)) + b2)``, the second half of every update.

    Parameters
    ----------
    n_members, hidden_dim, dim : int
        Number of members, width of the hidden layer and of the result.
    dropout : float
        Dropout rate.
    """

    def __init__(self, n_members: int, hidden_dim: int, dim: int, dropout: float):
        super().__init__()
        self.dropout = MemberDropout(dropout)
        self.outer = MemberLinear(n_members, hidden_dim, dim)
        self.norm = MemberLayerNorm(n_members, dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """Finish an update from its hidden layer."""
        return self.norm(self.outer(self.dropout(F.gelu(hidden))))


def couple(rows: Tensor, ends: Segments, weight: Tensor) -> Tensor:
    """Add up the two rows that meet in every pair and weight the sum.

    Parameters
    ----------
    rows : Tensor of shape (K, n_rows, D)
        States of bonds or angles.
    ends : Segments
        Rows that are first, then those that are second in the pairs.
    weight : Tensor of shape (K, n_pairs, D)
        Filter of each pair.

    Returns
    -------
    pairs : Tensor of shape (K, n_pairs, D)
        Weighted sums.
    """
    first, second = ends.gather(rows).chunk(2, dim=1)
    return (first + second) * weight


def return_to_ends(pairs: Tensor, ends: Segments) -> Tensor:
    """Sum over the pairs that a row is part of, ``(K, n_rows, D)``."""
    return _MESSAGE_SCALE * ends.sum(torch.cat([pairs, pairs], dim=1))


class GraphCell(nn.Module):
    """The recurrent cell: one set of weights, used in every cycle [1]_.

    Dihedrals pass messages to angles, angles to bonds, bonds to atoms; the atoms refine a
    latent state z and an answer state y as the composition network does. All that does not
    change from cycle to cycle (the filters of lengths and angles) is computed once.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    order : {1, 2, 3}
        Bonds only, bond angles too, dihedral angles too.
    n_sensors : int
        Physics sensors of each bond.
    n_radial, n_angular : int
        Gaussians of the bond length and cosines of the angles.
    cutoff : float
        Centre of the last Gaussian, in Å.
    dim, bond_dim, angle_dim : int
        Width of the states of atoms, of bonds, and of messages along angles.
    feedforward_dim : int
        Width of the hidden layers of the atoms' updates.
    dropout : float
        Dropout rate.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.
    """

    def __init__(
        self,
        n_members: int,
        *,
        order: int,
        n_sensors: int,
        n_radial: int,
        n_angular: int,
        cutoff: float,
        dim: int,
        bond_dim: int,
        angle_dim: int,
        feedforward_dim: int,
        dropout: float,
    ):
        super().__init__()
        self.order = order
        self.n_angular = n_angular
        self.bond_dim = bond_dim
        self.radial = GaussianBasis(n_radial, cutoff)
        k = n_members
        self.bond_input = MemberLinear(k, n_radial + n_sensors, bond_dim)
        self.center_to_bond = MemberLinear(k, dim, bond_dim, bias=False)
        self.neighbor_to_bond = MemberLinear(k, dim, bond_dim, bias=False)
        self.bond_to_bond = MemberLinear(k, bond_dim, bond_dim, bias=False)
        self.bond_update = Update(k, bond_dim, bond_dim, dropout)
        if order > 1:
            self.angle_filter = MemberLinear(k, n_angular, angle_dim)
            self.bond_to_angle = MemberLinear(k, bond_dim, angle_dim, bias=False)
            self.angle_to_bond = MemberLinear(k, angle_dim, bond_dim, bias=False)
        if order > 2:
            self.dihedral_filter = MemberLinear(k, n_angular, angle_dim)
        self.gate = MemberLinear(k, bond_dim, bond_dim)
        self.atom_input = MemberLinear(k, dim, feedforward_dim)
        self.message = MemberLinear(k, bond_dim + 2 * dim, feedforward_dim, bias=False)
        self.latent_update = Update(k, feedforward_dim, dim, dropout)
        self.answer_hidden = MemberLinear(k, 2 * dim, feedforward_dim)
        self.answer_update = Update(k, feedforward_dim, dim, dropout)

    def encode(self, batch: GraphBatch, atoms: Tensor) -> CellInput:
        """Compute what all cycles share from the atoms' input ``(K, n_atoms, dim)``."""
        k = len(atoms)
        columns = torch.cat([self.radial(batch.bond_lengths), batch.bond_sensors], dim=1)
        bonds = self.bond_input(columns.expand(k, -1, -1))
        angles = dihedrals = bonds[:, :0]
        if self.order > 1:
            basis = cosine_basis(batch.angle_cosines, self.n_angular)
            angles = self.angle_filter(basis.expand(k, -1, -1))
        if self.order > 2:
            basis = cosine_basis(batch.dihedral_cosines, self.n_angular)
            dihedrals = self.dihedral_filter(basis.expand(k, -1, -1))
        return CellInput(self.atom_input(atoms), bonds, angles, dihedrals)

    def start(self, atoms: Tensor, inputs: CellInput) -> CellState:
        """States before the first cycle: atoms and bonds as given, no answer."""
        return CellState(atoms, torch.zeros_like(atoms), inputs.bonds)

    def bond_messages(self, state: CellState, inputs: CellInput, batch: GraphBatch) -> Tensor:
        """What reaches the bonds from angles (and through them from dihedrals)."""
        messages = couple(self.bond_to_angle(state.bonds), batch.angle_ends, inputs.angles)
        if self.order > 2:
            further = couple(messages, batch.dihedral_ends, inputs.dihedrals)
            messages = messages + return_to_ends(further, batch.dihedral_ends)
        return self.angle_to_bond(return_to_ends(messages, batch.angle_ends))

    def forward(
        self, state: CellState, inputs: CellInput, batch: GraphBatch, openness: Tensor | None
    ) -> CellState:
        """Run one cycle.

        Parameters
        ----------
        state : CellState
            States so far.
        inputs : CellInput
            What :meth:`encode` gave.
        batch : GraphBatch
            The crystals.
        openness : Tensor of shape (K, n_structures, 1) or None
            Factor of the updates of each crystal; None stands for one.

        Returns
        -------
        state : CellState
            Refined states.
        """
        latent, answer, bonds = state
        hidden = inputs.bonds + self.bond_to_bond(bonds)
        hidden = hidden + batch.centers.gather(self.center_to_bond(latent))
        hidden = hidden + batch.neighbors.gather(self.neighbor_to_bond(latent))
        if self.order > 1:
            hidden = hidden + self.bond_messages(state, inputs, batch)
        change = self.bond_update(hidden)
        bonds = bonds + (change if openness is None else change * batch.of_bonds(openness))
        received = batch.centers.sum(self.gate(bonds).sigmoid() * bonds) * _MESSAGE_SCALE
        hidden = inputs.atoms + self.message(torch.cat([received, answer, latent], dim=-1))
        change = self.latent_update(hidden)
        latent = latent + (change if openness is None else change * batch.of_atoms(openness))
        change = self.answer_update(self.answer_hidden(torch.cat([answer, latent], dim=-1)))
        answer = answer + (change if openness is None else change * batch.of_atoms(openness))
        return CellState(latent, answer, bonds)

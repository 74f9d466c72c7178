"""The GraphTRIADS network: messages from dihedrals to angles to bonds to atoms, in cycles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn.basis import GaussianBasis, cosine_basis
from trisk.nn.batch import N_ELEMENTS, GraphBatch, Segments
from trisk.nn.members import MemberDropout, MemberLayerNorm, MemberLinear, SeededNetwork
from trisk.nn.recursion import Halting, Progress, Update
from trisk.nn.springs import SpringGeometry, SpringVibrations

# Neighbours and angles per row are a dozen or so; sums of that many terms are brought to order
# one by the root of it.
_MESSAGE_SCALE = 0.3


class ElementEmbedding(nn.Module):
    """A learned vector for every element and member, ``(n_atoms,)`` to ``(K, n_atoms, dim)``."""

    def __init__(self, n_members: int, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, N_ELEMENTS, dim))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's vectors, small beside the features of the atoms."""
        nn.init.normal_(self.weight[member], std=0.3, generator=generator)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        n_members, _, dim = self.weight.shape
        offset = torch.arange(n_members, device=atomic_numbers.device).unsqueeze(1) * N_ELEMENTS
        return F.embedding(atomic_numbers + offset, self.weight.view(-1, dim))


class AtomPooling(nn.Module):
    """Mean over atoms beside averages weighted by attention: to ``(K, n_structures, 2 * dim)``."""

    def __init__(self, n_members: int, dim: int, n_heads: int):
        super().__init__()
        self.logits = MemberLinear(n_members, dim, n_heads)

    def forward(self, atoms: Tensor, structures: Segments) -> Tensor:
        weights = structures.softmax(self.logits(atoms)).unsqueeze(-1)
        heads = atoms.unflatten(-1, (weights.shape[2], -1))
        attended = structures.sum((weights * heads).flatten(2))
        return torch.cat([structures.mean(atoms), attended], dim=-1)


class CellInput(NamedTuple):
    """What stays the same over all cycles.

    ``atoms`` ``(K, n_atoms, feedforward_dim)`` and ``bonds`` ``(K, n_bonds, bond_dim)`` are added
    in every update; ``angles`` and ``dihedrals`` ``(K, rows, angle_dim)`` are filters of messages,
    of no row where the order leaves them out.
    """

    atoms: Tensor
    bonds: Tensor
    angles: Tensor
    dihedrals: Tensor


class CellState(NamedTuple):
    """States z and y of the atoms ``(K, n_atoms, dim)`` and of the bonds, which cycles refine."""

    latent: Tensor
    answer: Tensor
    bonds: Tensor


def _couple(rows: Tensor, ends: Segments, weight: Tensor) -> Tensor:
    """Add up the two rows that meet in every pair and weight the sum."""
    first, second = ends.gather(rows).chunk(2, dim=1)
    return (first + second) * weight


def _return_to_ends(pairs: Tensor, ends: Segments) -> Tensor:
    """Sum over the pairs that a row is part of."""
    return _MESSAGE_SCALE * ends.sum(torch.cat([pairs, pairs], dim=1))


class GraphCell(nn.Module):
    """The recurrent cell: one set of weights, used in every cycle.

    All that does not change from cycle to cycle (the filters of lengths and angles) is computed
    once.
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

    def bond_messages(self, state: CellState, inputs: CellInput, batch: GraphBatch) -> Tensor:
        """What reaches the bonds from angles (and through them from dihedrals)."""
        messages = _couple(self.bond_to_angle(state.bonds), batch.angle_ends, inputs.angles)
        if self.order > 2:
            further = _couple(messages, batch.dihedral_ends, inputs.dihedrals)
            messages = messages + _return_to_ends(further, batch.dihedral_ends)
        return self.angle_to_bond(_return_to_ends(messages, batch.angle_ends))

    def forward(
        self, state: CellState, inputs: CellInput, batch: GraphBatch, openness: Tensor | None
    ) -> CellState:
        """Run one cycle, whose updates are multiplied by the openness ``(K, n_structures, 1)``."""
        latent, answer, bonds = state
        hidden = inputs.bonds + self.bond_to_bond(bonds)
        hidden = hidden + batch.centers.gather(self.center_to_bond(latent))
        hidden = hidden + batch.neighbors.gather(self.neighbor_to_bond(latent))
        if self.order > 1:
            hidden = hidden + self.bond_messages(state, inputs, batch)
        of_atoms = None if openness is None else batch.structures.gather(openness)
        of_bonds = None if of_atoms is None else batch.centers.gather(of_atoms)

        def change(state: Tensor, update: Tensor, factor: Tensor | None) -> Tensor:
            return state + (update if factor is None else update * factor)

        bonds = change(bonds, self.bond_update(hidden), of_bonds)
        received = batch.centers.sum(self.gate(bonds).sigmoid() * bonds) * _MESSAGE_SCALE
        hidden = inputs.atoms + self.message(torch.cat([received, answer, latent], dim=-1))
        latent = change(latent, self.latent_update(hidden), of_atoms)
        hidden = self.answer_hidden(torch.cat([answer, latent], dim=-1))
        answer = change(answer, self.answer_update(hidden), of_atoms)
        return CellState(latent, answer, bonds)


class GraphTRIADSNetwork(SeededNetwork):
    """Member-batched GraphTRIADS network.

    What it computes stands in ``docs/networks/graph_triads.md``; with `springs`, the head also
    reads vibrations. There is one seed per member, and K members; `of_cell` are parameters of
    :class:`GraphCell`. The input is a :class:`GraphBatch`. Output: a dictionary with ``steps``
    ``(K, n_cycles, n_structures, n_outputs)``, the prediction after each cycle that any crystal
    needed, ``answer`` ``(K, n_structures, n_outputs)``, the last of them,
    ``cycles`` ``(K, n_structures)``, the cycles each crystal used, and ``openness``
    ``(K, n_structures)``, the sum over cycles of the gate's openness.
    """

    #: Whether to leave out cycles that no crystal needs, on a CPU: elsewhere it is to wait.
    exits_early = True

    def __init__(
        self,
        seeds: Sequence[int],
        *,
        n_atom_features: int,
        n_context: int,
        n_outputs: int,
        springs: bool,
        element_dim: int,
        hidden_dim: int,
        bond_dim: int,
        n_heads: int,
        min_cycles: int,
        max_cycles: int,
        halting_threshold: float,
        dropout: float,
        **of_cell: Any,
    ):
        super().__init__(seeds)
        self.max_cycles = max_cycles
        k = self.n_members
        self.elements = ElementEmbedding(k, element_dim)
        self.atom_input = MemberLinear(k, n_atom_features + element_dim, hidden_dim)
        self.atom_norm = MemberLayerNorm(k, hidden_dim)
        if n_context:
            self.context_input = MemberLinear(k, n_context, hidden_dim)
            self.context_norm = MemberLayerNorm(k, hidden_dim)
            self.context_dropout = MemberDropout(dropout)
        self.cell = GraphCell(k, dim=hidden_dim, bond_dim=bond_dim, dropout=dropout, **of_cell)
        self.pool = AtomPooling(k, hidden_dim, n_heads)
        self.halting = Halting(k, 2 * hidden_dim, min_cycles, halting_threshold)
        pooled = 2 * hidden_dim
        if springs:
            self.springs = SpringVibrations(k, bond_dim)
            n_vibrations = self.springs.n_features
            self.skip = MemberLinear(k, n_vibrations, n_outputs, bias=False, zero=True)
            pooled += n_vibrations
        self.read = MemberLinear(k, pooled, hidden_dim)
        self.read_norm = MemberLayerNorm(k, hidden_dim)
        self.head = MemberLinear(k, hidden_dim, n_outputs)
        self.reset_parameters()

    def embed_atoms(self, batch: GraphBatch) -> Tensor:
        """Input of the recursion, ``(K, n_atoms, hidden_dim)``."""
        features = batch.atom_features.expand(self.n_members, -1, -1)
        columns = torch.cat([features, self.elements(batch.atomic_numbers)], dim=-1)
        atoms = F.gelu(self.atom_norm(self.atom_input(columns)))
        if hasattr(self, "context_input"):
            context = self.context_input(batch.context.expand(self.n_members, -1, -1))
            context = self.context_dropout(F.gelu(self.context_norm(context)))
            atoms = atoms + batch.structures.gather(context)
        return atoms

    def predict(
        self, pooled: Tensor, bonds: Tensor, geometry: SpringGeometry | None, batch: GraphBatch
    ) -> Tensor:
        """Read the pooled answer and the springs, ``(K, n_structures, n_outputs)``."""
        if geometry is None:
            return self.head(F.gelu(self.read_norm(self.read(pooled))))
        vibrations = self.springs(bonds, geometry, batch)
        hidden = self.read(torch.cat([pooled, vibrations], dim=-1))
        return self.head(F.gelu(self.read_norm(hidden))) + self.skip(vibrations)

    def forward(self, batch: GraphBatch) -> dict[str, Tensor]:
        atoms = self.embed_atoms(batch)
        inputs = self.cell.encode(batch, atoms)
        state = CellState(atoms, torch.zeros_like(atoms), inputs.bonds)
        geometry = self.springs.prepare(batch) if hasattr(self, "springs") else None
        cycles = atoms.new_ones(self.n_members, len(batch))
        progress = Progress(None, cycles, torch.zeros_like(cycles))
        steps: list[Tensor] = []
        for cycle in range(1, self.max_cycles + 1):
            state = self.cell(state, inputs, batch, progress.openness)
            pooled = self.pool(state.answer, batch.structures)
            steps.append(self.predict(pooled, state.bonds, geometry, batch))
            if cycle == self.max_cycles:
                break
            progress = self.halting(progress, pooled, cycle)
            if self.exits_early and pooled.device.type == "cpu" and progress.finished:
                break
        return {
            "steps": torch.stack(steps, dim=1),
            "answer": steps[-1],
            "cycles": progress.cycles,
            "openness": progress.total,
        }

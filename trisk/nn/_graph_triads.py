"""The GraphTRIADS network: crystal graphs into one recursion."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._elements import N_ELEMENTS
from trisk.nn._graph_batch import GraphBatch
from trisk.nn._graph_cell import GraphCell
from trisk.nn._halting import Halting
from trisk.nn._members import (
    MemberDropout,
    MemberLayerNorm,
    MemberLinear,
    ZeroLinear,
    initialize_members,
)
from trisk.nn._springs import SpringGeometry, SpringVibrations


class ElementEmbedding(nn.Module):
    """A learned vector for every element.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    dim : int
        Width.

    Notes
    -----
    Shapes: atomic numbers ``(n_atoms,)``, output ``(K, n_atoms, dim)``.
    """

    def __init__(self, n_members: int, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, N_ELEMENTS, dim))

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's vectors, small beside the features of the atoms."""
        nn.init.normal_(self.weight[member], std=0.3, generator=generator)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Look up."""
        n_members, _, dim = self.weight.shape
        offset = torch.arange(n_members, device=atomic_numbers.device).unsqueeze(1) * N_ELEMENTS
        return F.embedding(atomic_numbers + offset, self.weight.view(-1, dim))


class AtomPooling(nn.Module):
    """Atoms to crystals: the mean, and averages weighted by attention.

    The attention lets a head follow the one atom that matters, as the lightest one on the
    stiffest bond does for the highest vibration.

    Parameters
    ----------
    n_members, dim, n_heads : int
        Number of members, width of the atoms' states, number of attention heads.

    Notes
    -----
    Shapes: ``(K, n_atoms, dim)`` to ``(K, n_structures, 2 * dim)``.
    """

    def __init__(self, n_members: int, dim: int, n_heads: int):
        super().__init__()
        self.logits = MemberLinear(n_members, dim, n_heads)

    def forward(self, atoms: Tensor, batch: GraphBatch) -> Tensor:
        """Pool the atoms of every crystal."""
        weights = batch.structures.softmax(self.logits(atoms)).unsqueeze(-1)
        heads = atoms.unflatten(-1, (weights.shape[2], -1))
        attended = batch.structures.sum((weights * heads).flatten(2))
        return torch.cat([batch.structures.mean(atoms), attended], dim=-1)


class GraphTRIADSNetwork(nn.Module):
    """Member-batched GraphTRIADS network [1]_.

    1. Atoms start from their features, an embedding of the element and the context of the
       composition.
    2. A cell of messages along dihedrals, angles and bonds is run for `min_cycles` to
       `max_cycles` cycles with shared weights. A gate decides for each crystal how much a
       further cycle may change and ends the recursion when that is little.
    3. After every cycle the answer states of the atoms are pooled and read by one head.

    Parameters
    ----------
    seeds : sequence of int
        One seed per member; their number is the number of members, K.
    n_atom_features, n_context, n_sensors, n_outputs : int
        Columns of atoms, of compositions and of bonds, and width of the prediction.
    springs : bool
        Whether the head reads the vibrations of springs with learned stiffness too.
    order : {1, 2, 3}
        Bonds only, bond angles too, dihedral angles too.
    n_radial, n_angular : int
        Gaussians of the bond length and cosines of the angles.
    cutoff : float
        Centre of the last Gaussian, in Å.
    element_dim, hidden_dim, bond_dim, angle_dim, feedforward_dim : int
        Width of the element embedding, of the states of atoms and bonds, of messages along
        angles, and of the atoms' updates.
    n_heads : int
        Attention heads of the pooling; must divide `hidden_dim`.
    min_cycles, max_cycles : int
        Fewest and most cycles.
    halting_threshold : float
        Openness of the gate below which a crystal halts.
    dropout : float
        Dropout rate.

    Notes
    -----
    The input is a :class:`GraphBatch`. Output: a dictionary with ``steps``
    ``(K, n_cycles, n_structures, n_outputs)``, the prediction after each cycle that any crystal
    needed, ``answer`` ``(K, n_structures, n_outputs)``, the last of them, ``cycles``
    ``(K, n_structures)``, the cycles each crystal used, and ``openness``
    ``(K, n_structures)``, the sum over cycles of the gate's openness.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        *,
        n_atom_features: int,
        n_context: int,
        n_sensors: int,
        n_outputs: int,
        springs: bool,
        order: int,
        n_radial: int,
        n_angular: int,
        cutoff: float,
        element_dim: int,
        hidden_dim: int,
        bond_dim: int,
        angle_dim: int,
        feedforward_dim: int,
        n_heads: int,
        min_cycles: int,
        max_cycles: int,
        halting_threshold: float,
        dropout: float,
    ):
        super().__init__()
        self.seeds = list(seeds)
        self.max_cycles = max_cycles
        k = len(self.seeds)
        self.elements = ElementEmbedding(k, element_dim)
        self.atom_input = MemberLinear(k, n_atom_features + element_dim, hidden_dim)
        self.atom_norm = MemberLayerNorm(k, hidden_dim)
        if n_context:
            self.context_input = MemberLinear(k, n_context, hidden_dim)
            self.context_norm = MemberLayerNorm(k, hidden_dim)
            self.context_dropout = MemberDropout(dropout)
        self.cell = GraphCell(
            k,
            order=order,
            n_sensors=n_sensors,
            n_radial=n_radial,
            n_angular=n_angular,
            cutoff=cutoff,
            dim=hidden_dim,
            bond_dim=bond_dim,
            angle_dim=angle_dim,
            feedforward_dim=feedforward_dim,
            dropout=dropout,
        )
        self.pool = AtomPooling(k, hidden_dim, n_heads)
        self.halting = Halting(k, 2 * hidden_dim, min_cycles, halting_threshold)
        pooled = 2 * hidden_dim
        if springs:
            self.springs = SpringVibrations(k, bond_dim)
            self.skip = ZeroLinear(k, self.springs.n_features, n_outputs, bias=False)
            pooled += self.springs.n_features
        self.read = MemberLinear(k, pooled, hidden_dim)
        self.read_norm = MemberLayerNorm(k, hidden_dim)
        self.head = MemberLinear(k, hidden_dim, n_outputs)
        self.reset_parameters()

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.seeds)

    def reset_parameters(self) -> None:
        """Draw all initial parameters and start the dropout streams anew."""
        initialize_members(self, self.seeds)
        self.seed_dropout(0)

    def seed_dropout(self, epoch: int) -> None:
        """Start every dropout stream at the beginning of an epoch, so that runs can resume."""
        dropouts = [m for m in self.modules() if isinstance(m, MemberDropout)]
        for site, dropout in enumerate(dropouts):
            dropout.seed([(seed, epoch, site) for seed in self.seeds])

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
        """Predict after every cycle."""
        atoms = self.embed_atoms(batch)
        inputs = self.cell.encode(batch, atoms)
        state = self.cell.start(atoms, inputs)
        geometry = self.springs.prepare(batch) if hasattr(self, "springs") else None
        progress = self.halting.start(self.n_members, batch.n_structures, atoms)
        steps: list[Tensor] = []
        for cycle in range(1, self.max_cycles + 1):
            state = self.cell(state, inputs, batch, progress.openness)
            pooled = self.pool(state.answer, batch)
            answer = self.predict(pooled, state.bonds, geometry, batch)
            steps.append(progress.place(answer, steps[-1] if steps else None))
            if cycle == self.max_cycles:
                break
            progress = self.halting(progress, pooled, cycle)
            if progress.finished:
                break
            if not torch.is_grad_enabled() and progress.mostly_halted:
                batch, rows = batch.take(progress.alive)
                inputs, state = inputs.take(rows), state.take(rows)
                progress = progress.compact()
                geometry = None if geometry is None else self.springs.prepare(batch)
        return {
            "steps": torch.stack(steps, dim=1),
            "answer": steps[-1],
            "cycles": progress.cycles,
            "openness": progress.total,
        }

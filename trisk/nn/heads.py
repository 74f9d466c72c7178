"""Heads that turn the streams into properties, energies with derivatives, and guesses."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from trisk.nn.basis import smooth_cutoff
from trisk.nn.batch import N_ELEMENTS, CrystalBatch, Segments
from trisk.nn.members import MemberDropout, RandomStreams, SeededNetwork
from trisk.nn.streams import StreamEmbeddings, TriForcesEncoder
from trisk.structures.elements import element_property

#: Ways to come from atoms to a structure, and to stay with atoms.
POOLINGS = ("attention", "mean", "sum", "none")

_N_HEADS = 4

# e² / (4 π ε₀) in eV Å; the screening length in Å; terms of the universal screening function.
_COULOMB, _SCREENING = 14.399645, 0.46850
_SCREENING_FACTORS = (0.18175, 0.50986, 0.28022, 0.02817)
_SCREENING_RATES = (3.19980, 0.94229, 0.40290, 0.20162)
# Part of the sum of two covalent radii below which hardly a bond is known.
_SHORTEST_BOND = 0.7


def _layers(n_inputs: int, hidden_dim: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, n_outputs)
    )


def _readout(n_inputs: int, hidden_dim: int, n_outputs: int) -> nn.Sequential:
    """Two-layer network that starts at zero."""
    last = nn.Linear(hidden_dim, n_outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(n_inputs, hidden_dim), nn.SiLU(), last)


class StreamHead(nn.Module):
    """What heads of the streams share: a part that heads for other targets can start from."""

    #: Beginnings of the names of weights that only serve the head's own targets.
    _of_targets: tuple[str, ...] = ()
    #: Widths of the blocks that a weight reads side by side, by the names of weight and block.
    _blocks: dict[str, dict[str, int]]

    @torch.no_grad()
    def start_from(self, other: "StreamHead") -> set[str]:
        """Take over another head's weights below its last layers; return the names of those.

        A layer that reads several blocks takes those columns whose block the other reads too: a
        head without some of the streams, or with columns of context, starts from the rest.
        """
        found, started = dict(other.named_parameters()), set()
        for name, weight in self.named_parameters():
            if name not in found or name.startswith(other._of_targets):
                continue
            theirs = other._split(name, found[name])
            for block, part in self._split(name, weight).items():
                if block in theirs and theirs[block].shape == part.shape:
                    part.copy_(theirs[block])
                    started.add(name)
        return started

    def _split(self, name: str, weight: Tensor) -> dict[str, Tensor]:
        widths = self._blocks.get(name)
        if widths is None:
            return {"": weight}
        return dict(zip(widths, weight.split(list(widths.values()), dim=1), strict=True))


class PropertyHead(StreamHead):
    """Properties of structures or atoms from the blocks of all streams, ``(n_rows, n_outputs)``.

    As in ``docs/networks/triforces.md``. Attention lets the average follow the atoms that matter,
    as the lightest one on the stiffest bond does for the highest vibration, and a supercell gives
    what its cell gives. `n_context` further columns pass one layer. With the sum, each atom has
    its own contribution, for which it sees the columns of its structure; with ``"none"``, these
    are the outputs.
    """

    _of_targets = ("readout.2.",)

    def __init__(
        self,
        widths: dict[str, int],
        hidden_dim: int,
        n_outputs: int,
        *,
        pooling: str = "attention",
        dropout: float = 0.0,
        n_context: int = 0,
    ):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, but is {pooling!r}")
        self.pooling = pooling
        self.of_atom = nn.Sequential(nn.Linear(sum(widths.values()), hidden_dim), nn.SiLU())
        self.dropout = MemberDropout(dropout)
        read = {"atoms": hidden_dim} | ({} if pooling in ("sum", "none") else widths)
        if pooling == "attention":
            self.logits = nn.Linear(hidden_dim, math.gcd(hidden_dim, _N_HEADS))
        self.of_context = None
        if n_context:
            read["context"] = hidden_dim
            self.of_context = nn.Sequential(nn.Linear(n_context, hidden_dim), nn.SiLU())
        self.readout = _readout(sum(read.values()), hidden_dim, n_outputs)
        self._blocks = {"of_atom.0.weight": widths, "readout.0.weight": read}

    def forward(self, embeddings: StreamEmbeddings, batch: CrystalBatch) -> Tensor:
        of_atom = self.of_atom(torch.cat(list(embeddings.atoms.values()), dim=1))
        context = [] if self.of_context is None else [self.of_context(batch.context)]
        if self.pooling in ("sum", "none"):
            context = [batch.structures.gather(block) for block in context]
            of_atoms = self._read([of_atom, *context])
            return of_atoms if self.pooling == "none" else batch.structures.sum(of_atoms)
        pooled = self._average(of_atom, batch)
        return self._read([pooled, *embeddings.structures.values(), *context])

    def _read(self, blocks: list[Tensor]) -> Tensor:
        return self.readout(self.dropout(torch.cat(blocks, dim=1).unsqueeze(0)).squeeze(0))

    def _average(self, of_atom: Tensor, batch: CrystalBatch) -> Tensor:
        if self.pooling == "mean":
            return batch.structures.mean(of_atom)
        weights = batch.structures.softmax(self.logits(of_atom)).unsqueeze(2)
        heads = of_atom.unflatten(1, (weights.shape[1], -1))
        return batch.structures.sum((weights * heads).flatten(1))


class ShortRangeRepulsion(nn.Module):
    """Energies in eV by which atoms repel each other where no bond is as short, ``(n_atoms, 1)``.

    The universal potential of screened nuclei (Ziegler, Biersack and Littmark), half a pair's for
    each atom, times a smooth cutoff at 0.7 times the sum of the covalent radii or at the `cutoff`
    in Å, whichever is less.
    """

    radii: Tensor
    screening: Tensor
    factors: Tensor
    rates: Tensor

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff
        radii = torch.tensor(element_property("covalent radius") / 100).nan_to_num()
        for name, values in {
            "radii": _SHORTEST_BOND * radii,
            "screening": torch.arange(N_ELEMENTS) ** 0.23 / _SCREENING,
            "factors": torch.tensor(_SCREENING_FACTORS),
            "rates": torch.tensor(_SCREENING_RATES),
        }.items():
            self.register_buffer(name, values.to(torch.get_default_dtype()), persistent=False)

    def pairs(self, batch: CrystalBatch) -> Tensor:
        """Pairs of atoms within the cutoff; all, where to choose them is to wait for a device."""
        if batch.lengths.device.type != "cpu":
            return torch.arange(len(batch.lengths), device=batch.lengths.device)
        return (batch.lengths < self._ranges(batch, slice(None))).nonzero().squeeze(1)

    def _ranges(self, batch: CrystalBatch, pairs: Tensor | slice) -> Tensor:
        first, second = (
            self.radii[batch.atomic_numbers.index_select(0, atoms[pairs])]
            for atoms in (batch.centers, batch.neighbors)
        )
        return (first + second).clamp_max(self.cutoff)

    def forward(self, batch: CrystalBatch, near: Tensor | None = None) -> Tensor:
        near = self.pairs(batch) if near is None else near
        first, second = (
            batch.atomic_numbers.index_select(0, atoms[near])
            for atoms in (batch.centers, batch.neighbors)
        )
        lengths = batch.lengths.index_select(0, near)
        decays = (self.screening[first] + self.screening[second]).unsqueeze(1) * self.rates
        screened = torch.exp(-lengths.unsqueeze(1) * decays) @ self.factors
        energies = 0.5 * _COULOMB * (first * second) / lengths * screened
        energies = energies * smooth_cutoff(lengths / self._ranges(batch, near))
        return Segments(batch.centers[near], len(batch.atomic_numbers)).sum(energies.unsqueeze(1))


class EnergyHead(StreamHead):
    """Extensive energy ``(n_structures,)``: a sum over atoms, with references and a scale.

    The `references` are energies of an atom by its atomic number, zero until a fitted potential
    sets them; the `scale` is a factor on the output of the network, in their unit. The term of the
    composition is added, so it changes energies and leaves forces as they are to the bit. With a
    `repulsion`, a cutoff in Å, so is a :class:`ShortRangeRepulsion`, and so are the energies that a
    potential as backbone reads itself: an untrained network adds nothing to them.
    """

    _of_targets = ("of_atom.2.", "of_composition.2.")
    references: Tensor

    def __init__(
        self,
        widths: dict[str, int],
        hidden_dim: int,
        scale: float = 1.0,
        repulsion: float | None = None,
    ):
        super().__init__()
        self.repulsion = None if repulsion is None else ShortRangeRepulsion(repulsion)
        self.of_atom = _readout(sum(widths.values()), hidden_dim, 1)
        self._blocks = {"of_atom.0.weight": widths}
        self.of_composition = (
            _readout(widths["composition"], hidden_dim, 1) if "composition" in widths else None
        )
        self.scale = scale
        self.register_buffer("references", torch.zeros(N_ELEMENTS), persistent=False)

    def of_atoms(
        self, embeddings: StreamEmbeddings, batch: CrystalBatch, near: Tensor | None = None
    ) -> Tensor:
        """Energies of the atoms, ``(n_atoms, 1)``; `near` are the pairs that repel, if known."""
        energies = self.of_atom(torch.cat(list(embeddings.atoms.values()), dim=1))
        if self.of_composition is not None:
            energies = energies + self.of_composition(embeddings.atoms["composition"])
        references = self.references.index_select(0, batch.atomic_numbers).unsqueeze(1)
        energies = self.scale * energies + references
        if embeddings.energies is not None:
            energies = energies + embeddings.energies
        return energies if self.repulsion is None else energies + self.repulsion(batch, near)

    def forward(self, embeddings: StreamEmbeddings, batch: CrystalBatch) -> Tensor:
        return batch.structures.sum(self.of_atoms(embeddings, batch)).squeeze(1)


class PropertyNetwork(SeededNetwork):
    """Encoder and property head: a :class:`CrystalBatch` to ``(n_structures, n_outputs)``."""

    def __init__(self, encoder: TriForcesEncoder, head: PropertyHead):
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, batch: CrystalBatch) -> Tensor:
        return self.head(self.encoder(batch), batch)


class AtomicEnergies(nn.Module):
    """Energies ``(n_atoms, 1)`` of a batch for positions and strains of its structures."""

    def __init__(self, encoder: TriForcesEncoder, head: EnergyHead, near: Tensor | None = None):
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.near = near

    def forward(self, batch: CrystalBatch, positions: Tensor, strain: Tensor) -> Tensor:
        strained = batch.moved(positions).strained(strain)
        return self.head.of_atoms(self.encoder(strained), strained, self.near)


class PotentialNetwork(SeededNetwork):
    """Encoder and energy head, with the derivatives of the energy.

    `forward` takes a :class:`CrystalBatch` and gives a dictionary with ``energy``
    ``(n_structures,)``, ``energies`` ``(n_atoms,)``, which add up to it, ``forces``
    ``(n_atoms, 3)``, which are −dE/dx, and ``stress`` ``(n_structures, 3, 3)``, which is dE/dε
    over the volume at ε = 0. All streams see the same positions and strain, and one call of
    autograd gives both derivatives. In training mode they can be differentiated again.
    """

    def __init__(self, encoder: TriForcesEncoder, head: EnergyHead):
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, batch: CrystalBatch) -> dict[str, Tensor]:
        energies = AtomicEnergies(self.encoder, self.head)
        return differentiate(energies, batch, batch.positions, self.training)


def differentiate(
    energies_of: Callable[..., Tensor],
    batch: CrystalBatch,
    positions: Tensor,
    training: bool,
) -> dict[str, Tensor]:
    """What a :class:`PotentialNetwork` gives, from energies of atoms at `positions`.

    Positions and results may have a leading dimension of networks.
    """
    strain = batch.lattices.new_zeros(*positions.shape[:-2], *batch.lattices.shape)
    with torch.enable_grad():
        positions, strain = positions.detach().requires_grad_(), strain.requires_grad_()
        energies = energies_of(batch, positions, strain)
        energy = batch.structures.sum(energies).squeeze(-1)
        gradients = torch.autograd.grad(
            energy.sum(), (positions, strain), create_graph=training, materialize_grads=True
        )
    return {
        "energy": energy if training else energy.detach(),
        "energies": energies.detach().squeeze(-1),
        "forces": -gradients[0],
        "stress": gradients[1] / batch.volumes.view(-1, 1, 1),
    }


class PretrainingNetwork(SeededNetwork):
    """Encoder with heads that guess noise and hidden elements, and with projections.

    `forward` takes a :class:`CrystalBatch` and gives a dictionary: ``noise`` ``(n_atoms, 3)``,
    without an interaction stream None; ``elements``, logits of the atomic numbers
    ``(n_atoms, 119)`` from all streams; ``stream_elements``, the same from each stream that sees
    elements, by name; ``atoms`` and ``structures``, projections ``(n_atoms, projection_dim)``
    and ``(n_structures, projection_dim)`` of each stream by name; ``directions``
    ``(projection_dim, n_slices)``, random unit vectors for the objective that looks at
    projections along them.
    """

    def __init__(
        self,
        encoder: TriForcesEncoder,
        hidden_dim: int,
        *,
        projection_dim: int = 64,
        n_slices: int = 128,
    ):
        super().__init__()
        self.encoder = encoder
        width = sum(encoder.widths.values())
        self.element_head = _layers(width, hidden_dim, N_ELEMENTS)
        # Linear, so that an atom's own element stays easy to read from the streams that see it.
        self.stream_element_heads = nn.ModuleDict(
            {k: nn.Linear(v, N_ELEMENTS) for k, v in encoder.widths.items() if k != "structure"}
        )
        self.noise_head = (
            NoiseHead(width, hidden_dim, _vector_width(encoder.interaction))
            if encoder.interaction is not None
            else None
        )
        self.atom_projections, self.structure_projections = (
            nn.ModuleDict({k: _layers(v, 2 * v, projection_dim) for k, v in encoder.widths.items()})
            for _ in range(2)
        )
        self.directions = RandomDirections(projection_dim, n_slices)

    def forward(self, batch: CrystalBatch) -> dict:
        embeddings = self.encoder(batch)
        joined = torch.cat(list(embeddings.atoms.values()), dim=1)
        return {
            "noise": self.noise_head and self.noise_head(embeddings, joined),
            "elements": self.element_head(joined),
            "stream_elements": {
                k: head(embeddings.atoms[k]) for k, head in self.stream_element_heads.items()
            },
            "atoms": {k: p(embeddings.atoms[k]) for k, p in self.atom_projections.items()},
            "structures": {
                k: p(embeddings.structures[k]) for k, p in self.structure_projections.items()
            },
            "directions": self.directions(joined),
        }


class RandomDirections(RandomStreams):
    """Unit vectors ``(dim, n_directions)`` of the first member's stream."""

    def __init__(self, dim: int, n_directions: int):
        super().__init__()
        self.shape = (dim, n_directions)

    def forward(self, like: Tensor) -> Tensor:
        """Draw them, as what they are to be multiplied with."""
        words = self.draw(4 * math.prod(self.shape), like.device)[0].view(torch.int32)
        # The middles of 2^24 steps between −1 and 1, so that neither end is infinite.
        normal = torch.erfinv(((words.view(self.shape) >> 8).float() + 0.5) / 2**23)
        return (normal / normal.norm(dim=0)).to(like.dtype)


class NoiseHead(nn.Module):
    """Guesses how atoms were displaced, ``(n_atoms, 3)`` in standard deviations of the noise.

    The guess is a sum of the interaction stream's vectors, each times a gate that all streams
    feed, so that every stream learns from the noise and the guess turns with the crystal. For a
    backbone without vectors it comes from the embeddings themselves, which are not invariant
    then.
    """

    def __init__(self, width: int, hidden_dim: int, n_vectors: int):
        super().__init__()
        self.n_vectors = n_vectors
        self.gates = _layers(width, hidden_dim, n_vectors or 3)

    def forward(self, embeddings: StreamEmbeddings, joined: Tensor) -> Tensor:
        """Guess the noise from the embeddings, and those of atoms side by side."""
        gates = self.gates(joined)
        if not self.n_vectors:
            return gates
        assert embeddings.vectors is not None
        return torch.bmm(embeddings.vectors, gates.unsqueeze(2)).squeeze(2)


@torch.no_grad()
def _vector_width(backbone: nn.Module) -> int:
    """How many vectors a backbone gives an atom, found by trying."""
    weight = next(backbone.parameters())
    pair = CrystalBatch.from_arrays(
        np.array([6, 6]),
        np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]]),
        9.0 * np.eye(3)[None],
        np.array([2]),
        np.array([[0, 1], [1, 0]]),
        np.zeros((2, 3)),
        weight.dtype,
    )
    vectors = backbone(pair.to(weight.device))[1]
    return 0 if vectors is None else vectors.shape[2]

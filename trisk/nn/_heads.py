"""Heads that turn the streams into properties, and into energies with forces and stresses."""

import math

import torch
from torch import Tensor, nn

from trisk.nn._crystal_batch import CrystalBatch
from trisk.nn._elements import N_ELEMENTS
from trisk.nn._triforces import StreamEmbeddings, TriForcesEncoder

#: Ways to come from atoms to a structure.
POOLINGS = ("attention", "mean", "sum")

_N_HEADS = 4


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
        """Take over the weights of another head below its last layers.

        A layer that reads several blocks takes those columns whose block the other reads too: a
        head without some of the streams, or with columns of context, starts from the rest.

        Parameters
        ----------
        other : StreamHead
            Head that was trained before.

        Returns
        -------
        set of str
            Names of the weights for which something was found.
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
    """Properties of structures from the blocks of all streams.

    Parameters
    ----------
    widths : dict of str to int
        Width of each stream's block.
    hidden_dim : int
        Width of the hidden layers.
    n_outputs : int
        Numbers per structure.
    pooling : {"attention", "mean", "sum"}, default="attention"
        Averages over atoms weighted by attention, or the mean, for intensive properties; sum for
        extensive ones.
    dropout : float, default=0.0
        Dropout rate before the last layers.
    n_context : int, default=0
        Further columns of structures, which pass one layer and then stand beside the blocks.

    Notes
    -----
    `forward` takes :class:`StreamEmbeddings` and their :class:`CrystalBatch`, and gives
    ``(n_structures, n_outputs)``. Atoms pass one layer and are averaged; two more layers follow
    that also see the blocks of the structure. Attention lets the average follow the atoms that
    matter, as the lightest one on the stiffest bond does for the highest vibration; its four
    heads have a part of the columns each, and a supercell gives what its cell gives. With the
    sum, each atom has its own contribution, for which it sees the columns of its structure, and
    nothing follows.
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
        self.dropout = nn.Dropout(dropout)
        read = {"atoms": hidden_dim} | ({} if pooling == "sum" else widths)
        if pooling == "attention":
            self.logits = nn.Linear(hidden_dim, math.gcd(hidden_dim, _N_HEADS))
        self.of_context = None
        if n_context:
            read["context"] = hidden_dim
            self.of_context = nn.Sequential(nn.Linear(n_context, hidden_dim), nn.SiLU())
        self.readout = _readout(sum(read.values()), hidden_dim, n_outputs)
        self._blocks = {"of_atom.0.weight": widths, "readout.0.weight": read}

    def forward(self, embeddings: StreamEmbeddings, batch: CrystalBatch) -> Tensor:
        """Predict."""
        of_atom = self.of_atom(torch.cat(list(embeddings.atoms.values()), dim=1))
        context = [] if self.of_context is None else [self.of_context(batch.context)]
        if self.pooling == "sum":
            context = [block.index_select(0, batch.atom_structure) for block in context]
            inputs = torch.cat([of_atom, *context], dim=1)
            return batch.sum_over_atoms(self.readout(self.dropout(inputs)))
        blocks = [self._average(of_atom, batch), *embeddings.structures.values(), *context]
        return self.readout(self.dropout(torch.cat(blocks, dim=1)))

    def _average(self, of_atom: Tensor, batch: CrystalBatch) -> Tensor:
        if self.pooling == "mean":
            return batch.mean_over_atoms(of_atom)
        weights = batch.softmax_over_atoms(self.logits(of_atom)).unsqueeze(2)
        heads = of_atom.unflatten(1, (weights.shape[1], -1))
        return batch.sum_over_atoms((weights * heads).flatten(1))


class EnergyHead(StreamHead):
    """Extensive energy: a sum over atoms, with reference energies and a composition term.

    Parameters
    ----------
    widths : dict of str to int
        Width of each stream's block.
    hidden_dim : int
        Width of the hidden layer.
    references : dict of int to float, default=None
        Energy of an atom by its atomic number; zero for elements that are not named.
    scale : float, default=1.0
        Factor on the output of the network, in the unit of the references.

    Notes
    -----
    `forward` takes :class:`StreamEmbeddings` and their :class:`CrystalBatch`, and gives energies
    ``(n_structures,)``. The composition term is added, so it changes energies and leaves forces
    as they are to the bit.
    """

    _of_targets = ("of_atom.2.", "of_composition.2.")
    references: Tensor

    def __init__(
        self,
        widths: dict[str, int],
        hidden_dim: int,
        references: dict[int, float] | None = None,
        scale: float = 1.0,
    ):
        super().__init__()
        self.of_atom = _readout(sum(widths.values()), hidden_dim, 1)
        self._blocks = {"of_atom.0.weight": widths}
        self.of_composition = (
            _readout(widths["composition"], hidden_dim, 1) if "composition" in widths else None
        )
        self.scale = scale
        self.register_buffer("references", torch.zeros(N_ELEMENTS))
        for number, energy in (references or {}).items():
            self.references[number] = energy

    def forward(self, embeddings: StreamEmbeddings, batch: CrystalBatch) -> Tensor:
        """Predict energies."""
        energies = self.of_atom(torch.cat(list(embeddings.atoms.values()), dim=1))
        if self.of_composition is not None:
            energies = energies + self.of_composition(embeddings.atoms["composition"])
        references = self.references.index_select(0, batch.atomic_numbers)
        return batch.sum_over_atoms(self.scale * energies.squeeze(1) + references)


class PropertyNetwork(nn.Module):
    """Encoder and property head.

    Parameters
    ----------
    encoder : TriForcesEncoder
        Streams.
    head : PropertyHead
        Head.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch` and gives ``(n_structures, n_outputs)``.
    """

    def __init__(self, encoder: TriForcesEncoder, head: PropertyHead):
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, batch: CrystalBatch) -> Tensor:
        """Predict."""
        return self.head(self.encoder(batch), batch)


class PotentialNetwork(nn.Module):
    """Encoder and energy head, with the derivatives of the energy.

    Parameters
    ----------
    encoder : TriForcesEncoder
        Streams.
    head : EnergyHead
        Head.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch` and gives a dictionary with ``energy``
    ``(n_structures,)``, ``forces`` ``(n_atoms, 3)``, which are −dE/dx, and ``stress``
    ``(n_structures, 3, 3)``, which is dE/dε over the volume at ε = 0. All streams see the same
    positions and strain, and one call of autograd gives both derivatives. In training mode they
    can be differentiated again.
    """

    def __init__(self, encoder: TriForcesEncoder, head: EnergyHead):
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, batch: CrystalBatch) -> dict[str, Tensor]:
        """Predict energies, forces and stresses."""
        with torch.enable_grad():
            positions = batch.positions.detach().requires_grad_()
            strain = torch.zeros_like(batch.lattices).requires_grad_()
            strained = batch.moved(positions).strained(strain)
            energy = self.head(self.encoder(strained), strained)
            gradients = torch.autograd.grad(
                energy.sum(),
                (positions, strain),
                create_graph=self.training,
                materialize_grads=True,
            )
        stress = gradients[1] / batch.volumes.view(-1, 1, 1)
        energy = energy if self.training else energy.detach()
        return {"energy": energy, "forces": -gradients[0], "stress": stress}

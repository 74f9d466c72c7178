"""Batches of crystals as tensors, and sums over their atoms, bonds and neighbours."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: Rows of an element table: atomic numbers to 118, and zero for a hidden element.
N_ELEMENTS = 119

# Numbers of atoms are filled up to one of these, so that few blocks of equal shape remain.
_WIDTHS = np.array([0, 1, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 4096])
# Cells are small if so many times as many links would still be all that their atoms can have:
# products of few large matrices outweigh zeros among them.
_LARGEST_SHARE = 4
# A filled place of a block is a pair at this distance in Å, beyond every cutoff.
_FAR = 1e3


class Segments:
    """Rows assigned to segments by an `index` in any order, as bonds to the atom they start from.

    ``gather`` copies the segments' values to their rows, ``sum`` adds rows up. Either is the
    derivative of the other, and both add in a fixed order: results repeat to the bit on every
    device and do not depend on what else is in the batch. Shapes: segments ``(n_segments, D)`` or
    ``(K, n_segments, D)``, rows ``(n_rows, D)`` or ``(K, n_rows, D)``.
    """

    def __init__(self, index: Tensor, n_segments: int):
        self.index = index
        self.n_segments = n_segments
        self._tiles: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    @cached_property
    def counts(self) -> Tensor:
        """Rows of each segment, ``(n_segments,)``."""
        return self.index.new_zeros(self.n_segments).index_add_(
            0, self.index, torch.ones_like(self.index)
        )

    def tile(self, n_members: int) -> tuple[Tensor, Tensor, Tensor]:
        """Index, sorted rows and starts of the segments, repeated for every member."""
        if n_members not in self._tiles:
            member = torch.arange(n_members, device=self.index.device).unsqueeze(1)
            starts = self.counts.cumsum(0) - self.counts
            order = torch.argsort(self.index, stable=True)
            self._tiles[n_members] = (
                (self.index + member * self.n_segments).flatten(),
                (order + member * len(self.index)).flatten(),
                (starts + member * len(self.index)).flatten(),
            )
        return self._tiles[n_members]

    def gather(self, values: Tensor) -> Tensor:
        """Copy each segment's values to its rows."""
        return _Gather.apply(values, self)

    def sum(self, rows: Tensor) -> Tensor:
        """Add the rows of each segment; an empty one gives zero."""
        return _Sum.apply(rows, self)

    def mean(self, rows: Tensor) -> Tensor:
        """Average the rows of each segment; an empty one gives zero."""
        return self.sum(rows) / self.counts.clamp_min(1).unsqueeze(1).to(rows.dtype)

    def softmax(self, logits: Tensor) -> Tensor:
        """Weights of the rows that add up to one in every segment and column."""
        with torch.no_grad():
            shape = (*logits.shape[:-2], self.n_segments, logits.shape[-1])
            index = self.index.unsqueeze(1).expand_as(logits)
            highest = logits.new_full(shape, -torch.inf)
            highest = highest.scatter_reduce_(-2, index, logits, "amax")
            highest = highest.index_select(-2, self.index)
        weights = (logits - highest).exp()
        return weights / self.gather(self.sum(weights))


class _OfSegments(torch.autograd.Function):
    """What `_Gather` and `_Sum` share: a leading dimension of vmap is one of members."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Segments], output: Tensor) -> None:
        ctx.segments = inputs[1]

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple, x: Tensor, segments: Segments) -> tuple[Tensor, int]:
        return cls.apply(x.movedim(in_dims[0], 0), segments), 0


class _Gather(_OfSegments):
    @staticmethod
    def forward(values: Tensor, segments: Segments) -> Tensor:
        n_members = len(values) if values.dim() == 3 else 1
        rows = values.flatten(0, -2).index_select(0, segments.tile(n_members)[0])
        return rows.view(*values.shape[:-2], -1, values.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.segments.sum(gradient), None


class _Sum(_OfSegments):
    @staticmethod
    def forward(rows: Tensor, segments: Segments) -> Tensor:
        n_members = len(rows) if rows.dim() == 3 else 1
        _, order, starts = segments.tile(n_members)
        # A bag of rows per segment: ten times the speed of index_add on a CPU, and deterministic.
        sums = F.embedding_bag(order, rows.flatten(0, -2).contiguous(), starts, mode="sum")
        return sums.view(*rows.shape[:-2], -1, rows.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.segments.gather(gradient), None


class _Tensors:
    """A frozen dataclass of tensors that moves as a whole."""

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Move to a device, and what is no integer to a floating-point type."""
        changed: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor | _Tensors):
                is_whole = isinstance(value, Tensor) and not value.is_floating_point()
                changed[field.name] = value.to(device, None if is_whole else dtype)
        return replace(self, **changed)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False, kw_only=True)
class AtomBatch(_Tensors):
    """Atoms of several crystals: what every batch has.

    ``atomic_numbers`` and ``atom_structure`` ``(n_atoms,)``, the latter in ascending order, and
    ``context`` ``(n_structures, n_context)``, columns of the structures.
    """

    atomic_numbers: Tensor
    atom_structure: Tensor
    context: Tensor

    def __len__(self) -> int:
        return len(self.context)

    @cached_property
    def structures(self) -> Segments:
        return Segments(self.atom_structure, len(self))


@dataclass(frozen=True, eq=False, kw_only=True)
class GraphBatch(AtomBatch):
    """Atoms, bonds, angles and dihedrals of several crystals, with what is known of each.

    ``atom_features`` ``(n_atoms, n_atom_features)``; ``bond_lengths`` in Å and
    ``bond_stiffness`` in N/m ``(n_bonds,)``, ``bond_directions`` ``(n_bonds, 3)`` from centre to
    neighbour, ``bond_sensors`` ``(n_bonds, n_sensors)``; ``angle_cosines`` ``(n_angles,)``,
    ``dihedral_cosines`` ``(n_dihedrals,)``. Pairs of indices: ``bond_atoms`` ``(n_bonds, 2)``,
    centre and neighbour; ``angle_bonds`` ``(n_angles, 2)``; ``dihedral_angles``
    ``(n_dihedrals, 2)``.
    """

    atom_features: Tensor
    bond_lengths: Tensor
    bond_directions: Tensor
    bond_stiffness: Tensor
    bond_sensors: Tensor
    angle_cosines: Tensor
    dihedral_cosines: Tensor
    bond_atoms: Tensor
    angle_bonds: Tensor
    dihedral_angles: Tensor

    @cached_property
    def centers(self) -> Segments:
        """Bonds by the atom they start from."""
        return Segments(self.bond_atoms[:, 0].contiguous(), len(self.atomic_numbers))

    @cached_property
    def neighbors(self) -> Segments:
        """Bonds by the atom they lead to."""
        return Segments(self.bond_atoms[:, 1].contiguous(), len(self.atomic_numbers))

    @cached_property
    def bond_structures(self) -> Segments:
        return Segments(self.atom_structure.index_select(0, self.bond_atoms[:, 0]), len(self))

    @cached_property
    def angle_ends(self) -> Segments:
        """First, then second bonds of all angles."""
        return Segments(self.angle_bonds.T.flatten(), len(self.bond_lengths))

    @cached_property
    def dihedral_ends(self) -> Segments:
        """First, then second angles of all dihedrals."""
        return Segments(self.dihedral_angles.T.flatten(), len(self.angle_cosines))


@dataclass(frozen=True, eq=False)
class NeighborBlocks(_Tensors):
    """Groups of atoms that receive from the same senders, in blocks of equal shape.

    Sums over senders are then products of small matrices, which a CPU and a GPU do several times
    faster than scattered additions. Smaller groups are filled up. ``shapes`` gives the number of
    groups of every block and of receivers and senders in each; ``rank`` ``(n_atoms,)`` says where
    the atoms stand among the receivers of the blocks, None if in their own order.
    """

    shapes: tuple[tuple[int, int, int], ...]
    rank: Tensor | None

    @classmethod
    def arrange(
        cls, n_receivers: np.ndarray, n_senders: np.ndarray
    ) -> tuple["NeighborBlocks", np.ndarray, np.ndarray, np.ndarray]:
        """Find places for receivers, senders and the links between them, by sizes of groups.

        Receivers are all atoms in their order; links are numbered group by group, receiver by
        receiver. Returns with the blocks the link in every place, whether that place is filled
        up (with the first link of the group), and a link of every sender, likewise filled up.
        """
        sizes = n_receivers * n_senders
        starts = (np.cumsum(sizes) - sizes)[:, None, None]
        atoms = np.cumsum(n_receivers) - n_receivers
        level = np.searchsorted(_WIDTHS, n_receivers) * len(_WIDTHS)
        level += np.searchsorted(_WIDTHS, n_senders)
        order = np.argsort(level, kind="stable")
        shapes, links, filled, of_senders, first = [], [], [], [], 0
        rank = np.empty(n_receivers.sum(), dtype=np.int64)
        for groups in np.split(order, np.flatnonzero(np.diff(level[order])) + 1):
            width, depth = int(n_receivers[groups].max()), int(n_senders[groups].max(initial=0))
            i, j = np.arange(width)[:, None], np.arange(depth)
            is_receiver = i < n_receivers[groups, None, None]
            is_sender = j < n_senders[groups, None, None]
            fills = ~(is_receiver & is_sender)
            inside = np.where(fills, 0, i * n_senders[groups, None, None] + j)
            links.append((starts[groups] + inside).ravel())
            filled.append(fills.ravel())
            of_senders.append((starts[groups] + np.where(is_sender, j, 0)).ravel())
            places = first + np.arange(len(groups) * width).reshape(-1, width)
            rank[(atoms[groups, None] + i.T)[is_receiver[:, :, 0]]] = places[is_receiver[:, :, 0]]
            shapes.append((len(groups), width, depth))
            first += len(groups) * width
        moves = not np.array_equal(rank, np.arange(first))
        return (
            cls(tuple(shapes), torch.as_tensor(rank) if moves else None),
            np.concatenate(links),
            np.concatenate(filled),
            np.concatenate(of_senders),
        )

    def sum(self, weights: Tensor, values: Tensor) -> Tensor:
        """Sum outer products over the senders of each atom, ``(n_atoms, n_weights, n_values)``.

        `weights` ``(n_places, n_weights)`` vanish in places that are filled up; `values` are
        ``(n_sender_places, n_values)``.
        """
        n_weights, n_values = weights.shape[1], values.shape[1]
        # The derivative of a split is one concatenation, that of a slice a whole array of zeros.
        lefts = weights.split([n * width * depth for n, width, depth in self.shapes])
        rights = values.split([n * depth for n, _, depth in self.shapes])
        sums = []
        for (n, width, depth), left, right in zip(self.shapes, lefts, rights, strict=True):
            left = left.view(n, width, depth, n_weights).transpose(2, 3)
            product = torch.bmm(
                left.reshape(n, width * n_weights, depth), right.view(n, depth, n_values)
            )
            sums.append(product.view(n * width, n_weights, n_values))
        total = torch.cat(sums) if len(sums) > 1 else sums[0]
        return total if self.rank is None else total.index_select(0, self.rank)


@dataclass(frozen=True, eq=False)
class Links(_Tensors):
    """Receivers and senders of messages, each with all images of the sender.

    All images of an atom that are neighbours of the same centre send it the same message, so that
    what they weigh is summed first: of the hundred pairs of an atom in a small cell, a link to
    each atom of the cell remains. In a large cell, atoms have links to their neighbours.
    ``receivers`` ``(n_links,)`` includes places that are filled up, ``senders`` ``(n_senders,)``
    is in the order of the blocks, ``of_pair`` ``(n_pairs,)`` gives the link of every pair.
    """

    receivers: Tensor
    senders: Tensor
    of_pair: Tensor
    blocks: NeighborBlocks

    @classmethod
    def from_pairs(
        cls, centers: np.ndarray, neighbors: np.ndarray, places: np.ndarray, atom_counts: np.ndarray
    ) -> "Links":
        """Find the links of pairs, sorted by centre and neighbour, that stand in `places`."""
        atom_structure = np.repeat(np.arange(len(atom_counts)), atom_counts)
        n_atoms = len(atom_structure)
        is_new = np.diff(centers * n_atoms + neighbors, prepend=-1) != 0
        receivers, senders = centers[is_new], neighbors[is_new]
        n_links = np.bincount(receivers, minlength=n_atoms)
        of_structure = np.bincount(atom_structure, n_links, minlength=len(atom_counts))
        is_small = (atom_counts**2 <= _LARGEST_SHARE * of_structure)[atom_structure]
        n_in_cell = atom_counts[atom_structure]
        first_atom = (np.cumsum(atom_counts) - atom_counts)[atom_structure]
        n_senders = np.where(is_small, n_in_cell, n_links)
        start = np.cumsum(n_senders) - n_senders
        # In small cells an atom has a link to each, in the order of the cell.
        rank = np.arange(len(receivers)) - (np.cumsum(n_links) - n_links)[receivers]
        rank = np.where(is_small[receivers], senders - first_atom[receivers], rank)
        link = start[receivers] + rank
        receiver_of = np.repeat(np.arange(n_atoms), n_senders)
        sender_of = np.arange(len(receiver_of)) - start[receiver_of] + first_atom[receiver_of]
        sender_of[link] = senders
        leads = ~is_small | (first_atom == np.arange(n_atoms))
        blocks, links, is_filled, of_senders = NeighborBlocks.arrange(
            np.where(is_small, n_in_cell, 1)[leads], n_senders[leads]
        )
        place = np.empty(len(receiver_of), dtype=np.int64)
        place[links[~is_filled]] = np.flatnonzero(~is_filled)
        return cls(
            torch.as_tensor(receiver_of[links]),
            torch.as_tensor(sender_of[of_senders]),
            torch.as_tensor(place[link[np.cumsum(is_new) - 1]][places]),
            blocks,
        )

    @cached_property
    def _segments(self) -> Segments:
        return Segments(self.of_pair, len(self.receivers))

    def sum_over_images(self, weights: Tensor) -> Tensor:
        """Sum a quantity of pairs ``(n_pairs, n_weights)`` over images of the sender."""
        return self._segments.sum(weights)

    def receive(self, weights: Tensor, sent: Tensor) -> Tensor:
        """Sum what atoms send each other, ``(n_atoms, n_weights, n_values)``.

        `weights` ``(n_links, n_weights)`` come from :meth:`sum_over_images`; `sent` are the
        senders' ``(n_atoms, n_values)``.
        """
        return self.blocks.sum(weights, sent.index_select(0, self.senders))


@dataclass(frozen=True, eq=False, kw_only=True)
class CrystalBatch(AtomBatch):
    """Crystals whose pairs of atoms stand in blocks of equally many neighbours per centre.

    Centres with fewer neighbours than their block is wide are filled up with pairs that lie beyond
    every cutoff. All images of an atom that are neighbours of the same centre send it the same
    message, so that messages have :class:`Links` of their own, of which there are fewer.

    ``positions`` ``(n_atoms, 3)`` and ``lattices`` ``(n_structures, 3, 3)``, vectors in rows, are
    in Å; ``centers`` and ``neighbors`` ``(n_pairs,)`` are the atoms of every pair, ``images``
    ``(n_pairs, 3)`` the cell of the neighbour, ``padding`` ``(n_pairs, 1)`` a length beyond every
    cutoff for a filled place and zero otherwise; ``real_pairs`` are the places that are not
    filled. No structure has more than ``n_elements`` elements.
    """

    positions: Tensor
    lattices: Tensor
    centers: Tensor
    neighbors: Tensor
    images: Tensor
    padding: Tensor
    real_pairs: Tensor
    pair_blocks: NeighborBlocks
    links: Links
    n_elements: int

    @classmethod
    def from_arrays(
        cls,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        lattices: np.ndarray,
        atom_counts: np.ndarray,
        bond_atoms: np.ndarray,
        bond_images: np.ndarray,
        dtype: torch.dtype = torch.float32,
        context: np.ndarray | None = None,
    ) -> "CrystalBatch":
        """Arrange pairs of neighbours in blocks, on the CPU.

        Beside what the batch itself holds, this takes ``atom_counts`` ``(n_structures,)``, centre
        and neighbour of every directed pair, ``bond_atoms`` ``(n_bonds, 2)``, and the cell of the
        neighbour, ``bond_images`` ``(n_bonds, 3)``.
        """
        n_atoms = len(atomic_numbers)
        atom_structure = np.repeat(np.arange(len(lattices)), atom_counts)
        keys = bond_atoms[:, 0].astype(np.int64) * n_atoms + bond_atoms[:, 1]
        order = np.argsort(keys, kind="stable")
        centers, neighbors = np.divmod(keys[order], n_atoms)
        n_pairs = np.bincount(centers, minlength=n_atoms)
        pair_blocks, pairs, is_pad, _ = NeighborBlocks.arrange(np.ones_like(n_pairs), n_pairs)
        elements = np.unique(np.stack([atom_structure, atomic_numbers]), axis=1)

        def real(values):
            return torch.as_tensor(np.asarray(values), dtype=dtype)

        def integer(values):
            return torch.as_tensor(np.asarray(values, dtype=np.int64))

        return cls(
            atomic_numbers=integer(atomic_numbers),
            atom_structure=integer(atom_structure),
            context=real(np.empty((len(lattices), 0)) if context is None else context),
            positions=real(positions),
            lattices=real(lattices),
            centers=integer(centers[pairs]),
            neighbors=integer(np.where(is_pad, centers[pairs], neighbors[pairs])),
            images=real(np.where(is_pad[:, None], 0, bond_images[order[pairs]])),
            padding=real(is_pad[:, None] * _FAR),
            real_pairs=integer(np.flatnonzero(~is_pad)),
            pair_blocks=pair_blocks,
            links=Links.from_pairs(centers, neighbors, pairs, np.asarray(atom_counts)),
            n_elements=int(np.bincount(elements[0]).max()),
        )

    def moved(self, positions: Tensor) -> "CrystalBatch":
        """Put the atoms somewhere else, with the same neighbours."""
        return replace(self, positions=positions)

    def strained(self, strain: Tensor) -> "CrystalBatch":
        """Multiply positions and lattices by 1 + ε, with symmetrised ε ``(n_structures, 3, 3)``."""
        deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + 0.5 * (
            strain + strain.transpose(1, 2)
        )
        of_atom = deformation.index_select(0, self.atom_structure)
        return replace(
            self,
            positions=torch.bmm(self.positions.unsqueeze(1), of_atom).squeeze(1),
            lattices=torch.bmm(self.lattices, deformation),
        )

    @cached_property
    def vectors(self) -> Tensor:
        """Vectors from centre to neighbour in Å, ``(n_pairs, 3)``, differentiable."""
        of_pair = self.lattices.flatten(1)
        if len(self) > 1:
            of_pair = of_pair.index_select(0, self.atom_structure.index_select(0, self.centers))
        shifts = (self.images.unsqueeze(-1) * of_pair.view(-1, 3, 3)).sum(1)
        ends = self.positions.index_select(0, self.neighbors)
        return ends - self.positions.index_select(0, self.centers) + shifts + self.padding

    @cached_property
    def lengths(self) -> Tensor:
        """Distances in Å, ``(n_pairs,)``, differentiable."""
        return self.vectors.square().sum(-1).sqrt()

    @cached_property
    def directions(self) -> Tensor:
        """Unit vectors from centre to neighbour, ``(n_pairs, 3)``, differentiable."""
        return self.vectors / self.lengths.unsqueeze(-1)

    @cached_property
    def volumes(self) -> Tensor:
        """Volumes of the cells in Å³, ``(n_structures,)``."""
        return torch.linalg.det(self.lattices).abs()

    def sum_over_neighbors(self, weights: Tensor, values: Tensor) -> Tensor:
        """Sum outer products of pairs' quantities over neighbours, ``(n_atoms, n_w, n_v)``.

        `weights` ``(n_pairs, n_w)`` vanish at the cutoff; `values` are ``(n_pairs, n_v)``.
        """
        return self.pair_blocks.sum(weights, values)


def to_batch(
    graphs: Any, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> CrystalBatch:
    """Turn CrystalGraphs, none of them without atoms, into one batch of tensors."""
    batch = CrystalBatch.from_arrays(
        graphs.atomic_numbers,
        graphs.positions,
        graphs.lattices,
        graphs.counts("atom"),
        graphs.bond_atoms,
        graphs.bond_images,
        dtype,
        graphs.context,
    )
    return batch.to(device)

"""A batch of crystals as tensors, with the one geometry that all streams see."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trisk.nn._batch_invariance import BatchInvariance
from trisk.nn._links import Links
from trisk.nn._neighbor_blocks import NeighborBlocks
from trisk.nn._segments import Segments


@dataclass(frozen=True, eq=False)
class CrystalBatch:
    """Crystals whose pairs of atoms stand in blocks of equally many neighbours per centre.

    Centres with fewer neighbours than their block is wide are filled up with pairs that lie beyond
    every cutoff. All images of an atom that are neighbours of the same centre send it the same
    message, so that messages have :class:`Links` of their own, of which there are fewer.

    Attributes
    ----------
    atomic_numbers : Tensor of shape (n_atoms,), int64
        Atomic numbers.
    atom_structure : Tensor of shape (n_atoms,), int64
        The structure of every atom, in ascending order.
    atom_counts : Tensor of shape (n_structures,), int64
        Atoms per structure.
    positions : Tensor of shape (n_atoms, 3)
        Cartesian positions, in Å.
    lattices : Tensor of shape (n_structures, 3, 3)
        Lattice vectors in rows, in Å.
    centers, neighbors : Tensor of shape (n_pairs,), int64
        The two atoms of every pair, padding included.
    images : Tensor of shape (n_pairs, 3)
        Cell of the neighbour, in lattice vectors.
    padding : Tensor of shape (n_pairs, 1)
        Zero for a pair of atoms; for a filled place a length beyond every cutoff, in Å.
    pair_blocks : NeighborBlocks
        Arrangement of the pairs.
    links : Links
        Which atoms send messages to which.
    context : Tensor of shape (n_structures, n_context)
        Further columns of every structure; usually none.
    """

    atomic_numbers: Tensor
    atom_structure: Tensor
    atom_counts: Tensor
    positions: Tensor
    lattices: Tensor
    centers: Tensor
    neighbors: Tensor
    images: Tensor
    padding: Tensor
    pair_blocks: NeighborBlocks
    links: Links
    context: Tensor

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
        """Arrange the pairs of neighbours in blocks.

        Parameters
        ----------
        atomic_numbers : ndarray of shape (n_atoms,)
            Atomic numbers.
        positions : ndarray of shape (n_atoms, 3)
            Cartesian positions, in Å.
        lattices : ndarray of shape (n_structures, 3, 3)
            Lattice vectors in rows, in Å.
        atom_counts : ndarray of shape (n_structures,)
            Atoms per structure.
        bond_atoms : ndarray of shape (n_bonds, 2)
            Centre and neighbour of every directed pair.
        bond_images : ndarray of shape (n_bonds, 3)
            Cell of the neighbour.
        dtype : torch.dtype, default=torch.float32
            Floating-point type.
        context : ndarray of shape (n_structures, n_context), default=None
            Further columns of every structure; None for none.

        Returns
        -------
        CrystalBatch
            The batch, on the CPU.
        """
        n_atoms = len(atomic_numbers)
        atom_structure = np.repeat(np.arange(len(lattices)), atom_counts)
        keys = bond_atoms[:, 0].astype(np.int64) * n_atoms + bond_atoms[:, 1]
        order = np.argsort(keys, kind="stable")
        centers, neighbors = np.divmod(keys[order], n_atoms)
        n_pairs = np.bincount(centers, minlength=n_atoms)
        pair_blocks, pairs, is_pad, _ = NeighborBlocks.arrange(np.ones_like(n_pairs), n_pairs)
        links = Links.from_pairs(centers, neighbors, pairs, atom_counts)
        images = np.where(is_pad[:, None], 0, bond_images[order[pairs]])

        def real(values):
            return torch.as_tensor(np.asarray(values), dtype=dtype)

        def integer(values):
            return torch.as_tensor(np.asarray(values, dtype=np.int64))

        return cls(
            atomic_numbers=integer(atomic_numbers),
            atom_structure=integer(atom_structure),
            atom_counts=integer(atom_counts),
            positions=real(positions),
            lattices=real(lattices),
            centers=integer(centers[pairs]),
            neighbors=integer(np.where(is_pad, centers[pairs], neighbors[pairs])),
            images=real(images),
            padding=real(is_pad[:, None] * 1e3),
            pair_blocks=pair_blocks,
            links=links,
            context=real(np.empty((len(lattices), 0)) if context is None else context),
        )

    def __len__(self) -> int:
        return len(self.lattices)

    def to(self, *args, **kwargs) -> "CrystalBatch":
        """Move to a device or another floating-point type.

        Parameters
        ----------
        *args, **kwargs
            As for :meth:`torch.Tensor.to`; a floating-point type leaves integers as they are.

        Returns
        -------
        CrystalBatch
            The same crystals there.
        """
        moved: dict[str, Any] = {}
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Tensor):
                there = value.to(*args, **kwargs)
                moved[name] = there if value.is_floating_point() else value.to(there.device)
        for name in ("pair_blocks", "links"):
            moved[name] = getattr(self, name).to(moved["positions"].device)
        return replace(self, **moved)

    def moved(self, positions: Tensor) -> "CrystalBatch":
        """Put the atoms somewhere else, with the same neighbours.

        Parameters
        ----------
        positions : Tensor of shape (n_atoms, 3)
            Cartesian positions, in Å.

        Returns
        -------
        CrystalBatch
            The same crystals with these positions.
        """
        return replace(self, positions=positions)

    def strained(self, strain: Tensor) -> "CrystalBatch":
        """Deform every crystal with its atoms, differentiably.

        Parameters
        ----------
        strain : Tensor of shape (n_structures, 3, 3)
            Small strains; only their symmetric parts act.

        Returns
        -------
        CrystalBatch
            Positions and lattices times (1 + ε).
        """
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
        # The derivative of one crystal's cell adds in another order without its index.
        if len(self) > 1 or BatchInvariance.is_active():
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
        """Sum the outer products of two quantities of pairs over each centre's neighbours.

        Parameters
        ----------
        weights : Tensor of shape (n_pairs, n_weights)
            Quantity of pairs that vanishes at the cutoff.
        values : Tensor of shape (n_pairs, n_values)
            Another one.

        Returns
        -------
        Tensor of shape (n_atoms, n_weights, n_values)
            Sums.
        """
        return self.pair_blocks.sum(weights, values)

    def sum_over_atoms(self, values: Tensor) -> Tensor:
        """Sum a quantity of atoms over each structure.

        Parameters
        ----------
        values : Tensor of shape (n_atoms, ...)
            Quantity of atoms.

        Returns
        -------
        Tensor of shape (n_structures, ...)
            Sums.
        """
        zeros = values.new_zeros(len(self), *values.shape[1:])
        return zeros.index_add(0, self.atom_structure, values)

    def mean_over_atoms(self, values: Tensor) -> Tensor:
        """Average a quantity of atoms over each structure.

        Parameters
        ----------
        values : Tensor of shape (n_atoms, ...)
            Quantity of atoms.

        Returns
        -------
        Tensor of shape (n_structures, ...)
            Means.
        """
        counts = self.atom_counts.clamp_min(1).to(values.dtype)
        return self.sum_over_atoms(values) / counts.view(-1, *[1] * (values.dim() - 1))

    def softmax_over_atoms(self, logits: Tensor) -> Tensor:
        """Weigh the atoms of each structure so that every column adds up to one.

        Parameters
        ----------
        logits : Tensor of shape (n_atoms, n_columns)
            Logarithms of the weights, up to a constant for each structure and column.

        Returns
        -------
        Tensor of shape (n_atoms, n_columns)
            Weights.
        """
        segments = Segments(self.atom_structure, len(self))
        return segments.softmax(logits.unsqueeze(0)).squeeze(0)

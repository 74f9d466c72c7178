"""Which atoms of a batch of crystals send messages to which."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trisk.nn._neighbor_blocks import NeighborBlocks
from trisk.nn._segments import Segments

# Cells are small if so many times as many links would still be all that their atoms can have:
# products of few large matrices outweigh zeros among them.
_LARGEST_SHARE = 4


@dataclass(frozen=True, eq=False)
class Links:
    """Receivers and senders of messages, each with all images of the sender.

    All images of an atom that are neighbours of the same centre send it the same message, so that
    what they weigh is summed first: of the hundred pairs of an atom in a small cell, a link to
    each atom of the cell remains. In a large cell, atoms have links to their neighbours.

    Attributes
    ----------
    receivers : Tensor of shape (n_links,), int64
        Receiving atom of every link, places that are filled up included.
    senders : Tensor of shape (n_senders,), int64
        Atoms that send, in the order of the blocks.
    of_pair : Tensor of shape (n_pairs,), int64
        Link of every pair of a :class:`CrystalBatch`.
    blocks : NeighborBlocks
        Arrangement of the links.
    """

    receivers: Tensor
    senders: Tensor
    of_pair: Tensor
    blocks: NeighborBlocks

    @classmethod
    def from_pairs(
        cls, centers: np.ndarray, neighbors: np.ndarray, places: np.ndarray, atom_counts: np.ndarray
    ) -> "Links":
        """Find the links between pairs of atoms.

        Parameters
        ----------
        centers, neighbors : ndarray of shape (n,), int64
            Atoms of every pair, sorted by centre and then by neighbour.
        places : ndarray of shape (n_pairs,), int64
            Pair that stands in every place of the batch.
        atom_counts : ndarray of shape (n_structures,), int64
            Atoms per structure.

        Returns
        -------
        Links
            On the CPU.
        """
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

    def to(self, device: torch.device) -> "Links":
        """Move to a device.

        Parameters
        ----------
        device : torch.device
            Where to.

        Returns
        -------
        Links
            The same links there.
        """
        return Links(
            self.receivers.to(device),
            self.senders.to(device),
            self.of_pair.to(device),
            self.blocks.to(device),
        )

    @cached_property
    def _segments(self) -> Segments:
        return Segments(self.of_pair, len(self.receivers))

    def sum_over_images(self, weights: Tensor) -> Tensor:
        """Sum a quantity of pairs over the images of the sender.

        Parameters
        ----------
        weights : Tensor of shape (n_pairs, n_weights)
            Quantity of pairs that vanishes at the cutoff.

        Returns
        -------
        Tensor of shape (n_links, n_weights)
            Sums; zero for links without a pair.
        """
        return self._segments.sum(weights.unsqueeze(0)).squeeze(0)

    def receive(self, weights: Tensor, sent: Tensor) -> Tensor:
        """Sum what atoms send each other.

        Parameters
        ----------
        weights : Tensor of shape (n_links, n_weights)
            Quantity of links, as :meth:`sum_over_images` gives it.
        sent : Tensor of shape (n_atoms, n_values)
            Quantity of senders.

        Returns
        -------
        Tensor of shape (n_atoms, n_weights, n_values)
            Sums of the outer products of both.
        """
        return self.blocks.sum(weights, sent.index_select(0, self.senders))

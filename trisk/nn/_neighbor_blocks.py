"""Sums over neighbours as products of small matrices."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Numbers of atoms are filled up to one of these, so that few blocks of equal shape remain.
_WIDTHS = np.array([0, 1, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 4096])


@dataclass(frozen=True, eq=False)
class NeighborBlocks:
    """Groups of atoms that receive from the same senders, in blocks of equal shape.

    Sums over senders are then products of small matrices, which a CPU and a GPU do several times
    faster than scattered additions. Smaller groups are filled up.

    Attributes
    ----------
    shapes : tuple of tuple (int, int, int)
        Number of groups, and of receivers and senders in each, of every block.
    rank : Tensor of shape (n_atoms,), int64, or None
        Where the atoms stand among the receivers of the blocks; None if in their own order.
    """

    shapes: tuple[tuple[int, int, int], ...]
    rank: Tensor | None

    @classmethod
    def arrange(
        cls, n_receivers: np.ndarray, n_senders: np.ndarray
    ) -> tuple["NeighborBlocks", np.ndarray, np.ndarray, np.ndarray]:
        """Find places for receivers, senders and what lies between them.

        Parameters
        ----------
        n_receivers, n_senders : ndarray of shape (n_groups,), int64
            Sizes of the groups. Receivers are all atoms in their order; the links between them
            and the senders are numbered group by group, receiver by receiver.

        Returns
        -------
        blocks : NeighborBlocks
            On the CPU.
        links : ndarray of shape (n_places,), int64
            Link in every place; where one is filled up, the first of the group.
        is_filled : ndarray of shape (n_places,), bool
            Which places are filled up.
        of_senders : ndarray of shape (n_sender_places,), int64
            A link of every sender; where a place is filled up, the first of the group.
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
            real = is_receiver[:, :, 0]
            rank[(atoms[groups, None] + i.T)[real]] = places[real]
            shapes.append((len(groups), width, depth))
            first += len(groups) * width
        moves = not np.array_equal(rank, np.arange(first))
        return (
            cls(tuple(shapes), torch.as_tensor(rank) if moves else None),
            np.concatenate(links),
            np.concatenate(filled),
            np.concatenate(of_senders),
        )

    def to(self, device: torch.device) -> "NeighborBlocks":
        """Move to a device.

        Parameters
        ----------
        device : torch.device
            Where to.

        Returns
        -------
        NeighborBlocks
            The same blocks there.
        """
        return NeighborBlocks(self.shapes, None if self.rank is None else self.rank.to(device))

    def sum(self, weights: Tensor, values: Tensor) -> Tensor:
        """Sum the outer products of weights of links and values of senders for each receiver.

        Parameters
        ----------
        weights : Tensor of shape (n_places, n_weights)
            Quantity of links that is zero in places that are filled up.
        values : Tensor of shape (n_sender_places, n_values)
            Quantity of senders.

        Returns
        -------
        Tensor of shape (n_atoms, n_weights, n_values)
            Sums.
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

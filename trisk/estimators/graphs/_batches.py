"""Crystal graphs of one training set, served to all members at once."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trisk.estimators._seeding import draw_validation
from trisk.nn import GraphBatch
from trisk.structures.graphs import CrystalGraphs

Batch = tuple[GraphBatch, tuple[Tensor, Tensor]]


def collate(graphs: CrystalGraphs, device: torch.device | str, dtype: torch.dtype) -> GraphBatch:
    """Turn graphs into tensors.

    Parameters
    ----------
    graphs : CrystalGraphs
        What :meth:`GraphScaler.transform` gives: the first of the bonds' sensors is a stiffness
        that is not scaled.
    device : torch.device or str
        Where to put them.
    dtype : torch.dtype
        Type of features and geometry.

    Returns
    -------
    batch : GraphBatch
        The same crystals.
    """

    def index(values):
        return torch.from_numpy(values.astype(np.int64, copy=False))

    def real(values):
        return torch.from_numpy(np.ascontiguousarray(values))

    atom_structures = np.repeat(np.arange(len(graphs)), graphs.counts("atom"))
    center, neighbor = graphs.bond_atoms.T
    lattices = graphs.lattices[atom_structures[center]]
    shifts = (graphs.bond_images[:, None, :] @ lattices)[:, 0]
    vectors = graphs.positions[neighbor] + shifts - graphs.positions[center]
    return GraphBatch(
        n_structures=len(graphs),
        atomic_numbers=index(graphs.atomic_numbers),
        atom_features=real(graphs.atom_features),
        context=real(graphs.context),
        bond_lengths=real(graphs.bond_lengths),
        bond_directions=real(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)),
        bond_stiffness=real(graphs.bond_sensors[:, 0]),
        bond_sensors=real(graphs.bond_sensors[:, 1:]),
        angle_cosines=real(graphs.angle_cosines),
        dihedral_cosines=real(graphs.dihedral_cosines),
        atom_structures=index(atom_structures),
        bond_atoms=index(graphs.bond_atoms),
        angle_bonds=index(graphs.angle_bonds),
        dihedral_angles=index(graphs.dihedral_angles),
    ).to(device, dtype)


def pack(sizes: np.ndarray, n_batches: int) -> list[np.ndarray]:
    """Cut rows, in their order, into batches of nearly equal total size.

    Parameters
    ----------
    sizes : ndarray of shape (n_rows,)
        Size of each row.
    n_batches : int
        Number of batches, at most `n_rows`.

    Returns
    -------
    batches : list of ndarray
        Positions of the rows of each batch; none is empty.
    """
    n_rows = len(sizes)
    middles = np.cumsum(sizes) - sizes / 2
    cuts = np.searchsorted(middles, np.arange(1, n_batches) * sizes.sum() / n_batches)
    # Every batch keeps a row, however large its neighbours' rows are.
    steps = np.arange(1, n_batches)
    cuts = np.maximum.accumulate(np.maximum(cuts, steps) - steps) + steps
    cuts = np.minimum(cuts, n_rows - n_batches + steps)
    return np.split(np.arange(n_rows), cuts)


class GraphDataset(Dataset):
    """Scaled graphs with targets and, for every member, the weights of the rows it trains on.

    All members see the same batches, so that one batch of graphs serves them all; a row that a
    member keeps for validation has no weight in its training.

    Parameters
    ----------
    graphs : CrystalGraphs
        Scaled graphs.
    target : ndarray of shape (n_structures, n_outputs)
        Scaled targets, or class probabilities.
    weight : ndarray of shape (n_structures,)
        Row weights, one on average.
    seeds : sequence of int
        One seed per member.
    order_seed : int
        Seed of the order of rows.
    validation_fraction : float
        Share of rows that each member, by its own draw, keeps for validation.
    device : torch.device or str
        Where batches go.
    """

    def __init__(
        self,
        graphs: CrystalGraphs,
        target: np.ndarray,
        weight: np.ndarray,
        *,
        seeds: Sequence[int],
        order_seed: int,
        validation_fraction: float,
        device: torch.device | str,
    ):
        self.graphs = graphs
        self.target = target
        self.seeds = list(seeds)
        self.order_seed = order_seed
        self.device = device
        held_out = np.zeros((len(self.seeds), len(graphs)), dtype=bool)
        for member, seed in enumerate(self.seeds):
            held_out[member, draw_validation(seed, len(graphs), validation_fraction)[1]] = True
        self.train_weight = np.where(held_out, 0, weight)
        self.train_weight /= self.train_weight.mean(axis=1, keepdims=True)
        self.validation_weight = np.where(held_out, weight, 0)
        self.train_rows = np.flatnonzero(self.train_weight.any(axis=0))

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return len(self.train_rows)

    def gather(self, rows: np.ndarray, weight: np.ndarray) -> Batch:
        """Rows with their targets ``(K, B, n_outputs)`` and weights ``(K, B)``."""
        target = torch.from_numpy(self.target[rows]).float().to(self.device)
        weights = torch.from_numpy(weight[:, rows]).float().to(self.device)
        batch = collate(self.graphs.take(rows), self.device, torch.float32)
        return batch, (target.expand(len(self.seeds), -1, -1), weights)

    def validation_batch(self) -> Batch:
        """All rows that any member kept, weighted so that the mean is over its own."""
        rows = np.flatnonzero(self.validation_weight.any(axis=0))
        total = self.validation_weight.sum(axis=1, keepdims=True)
        return self.gather(rows, self.validation_weight * len(rows) / total)


class GraphBatches:
    """One epoch of shuffled batches, packed to nearly equal numbers of atoms.

    The order of an epoch depends on the seed and the epoch's number only, so a run can resume
    at any epoch.

    Parameters
    ----------
    dataset : GraphDataset
        Graphs.
    batch_size : int
        Crystals in a batch, on average.
    """

    def __init__(self, dataset: GraphDataset, batch_size: int):
        self.dataset = dataset
        self.n_batches = -(-dataset.n_rows // batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.dataset.order_seed, 1, self.epoch])
        self.epoch += 1
        rows = rng.permutation(self.dataset.train_rows)
        sizes = self.dataset.graphs.counts("atom")[rows]
        mean_rows = len(rows) / self.n_batches
        for positions in pack(sizes, self.n_batches):
            # A row counts the same in a batch of few large crystals and of many small ones.
            share = len(positions) / mean_rows
            yield self.dataset.gather(rows[positions], self.dataset.train_weight * share)

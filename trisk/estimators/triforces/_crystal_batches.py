"""Training sets of crystals, served in batches of about equal cost."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trisk.estimators.graphs._batches import pack
from trisk.estimators.triforces._crystals import to_batch
from trisk.nn import CrystalBatch
from trisk.structures.graphs import CrystalGraphs

Batch = tuple[CrystalBatch, dict[str, Tensor]]


class CrystalDataset(Dataset):
    """Crystals with targets of structures and of atoms.

    Parameters
    ----------
    graphs : CrystalGraphs
        Crystals.
    of_structures : mapping of str to ndarray of shape (n_structures, ...)
        Targets of structures.
    of_atoms : mapping of str to ndarray of shape (n_atoms, ...), default=None
        Targets of atoms.
    device : torch.device or str, default="cpu"
        Where batches go.
    """

    def __init__(
        self,
        graphs: CrystalGraphs,
        of_structures: Mapping[str, np.ndarray],
        of_atoms: Mapping[str, np.ndarray] | None = None,
        device: torch.device | str = "cpu",
    ):
        self.graphs = graphs
        self.of_structures = dict(of_structures)
        self.of_atoms = dict(of_atoms or {})
        self.device = device

    def __len__(self) -> int:
        return len(self.graphs)

    def take(self, rows: np.ndarray) -> "CrystalDataset":
        """Part of the structures."""
        starts, counts = self.graphs.offsets["atom"][rows], self.graphs.counts("atom")[rows]
        shifts = np.repeat(np.cumsum(counts) - counts - starts, counts)
        atoms = np.arange(counts.sum()) - shifts
        return CrystalDataset(
            self.graphs.take(rows),
            {name: values[rows] for name, values in self.of_structures.items()},
            {name: values[atoms] for name, values in self.of_atoms.items()},
            self.device,
        )

    def gather(self, rows: np.ndarray) -> Batch:
        """Structures with their targets, as tensors in single precision."""
        part = self.take(rows)
        targets = {
            name: torch.as_tensor(values, dtype=torch.float32).to(self.device)
            for name, values in (part.of_structures | part.of_atoms).items()
        }
        return to_batch(part.graphs, self.device), targets

    @property
    def costs(self) -> np.ndarray:
        """About what a structure costs: its atoms and, at a tenth, its bonds."""
        return self.graphs.counts("atom") + 0.1 * self.graphs.counts("bond")


class CrystalBatches:
    """One epoch of shuffled batches of about equal cost.

    The order of an epoch depends on the seed and the epoch's number only, so a run can resume
    at any epoch.

    Parameters
    ----------
    dataset : CrystalDataset
        Training set.
    batch_size : int
        Structures in a batch, on average.
    seed : int
        Seed of the order.
    epoch : int
        Number of epochs that were served before.
    """

    def __init__(self, dataset: CrystalDataset, batch_size: int, seed: int, epoch: int):
        self.dataset = dataset
        self.n_batches = -(-len(dataset) // batch_size)
        self.seed = seed
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, 1, self.epoch]).permutation(len(self.dataset))
        self.epoch += 1
        for rows in pack(self.dataset.costs[order], self.n_batches):
            yield self.dataset.gather(order[rows])

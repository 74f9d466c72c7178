"""Rows of several training sets, served to all members at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

Batch = tuple[Tensor, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrainingSet:
    """Preprocessed rows and the members that train on them.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Scaled columns.
    target : ndarray of shape (n_rows, n_outputs)
        Scaled targets, or class probabilities.
    weight : ndarray of shape (n_rows,)
        Row weights, one on average.
    seeds : list of int
        One seed per member.
    validation_fraction : float
        Share of rows that each member, by its own draw, keeps for validation.
    """

    X: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    seeds: list[int]
    validation_fraction: float

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows that the member with this seed trains on and validates on."""
        n_held_out = round(self.validation_fraction * len(self.X))
        if n_held_out == 0:
            return np.arange(len(self.X)), np.arange(0)
        shuffled = np.random.default_rng([seed, 0]).permutation(len(self.X))
        return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])


class MemberDataset(Dataset):
    """Stacked training sets as tensors, with the rows that belong to each member.

    Parameters
    ----------
    sets : sequence of TrainingSet
        Training sets of equal width; their members follow one another.
    device : torch.device or str
        Where the rows live.
    """

    def __init__(self, sets: Sequence[TrainingSet], device: torch.device | str):
        def stack(name: str) -> Tensor:
            rows = np.concatenate([getattr(s, name) for s in sets]).astype(np.float32)
            return torch.from_numpy(rows).to(device)

        self.X, self.target, self.weight = stack("X"), stack("target"), stack("weight")
        self.seeds = [seed for s in sets for seed in s.seeds]
        self.train_rows: list[np.ndarray] = []
        self.held_out_rows: list[np.ndarray] = []
        offset = 0
        for s in sets:
            for seed in s.seeds:
                train, held_out = s.split(seed)
                self.train_rows.append(train + offset)
                self.held_out_rows.append(held_out + offset)
            offset += len(s.X)

    def __len__(self) -> int:
        return len(self.X)

    def gather(self, rows: np.ndarray) -> Batch:
        """Rows of every member, ``(n_members, batch, …)``, from indices of that shape."""
        index = torch.from_numpy(rows).to(self.X.device)
        return self.X[index], (self.target[index], self.weight[index])


class MemberBatches:
    """One epoch of shuffled batches, every member in its own order.

    An epoch shows each row once; its last batch is filled up with rows drawn again, so that
    all batches are of one size. The order of an epoch depends on the member's seed and the
    epoch's number only, so a run can resume at any epoch.

    Parameters
    ----------
    dataset : MemberDataset
        Rows; all members must have equally many.
    batch_size : int
        Rows per batch and member.
    """

    def __init__(self, dataset: MemberDataset, batch_size: int):
        self.dataset = dataset
        self.n_rows = len(dataset.train_rows[0])
        self.batch_size = min(batch_size, self.n_rows)
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.n_rows // self.batch_size)

    def _order(self, member: int) -> np.ndarray:
        rng = np.random.default_rng([self.dataset.seeds[member], 1, self.epoch])
        order = rng.permutation(self.n_rows)
        n_missing = len(self) * self.batch_size - self.n_rows
        filled = np.concatenate([order, rng.permutation(self.n_rows)[:n_missing]])
        return self.dataset.train_rows[member][filled]

    def __iter__(self) -> Iterator[Batch]:
        rows = np.stack([self._order(m) for m in range(len(self.dataset.seeds))])
        self.epoch += 1
        for batch in np.split(rows, len(self), axis=1):
            yield self.dataset.gather(batch)

"""Rows of several training sets, served to all members at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trisk.estimators._preprocessing import ColumnScaler
from trisk.estimators._seeding import draw_validation
from trisk.estimators.tables._neighbors import NeighborDraws

if TYPE_CHECKING:
    from trisk.estimators.tables._held_out import HeldOutFit

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
    draws : NeighborDraws or None
        Source of further columns that each member draws anew for every epoch.
    draw_scaler : ColumnScaler or None
        Scaling of these columns.
    held_out : HeldOutFit or None
        Fits on parts of the same rows, to be trained beside this one.
    """

    X: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    seeds: list[int]
    validation_fraction: float
    draws: NeighborDraws | None = None
    draw_scaler: ColumnScaler | None = None
    held_out: "HeldOutFit | None" = None

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows that the member with this seed trains on and validates on."""
        return draw_validation(seed, len(self.X), self.validation_fraction)

    def drawn_columns(self, seed: int, epoch: int, visible: np.ndarray | None) -> np.ndarray | None:
        """Scaled columns of one member and epoch, ``(n_rows, n_drawn_columns)``, if any."""
        if self.draws is None or self.draw_scaler is None:
            return None
        return self.draw_scaler.transform(self.draws.draw(seed, epoch, visible))


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
        self.device = device
        self.members = [(s, seed) for s in sets for seed in s.seeds]
        self.seeds = [seed for _, seed in self.members]
        self.X = self._tensor([s.X for s in sets])
        self.target = self._tensor([s.target for s in sets])
        self.weight = self._tensor([s.weight for s in sets])
        splits = [s.split(seed) for s, seed in self.members]
        self.train_rows = np.stack([train for train, _ in splits])
        self.held_out_rows = np.stack([held_out for _, held_out in splits])
        start = dict(zip(map(id, sets), np.cumsum([0] + [len(s.X) for s in sets]), strict=False))
        self._start = np.array([[start[id(s)]] for s, _ in self.members])

    def _tensor(self, parts: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(np.float32)).to(self.device)

    def __len__(self) -> int:
        return len(self.X)

    @property
    def n_rows(self) -> int:
        """Rows of an epoch, of each member."""
        return self.train_rows.shape[1]

    def keep_members(self, members: Sequence[int]) -> None:
        """Serve all other members no more."""
        self.members = [self.members[member] for member in members]
        self.seeds = [seed for _, seed in self.members]
        self.train_rows = self.train_rows[members]
        self.held_out_rows = self.held_out_rows[members]
        self._start = self._start[members]

    def draw_columns(self, epoch: int) -> Tensor | None:
        """Columns of all members for one epoch, ``(n_members, n_rows, n_drawn_columns)``."""
        return self._draw(epoch, [None] * len(self.members))

    def validation_batch(self) -> Batch:
        """Rows kept by each member, with columns drawn from all the rows it trains on."""
        return self.gather(self.held_out_rows, self._draw(0, self.train_rows))

    def _draw(self, epoch, visible):
        drawn = [
            s.drawn_columns(seed, epoch, rows)
            for (s, seed), rows in zip(self.members, visible, strict=True)
        ]
        parts = [columns[None] for columns in drawn if columns is not None]
        return self._tensor(parts) if parts else None

    def gather(self, rows: np.ndarray, drawn: Tensor | None) -> Batch:
        """Rows of every member, ``(n_members, batch, …)``, from indices of that shape."""
        index = torch.from_numpy(rows + self._start).to(self.device)
        x = self.X[index]
        if drawn is not None:
            member = torch.arange(len(rows), device=self.device).unsqueeze(1)
            own = drawn[member, torch.from_numpy(rows).to(self.device)]
            x = torch.cat([x, own], dim=-1)
        return x, (self.target[index], self.weight[index])


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
        self.n_rows = dataset.n_rows
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
        drawn = self.dataset.draw_columns(self.epoch)
        self.epoch += 1
        for batch in np.split(rows, len(self), axis=1):
            yield self.dataset.gather(batch, drawn)

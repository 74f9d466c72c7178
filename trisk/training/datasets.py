"""Training sets that serve batches; the order of an epoch depends on its number and a seed."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch.utils.data import Dataset

from trisk.structures.graphs import LEVELS


def draw_seed(random_state):
    """A seed below 2³¹ from an estimator's random_state."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def member_seeds(random_state, n_members):
    """One seed below 2³² for every member of an ensemble."""
    return np.random.SeedSequence(draw_seed(random_state)).generate_state(n_members).tolist()


def draw_validation(seed, n_rows, fraction):
    """Rows to train on and rows to validate on, in order, by a member's own draw."""
    order = np.random.default_rng([seed, 0]).permutation(n_rows)
    n_held_out = round(fraction * n_rows)
    if n_held_out == n_rows:
        raise ValueError(
            f"training__validation_fraction={fraction} leaves none of {n_rows} rows to train on."
        )
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def pack(sizes, n_batches):
    """Cut rows, in their order, into batches of nearly equal total size, none of them empty."""
    n_rows = len(sizes)
    middles = np.cumsum(sizes) - sizes / 2
    cuts = np.searchsorted(middles, np.arange(1, n_batches) * sizes.sum() / n_batches)
    # Every batch keeps a row, however large its neighbours' rows are.
    steps = np.arange(1, n_batches)
    cuts = np.maximum.accumulate(np.maximum(cuts, steps) - steps) + steps
    cuts = np.minimum(cuts, n_rows - n_batches + steps)
    return np.split(np.arange(n_rows), cuts)


class TableDataset(Dataset):
    """Rows of several training sets of equal shape, served to all their members at once.

    An epoch shows each row once, to every member in its own order; its last batch is filled up
    with rows drawn again, so that all batches are of one size. Each member keeps its own
    `validation_fraction` of the rows. The `sets` are of the class ``TrainingSet``.
    """

    def __init__(self, sets, validation_fraction, device):
        self.device = device
        self.members = [(s, seed) for s in sets for seed in s.seeds]
        self.X = self._tensor([s.X for s in sets])
        self.target = self._tensor([s.target for s in sets])
        self.weight = self._tensor([s.weight for s in sets])
        splits = [draw_validation(seed, len(s.X), validation_fraction) for s, seed in self.members]
        self.rows = np.stack([train for train, _ in splits])
        self.held_out = np.stack([held_out for _, held_out in splits])
        starts = np.repeat(np.arange(len(sets)), [len(s.seeds) for s in sets]) * len(sets[0].X)
        self._start = starts[:, None]

    def _tensor(self, parts):
        return torch.from_numpy(np.concatenate(parts).astype(np.float32)).to(self.device)

    def __len__(self):
        return len(self.X)

    @property
    def n_rows(self):
        return self.rows.shape[1]

    def arrays(self):
        """What tells this training set from others."""
        return [self.X.cpu(), self.target.cpu(), self.weight.cpu(), self.rows]

    def n_batches(self, batch_size):
        return -(-self.n_rows // min(batch_size, self.n_rows))

    def batches(self, batch_size, epoch):
        n_batches = self.n_batches(batch_size)
        n_missing = n_batches * min(batch_size, self.n_rows) - self.n_rows
        orders = []
        for (_, seed), rows in zip(self.members, self.rows, strict=True):
            rng = np.random.default_rng([seed, 1, epoch])
            order = rng.permutation(self.n_rows)
            orders.append(rows[np.concatenate([order, rng.permutation(self.n_rows)[:n_missing]])])
        drawn = self._draw(epoch, [None] * len(self.members))
        for rows in np.split(np.stack(orders), n_batches, axis=1):
            yield self._gather(rows, drawn)

    def parts(self):
        """Rows kept for validation, with columns drawn from all the rows a member trains on."""
        yield 1.0, self._gather(self.held_out, self._draw(0, self.rows))

    def _draw(self, epoch, visible):
        """Further columns of all members, ``(n_members, n_rows, n_drawn_columns)``, if any."""
        if self.members[0][0].drawn_columns is None:
            return None
        drawn = zip(self.members, visible, strict=True)
        return self._tensor([s.drawn_columns(seed, epoch, rows)[None] for (s, seed), rows in drawn])

    def _gather(self, rows, drawn):
        """Rows of every member, ``(n_members, batch, …)``, from indices of that shape."""
        index = torch.from_numpy(rows + self._start).to(self.device)
        x = self.X[index]
        if drawn is not None:
            member = torch.arange(len(rows), device=self.device).unsqueeze(1)
            x = torch.cat([x, drawn[member, torch.from_numpy(rows).to(self.device)]], dim=-1)
        return x, (self.target[index], self.weight[index])


def prefetched(batches, device):
    """Batches, of which a thread makes and moves the next while a device works on one."""
    if torch.device(device).type == "cpu":  # which has no time to spare
        yield from batches
        return
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


class StructureDataset(Dataset):
    """Structures with targets, served in shuffled batches of about equal cost.

    A function `to_batch` turns graphs, a device and a type into a batch of tensors. Targets are
    arrays by name, `of_structures` ``(n_structures, …)`` and `of_atoms` ``(n_atoms, …)``. The
    target "weight" is scaled so that a structure counts the same in a batch of few large ones and
    of many small ones.
    """

    def __init__(self, graphs, to_batch, of_structures, of_atoms=None, *, seed=0, device="cpu"):
        self.graphs = graphs
        self.to_batch = to_batch
        self.of_structures = dict(of_structures)
        self.of_atoms = dict(of_atoms or {})
        self.seed = seed
        self.device = device

    def __len__(self):
        return len(self.graphs)

    @property
    def n_rows(self):
        return len(self.graphs)

    @property
    def costs(self):
        """About what a structure costs: its atoms and, at a tenth, its bonds."""
        return self.graphs.counts("atom") + 0.1 * self.graphs.counts("bond")

    def arrays(self):
        """What tells this training set from others."""
        own = [*(getattr(self.graphs, name) for name in LEVELS), *self.graphs.offsets.values()]
        return [*own, *self.of_structures.values(), *self.of_atoms.values()]

    def _shares(self):
        """Share of each row in the loss: equal, or that of its atoms where these have weights."""
        counts = self.graphs.counts("atom") if "weight" in self.of_atoms else np.ones(len(self))
        return counts / counts.sum()

    def take(self, rows):
        starts, counts = self.graphs.offsets["atom"][rows], self.graphs.counts("atom")[rows]
        shifts = np.repeat(np.cumsum(counts) - counts - starts, counts)
        atoms = np.arange(counts.sum()) - shifts
        part = copy.copy(self)
        part.graphs = self.graphs.take(rows)
        part.of_structures = {name: values[rows] for name, values in self.of_structures.items()}
        part.of_atoms = {name: values[atoms] for name, values in self.of_atoms.items()}
        return part

    def split(self, seed, fraction):
        """Structures to train on and to validate on; None where none are kept."""
        training, held_out = draw_validation(seed, len(self), fraction)
        if len(held_out) == 0:
            return self, None
        return self.take(training), self.take(held_out)

    def gather(self, rows, share=1.0):
        """Structures with their targets, as tensors in single precision."""
        part = self.take(rows)
        targets = {
            name: torch.as_tensor(values, dtype=torch.float32).to(self.device)
            for name, values in (part.of_structures | part.of_atoms).items()
        }
        if "weight" in targets:
            targets["weight"] = targets["weight"] * share
        return self.to_batch(part.graphs, self.device, torch.float32), targets

    def n_batches(self, batch_size):
        return -(-len(self) // batch_size)

    def batches(self, batch_size, epoch):
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self))
        n_batches = self.n_batches(batch_size)
        shares = n_batches * self._shares()[order]
        for rows in pack(self.costs[order], n_batches):
            yield self.gather(order[rows], shares[rows].sum())

    def parts(self, batch_size=128):
        """Batches of all structures in their order, each with its share of them."""
        shares = self._shares()
        for rows in pack(self.costs, self.n_batches(batch_size)):
            yield shares[rows].sum(), self.gather(rows)

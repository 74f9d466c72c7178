"""Self-supervision: two changed views of every structure, and a net that trains on them."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from skorch.callbacks import PassthroughScoring

from trisk.nn import CrystalBatch
from trisk.structures.neighbors import find_neighbors
from trisk.training.datasets import StructureDataset, pack
from trisk.training.net import Net


@dataclass(frozen=True)
class ViewMaker:
    """Changes structures at random: displaced atoms, hidden elements, shorter sight, rotations.

    Every change is drawn anew for each structure in each of its two views, between the smallest
    and the largest value that is given; None leaves it out. They are the standard deviation of
    the `noise` in Å, on a logarithmic scale; the share of atoms that are `masked` (atomic number
    zero), one at least, in one of the two views: where both hid atoms, two views of a small cell
    could have no element in common, and would teach to forget elements; and the part of the
    `cutoff` in Å within which a view has neighbours. Structures are turned for backbones whose
    embeddings depend on it.
    """

    cutoff: float
    noise: tuple[float, float] | None = None
    masked: tuple[float, float] | None = None
    cutoff_range: tuple[float, float] | None = None
    rotate: bool = False

    def __call__(self, graphs, rng, part=slice(None)):
        """Make two views of each structure: all first ones, then all second ones.

        `part` chooses structures; what is drawn for them does not depend on it, so that
        processes can share a batch. The targets are ``elements`` ``(n_atoms,)``, before they
        were hidden; ``masked`` ``(n_atoms,)``; ``noise`` ``(n_atoms, 3)``, displacements over
        their standard deviation; and ``moved`` ``(n_atoms,)``, atoms that may be displaced.
        """
        counts = np.tile(graphs.counts("atom"), 2)
        numbers = np.tile(graphs.atomic_numbers, 2)
        positions = np.tile(graphs.positions, (2, 1))
        lattices, pbc = np.tile(graphs.lattices, (2, 1, 1)), np.tile(graphs.pbc, (2, 1))
        noise, moved = np.zeros_like(positions), np.zeros(len(positions), dtype=bool)
        if self.noise is not None:
            noise, moved = draw_noise(counts, rng), np.repeat(counts > 1, counts)
            sizes = np.exp(rng.uniform(*np.log(self.noise), size=len(counts)))
            positions = positions + noise * np.repeat(sizes, counts)[:, None]
        if self.rotate:
            rotations = draw_rotations(len(counts), rng)
            of_atom = np.repeat(rotations, counts, axis=0)
            positions = np.einsum("nij,nj->ni", of_atom, positions)
            noise = np.einsum("nij,nj->ni", of_atom, noise)
            lattices = np.einsum("nij,nkj->nki", rotations, lattices)
        masked = np.zeros(len(numbers), dtype=bool)
        if self.masked is not None:
            first = rng.random(len(graphs)) < 0.5
            masked = draw_masks(counts, self.masked, rng)
            masked &= np.repeat(np.concatenate([first, ~first]), counts)
        cutoffs = np.full(len(counts), self.cutoff)
        if self.cutoff_range is not None:
            cutoffs *= rng.uniform(*self.cutoff_range, size=len(counts))
        chosen = np.zeros(2 * len(graphs), dtype=bool)
        chosen.reshape(2, -1)[:, part] = True
        atoms = np.repeat(chosen, counts)
        numbers, positions, noise = numbers[atoms], positions[atoms], noise[atoms]
        masked, moved = masked[atoms], moved[atoms]
        counts, lattices, pbc, cutoffs = (a[chosen] for a in (counts, lattices, pbc, cutoffs))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        pairs = find_neighbors(positions, lattices, pbc, offsets, self.cutoff)
        near = pairs.lengths <= np.repeat(cutoffs, counts)[pairs.centers]
        batch = CrystalBatch.from_arrays(
            np.where(masked, 0, numbers),
            positions,
            lattices,
            counts,
            np.stack([pairs.centers, pairs.neighbors], 1)[near],
            pairs.images[near],
        )
        targets = {
            "elements": torch.from_numpy(numbers.astype(np.int64)),
            "masked": torch.from_numpy(masked),
            "noise": torch.from_numpy(noise.astype(np.float32)),
            "moved": torch.from_numpy(moved),
        }
        return batch, targets


def draw_noise(counts, rng):
    """Draw displacements with zero mean in each structure and, for several atoms, unit variance."""
    noise = rng.standard_normal((counts.sum(), 3))
    means = np.add.reduceat(noise, np.cumsum(counts) - counts) / counts[:, None]
    # A mean taken away lowers the variance by its own, one n-th.
    scale = np.where(counts > 1, np.sqrt(counts / np.maximum(counts - 1, 1)), 0.0)
    return (noise - np.repeat(means, counts, axis=0)) * np.repeat(scale, counts)[:, None]


def draw_masks(counts, share, rng):
    """Choose atoms to hide, at least one in each structure; each structure draws its share."""
    of_atom = np.repeat(rng.uniform(*share, size=len(counts)), counts)
    masked = rng.random(len(of_atom)) < of_atom
    starts = np.cumsum(counts) - counts
    none = ~np.logical_or.reduceat(masked, starts)
    masked[(starts + rng.integers(counts))[none]] = True
    return masked


def draw_rotations(n_rotations, rng):
    """Draw rotation matrices, all equally likely."""
    # A normal vector of four has no preferred direction, and so its rotation.
    return Rotation.from_quat(rng.standard_normal((n_rotations, 4))).as_matrix()


class ViewDataset(StructureDataset):
    """Structures of which views are made by seed, epoch and place; a process takes its `part`."""

    def __init__(self, graphs, make_views, *, seed, device, part=slice(None)):
        super().__init__(graphs, None, {}, seed=seed, device=device)
        self.make_views = make_views
        self.part = part

    @property
    def costs(self):
        """About what a structure costs: its atoms and, at a tenth, their neighbours."""
        volumes = np.maximum(np.abs(np.linalg.det(self.graphs.lattices)), 1.0)
        counts = self.graphs.counts("atom")
        neighbors = counts / volumes * (4 / 3 * np.pi * self.make_views.cutoff**3)
        return counts * (1 + 0.1 * neighbors)

    def batches(self, batch_size, epoch):
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self))
        for index, rows in enumerate(pack(self.costs[order], self.n_batches(batch_size))):
            rng = np.random.default_rng([self.seed, 2, epoch, index])
            batch, targets = self.make_views(self.graphs.take(order[rows]), rng, self.part)
            targets = {name: values.to(self.device) for name, values in targets.items()}
            yield batch.to(self.device), targets


class PretrainingNet(Net):
    """A net that records every objective and its gradients; several processes may share batches."""

    def __init__(self, *args, processes=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.processes = processes

    @property
    def _default_callbacks(self):
        weighted = self.criterion.weights
        means = [(name, PassthroughScoring(name=name, on_train=True)) for name in weighted]
        return [*super()._default_callbacks, *means]

    def train_step_single(self, batch, **fit_params):
        views, targets = batch
        terms = self.criterion_.terms(self.infer(views), targets)
        loss = self.criterion_.total(terms)
        loss.backward()
        self._average([p.grad for p in self.module_.parameters() if p.grad is not None])
        record = {name: term.detach() for name, term in terms.items()}
        return {"loss": loss.detach(), "y_pred": None, "record": record}

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Count the structures of all processes, by which an epoch's mean weighs its batches."""
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        if self.processes is not None:
            size = torch.tensor(len(batch[0]), device=self.processes.device)
            self.history.record_batch("train_batch_size", int(self.processes.reduce(size)))

    def _average(self, gradients):
        """Average gradients over processes, in place."""
        if self.processes is None:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat = self.processes.reduce(flat, reduction="mean")
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

"""Two randomly changed views of every crystal."""

from dataclasses import dataclass

import numpy as np
import torch

from trisk.nn import CrystalBatch
from trisk.structures.graphs import CrystalGraphs
from trisk.structures.neighbors import find_neighbors


@dataclass(frozen=True)
class ViewMaker:
    """Changes crystals at random: displaced atoms, hidden elements, shorter sight, rotations.

    Every change is drawn anew for each structure in each of its two views.

    Parameters
    ----------
    cutoff : float
        Largest distance of neighbours, in Å.
    noise : tuple of float or None
        Smallest and largest standard deviation of displacements, in Å, drawn with equal
        probability on a logarithmic scale. None displaces nothing.
    masked : tuple of float or None
        Smallest and largest share of atoms whose element is hidden (atomic number zero), one
        atom at least, in one of the two views: where both hid atoms, two views of a small cell
        could have no element in common, and would teach to forget elements. None hides nothing.
    reach : tuple of float or None
        Smallest and largest part of the cutoff within which a view has neighbours.
    rotate : bool
        Whether to turn the crystals, for backbones whose embeddings depend on it.
    """

    cutoff: float
    noise: tuple[float, float] | None = None
    masked: tuple[float, float] | None = None
    reach: tuple[float, float] | None = None
    rotate: bool = False

    def __call__(self, graphs, rng, part=slice(None)):
        """Make two views of each structure.

        Parameters
        ----------
        graphs : CrystalGraphs
            Crystals; their bonds are not looked at.
        rng : numpy.random.Generator
            Source of chance.
        part : slice, default=slice(None)
            Structures whose views are wanted. What is drawn for them does not depend on it, so
            that processes can share a batch.

        Returns
        -------
        batch : CrystalBatch
            All first views, then all second views in the same order.
        targets : dict of str to Tensor
            ``elements`` ``(n_atoms,)``: atomic numbers before they were hidden; ``masked``
            ``(n_atoms,)``: which are hidden; ``noise`` ``(n_atoms, 3)``: displacements over
            their standard deviation, with zero mean in each structure and, where there are
            several atoms, unit variance; ``moved`` ``(n_atoms,)``: atoms of such structures.
        """
        counts = np.tile(graphs.counts("atom"), 2)
        numbers = np.tile(graphs.atomic_numbers, 2)
        positions = np.tile(graphs.positions, (2, 1))
        lattices = np.tile(graphs.lattices, (2, 1, 1))
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
            masked = draw_masks(counts, self.masked, rng)
            masked &= np.repeat(_one_of_two(len(graphs), rng), counts)
        reach = np.full(len(counts), self.cutoff)
        if self.reach is not None:
            reach *= rng.uniform(*self.reach, size=len(counts))
        chosen = np.zeros(2 * len(graphs), dtype=bool)
        chosen.reshape(2, -1)[:, part] = True
        atoms = np.repeat(chosen, counts)
        numbers, positions, noise = numbers[atoms], positions[atoms], noise[atoms]
        masked, moved = masked[atoms], moved[atoms]
        counts, lattices = counts[chosen], lattices[chosen]
        pairs = self._connect(positions, lattices, counts, reach[chosen])
        batch = CrystalBatch.from_arrays(
            np.where(masked, 0, numbers), positions, lattices, counts, *pairs
        )
        targets = {
            "elements": torch.from_numpy(numbers.astype(np.int64)),
            "masked": torch.from_numpy(masked),
            "noise": torch.from_numpy(noise.astype(np.float32)),
            "moved": torch.from_numpy(moved),
        }
        return batch, targets

    def _connect(self, positions, lattices, counts, reach):
        """Pairs of neighbours and their cells, with a cutoff of its own for each view."""
        offsets = np.concatenate([[0], np.cumsum(counts)])
        periodic = np.ones((len(lattices), 3), dtype=bool)
        pairs = find_neighbors(positions, lattices, periodic, offsets, self.cutoff)
        near = pairs.lengths <= np.repeat(reach, counts)[pairs.centers]
        return np.stack([pairs.centers, pairs.neighbors], 1)[near], pairs.images[near]


def draw_noise(counts, rng):
    """Draw displacements with zero mean in each structure and, for several atoms, unit variance.

    Parameters
    ----------
    counts : ndarray of shape (n_structures,)
        Atoms of each structure, at least one.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of shape (n_atoms, 3)
        Displacements; zero for a structure of one atom.
    """
    noise = rng.standard_normal((counts.sum(), 3))
    means = np.add.reduceat(noise, np.cumsum(counts) - counts) / counts[:, None]
    # A mean taken away lowers the variance by its own, one n-th.
    scale = np.where(counts > 1, np.sqrt(counts / np.maximum(counts - 1, 1)), 0.0)
    return (noise - np.repeat(means, counts, axis=0)) * np.repeat(scale, counts)[:, None]


def _one_of_two(n_structures, rng):
    """Choose the first or the second view of each structure."""
    first = rng.random(n_structures) < 0.5
    return np.concatenate([first, ~first])


def draw_masks(counts, share, rng):
    """Choose atoms to hide, at least one in each structure.

    Parameters
    ----------
    counts : ndarray of shape (n_structures,)
        Atoms of each structure, at least one.
    share : tuple of float
        Smallest and largest share; that of each structure is drawn between them.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of bool of shape (n_atoms,)
        Chosen atoms.
    """
    of_atom = np.repeat(rng.uniform(*share, size=len(counts)), counts)
    masked = rng.random(len(of_atom)) < of_atom
    starts = np.cumsum(counts) - counts
    none = ~np.logical_or.reduceat(masked, starts)
    masked[(starts + rng.integers(counts))[none]] = True
    return masked


def draw_rotations(n_rotations, rng):
    """Draw rotations, all equally likely.

    Parameters
    ----------
    n_rotations : int
        How many.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of shape (n_rotations, 3, 3)
        Rotation matrices.
    """
    from scipy.spatial.transform import Rotation

    # A normal vector of four has no preferred direction, and so its rotation.
    return Rotation.from_quat(rng.standard_normal((n_rotations, 4))).as_matrix()


def neighbor_estimate(graphs: CrystalGraphs, cutoff):
    """Estimate how many neighbours an atom has, from the density alone.

    Parameters
    ----------
    graphs : CrystalGraphs
        Crystals.
    cutoff : float
        Largest distance, in Å.

    Returns
    -------
    ndarray of shape (n_structures,)
        Mean number of neighbours.
    """
    volumes = np.abs(np.linalg.det(graphs.lattices))
    return graphs.counts("atom") / volumes * (4 / 3 * np.pi * cutoff**3)

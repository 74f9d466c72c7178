"""Neighbour lists against ASE's, over cells, cutoffs and orientations."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import primitive_neighbor_list
from scipy.spatial.transform import Rotation

from trisk.featurizers.structure._graph_arrays import SHELL_GAP, nearest_bonds
from trisk.structures import find_neighbors

RNG = np.random.default_rng(0)


def random_cell(cell, n_atoms):
    atoms = Atoms("H" * n_atoms, cell=cell, pbc=True)
    atoms.set_scaled_positions(RNG.random((n_atoms, 3)))
    return atoms


def outside():
    """A crystal whose atoms are listed far outside the cell."""
    atoms = bulk("Si", cubic=True)
    atoms.positions += RNG.integers(-3, 4, (8, 3)) @ atoms.cell[:]
    return atoms


def slab(periodic):
    atoms = random_cell([4.1, 5.2, 20], 6)
    atoms.pbc = periodic
    return atoms


def in_a_box(atoms, shift):
    atoms.set_cell([3, 4, 5])
    atoms.positions += shift
    return atoms


CELLS = {
    "one atom": bulk("Cu"),
    "two atoms": bulk("NaCl", "rocksalt", a=5.64),
    "skewed": random_cell([[3, 0, 0], [7, 3, 0], [-5, 8, 4]], 3),
    "very skewed": random_cell([[3, 0, 0], [17, 3.1, 0], [13, -21, 4.2]], 2),
    "thin": random_cell([2.03, 2.21, 40], 5),
    "needle": random_cell([1.5, 30, 35], 4),
    "large": random_cell([18, 19, 20], 200),
    "left-handed": random_cell([[0, 4.1, 0], [4.2, 0, 0], [0, 0, 4.3]], 3),
    "atoms outside the cell": outside(),
    "periodic in a plane": slab([True, True, False]),
    "periodic along a line": slab([False, True, False]),
    "a molecule far outside a cell": in_a_box(molecule("C6H6"), [31.0, -17.0, 8.0]),
}


def pairs_of(i, j, images, lengths):
    return sorted(zip(i, j, *np.asarray(images).T, np.round(lengths, 6), strict=True))


@pytest.mark.parametrize("cutoff", [2.5, 4.7, 8.0])
@pytest.mark.parametrize("name", CELLS)
def test_find_neighbors__any_cell__equals_ase_in_every_orientation(name, cutoff):
    atoms = CELLS[name]
    i, j, images, lengths = primitive_neighbor_list(
        "ijSd", atoms.pbc, atoms.cell, atoms.positions, cutoff
    )
    expected = pairs_of(i, j, images, lengths)
    for turn in (Rotation.identity(), Rotation.random(None, 1), Rotation.random(None, 2)):
        positions, cell = turn.apply(atoms.positions), turn.apply(atoms.cell[:])
        found = find_neighbors(
            positions, cell[None], atoms.pbc[None], np.array([0, len(atoms)]), cutoff
        )
        pairs = pairs_of(found.centers, found.neighbors, found.images, found.lengths)
        assert [p[:5] for p in pairs] == [p[:5] for p in expected]
        np.testing.assert_allclose([p[5] for p in pairs], [p[5] for p in expected], atol=2e-6)
        vectors = positions[found.neighbors] + found.images @ cell - positions[found.centers]
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), found.lengths, atol=1e-9)


def test_find_neighbors__several_structures__are_kept_apart_and_sorted():
    batch = [CELLS["one atom"], CELLS["skewed"], CELLS["thin"]]
    offsets = np.cumsum([0] + [len(atoms) for atoms in batch])
    found = find_neighbors(
        np.concatenate([atoms.positions for atoms in batch]),
        np.stack([atoms.cell[:] for atoms in batch]),
        np.stack([atoms.pbc for atoms in batch]),
        offsets,
        5.3,
    )
    for row, atoms in enumerate(batch):
        own = (found.centers >= offsets[row]) & (found.centers < offsets[row + 1])
        expected = primitive_neighbor_list("d", atoms.pbc, atoms.cell, atoms.positions, 5.3)
        np.testing.assert_allclose(np.sort(found.lengths[own]), np.sort(expected), atol=1e-9)
        assert (found.neighbors[own] >= offsets[row]).all()
        assert (found.neighbors[own] < offsets[row + 1]).all()
    ordered = np.lexsort((found.lengths, found.centers))
    np.testing.assert_array_equal(found.lengths[ordered], found.lengths)
    np.testing.assert_array_equal(found.centers[ordered], found.centers)


def test_find_neighbors__nothing__gives_nothing():
    nothing = np.empty((0, 3))
    found = find_neighbors(nothing, np.empty((0, 3, 3)), np.empty((0, 3), bool), np.array([0]), 5)
    assert len(found.centers) == len(found.lengths) == 0
    assert found.images.shape == (0, 3)


@pytest.mark.parametrize("n_neighbors", [1, 6, 12, 30])
def test_find_neighbors__nearest_only__finds_whole_shells_as_the_full_search(n_neighbors):
    batch = [*CELLS.values(), bulk("Si"), bulk("Fe"), bulk("CsCl", "cesiumchloride", a=4.12)]
    arrays = (
        np.concatenate([atoms.positions for atoms in batch]),
        np.stack([atoms.cell[:] for atoms in batch]),
        np.stack([atoms.pbc for atoms in batch]),
        np.cumsum([0] + [len(atoms) for atoms in batch]),
        6.1,
    )
    every = find_neighbors(*arrays)
    nearest = find_neighbors(*arrays, n_neighbors=n_neighbors, shell_gap=SHELL_GAP)
    assert len(nearest.lengths) < len(every.lengths)
    expected, found = nearest_bonds(every, n_neighbors), nearest_bonds(nearest, n_neighbors)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    # Neighbours at one distance may stand in any order.
    pairs = [
        pairs_of(bonds.centers, bonds.neighbors, bonds.images, bonds.lengths)
        for bonds in (found, expected)
    ]
    assert pairs[0] == pairs[1]

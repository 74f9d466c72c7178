"""Crystals that the graph tests share, and what is compared between their graphs."""

import itertools

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from trisk.featurizers import CrystalGraphFeaturizer

LEVELS = ("atom", "bond", "angle", "dihedral")


def quartz():
    return Structure.from_spacegroup(
        "P3_121",
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.2144]],
    )


def monoclinic():
    """Seven atoms without symmetry."""
    rng = np.random.default_rng(3)
    lattice = Lattice.from_parameters(5.1, 6.3, 5.8, 81, 97, 112)
    points = np.array(list(itertools.product((0.1, 0.6), (0.1, 0.6), (0.1, 0.6))))[:7]
    return Structure(
        lattice, ["Ti", "O", "O", "Ca", "O", "Fe", "S"], points + 0.08 * rng.random((7, 3))
    )


def silicon():
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])


def rock_salt():
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


CRYSTALS = {f.__name__: f() for f in (quartz, monoclinic, silicon, rock_salt)}


def random_crystal(rng):
    """Atoms anywhere in a cell of any shape, or on a grid in a regular one, where shells are."""
    n_atoms = rng.integers(1, 8)
    if rng.random() < 0.5:
        lattice = Lattice.from_parameters(*rng.uniform(3, 9, 3), *rng.uniform(65, 115, 3))
        points = rng.random((n_atoms, 3))
    else:
        a, c = rng.uniform(3, 7, 2)
        regular = Lattice.cubic(a), Lattice.tetragonal(a, c), Lattice.hexagonal(a, c)
        lattice = regular[rng.integers(3)]
        points = rng.integers(0, 4, (n_atoms, 3)) / 4
    return Structure(lattice, rng.choice(["Na", "Cl", "O", "Fe"], n_atoms), points)


def another_description(crystal, rng):
    """The same crystal: other cell, larger or not, orientation, origin and order of atoms."""
    shears = rng.integers(-2, 3, 3)
    cell = [[1, shears[0], shears[1]], [0, 1, shears[2]], [0, 0, rng.integers(1, 3)]]
    larger = crystal.make_supercell(cell, in_place=False)
    order = rng.permutation(len(larger))
    return Structure(
        larger.lattice.matrix @ Rotation.random(None, rng).as_matrix().T,
        [larger[i].specie for i in order],
        larger.frac_coords[order] + rng.uniform(-2, 2, 3),
    )


def build(structures, **parameters):
    return CrystalGraphFeaturizer(**{"composition": None, **parameters}).fit_transform(structures)


def bond_vectors(graphs):
    i, j = graphs.bond_atoms.T
    rows = np.repeat(np.arange(len(graphs)), graphs.counts("bond"))
    shifts = np.einsum("bi,bij->bj", graphs.bond_images, graphs.lattices[rows])
    return graphs.positions[j] + shifts - graphs.positions[i]


def summary(graphs):
    """What cell, orientation and order of atoms must not change: bonds, angles, dihedrals."""
    i, j = graphs.bond_atoms.T
    elements = 128 * graphs.atomic_numbers[i] + graphs.atomic_numbers[j]
    # Sorted by the pair of elements and then by length.
    return {
        "bonds": np.sort(10.0 * elements + graphs.bond_lengths),
        "angles": np.sort(graphs.angle_cosines),
        "dihedrals": np.sort(graphs.dihedral_cosines),
    }


def assert_same_crystal(before, after, times=1):
    """The second graph holds the environments of the first, each so many times."""
    other = summary(after)
    for name, values in summary(before).items():
        expected = np.repeat(values, times)
        np.testing.assert_allclose(other[name], expected, rtol=0, atol=5e-5, err_msg=name)


def equal_graphs(a, b):
    for name, value in vars(a).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)
            assert value.dtype == getattr(b, name).dtype
    for level in LEVELS:
        np.testing.assert_array_equal(a.offsets[level], b.offsets[level])
    assert a.names == b.names

"""The geometry of crystal graphs: against brute force, and under all that must not change it."""

import itertools

import numpy as np
import pytest
from crystals import (
    CRYSTALS,
    another_description,
    assert_same_crystal,
    bond_vectors,
    build,
    random_crystal,
)
from pymatgen.core import Structure
from scipy.spatial.transform import Rotation

from trisk.featurizers import CrystalGraphFeaturizer


@pytest.mark.parametrize("name", CRYSTALS)
def test_bonds__any_crystal__are_the_nearest_whole_shells(name):
    crystal = CRYSTALS[name]
    graphs = build([crystal])
    np.testing.assert_allclose(
        np.linalg.norm(bond_vectors(graphs), axis=1), graphs.bond_lengths, atol=1e-5
    )
    centers, _, _, lengths = crystal.get_neighbor_list(8.0)
    for atom in range(len(crystal)):
        every = np.sort(lengths[centers == atom])
        kept = graphs.bond_lengths[graphs.bond_atoms[:, 0] == atom]
        assert len(kept) >= 12
        assert (np.diff(kept) >= 0).all()
        np.testing.assert_allclose(kept, every[: len(kept)], atol=1e-5)
        assert every[len(kept)] - every[len(kept) - 1] > 0.01
        assert every[len(kept) - 1] - every[11] < 0.01 * (len(kept) - 11)


@pytest.mark.parametrize("name", CRYSTALS)
def test_angles__any_crystal__equal_the_vectors_angles(name):
    graphs = build([CRYSTALS[name]])
    vectors = bond_vectors(graphs)
    a, b = graphs.angle_bonds.T
    assert (graphs.bond_atoms[a, 0] == graphs.bond_atoms[b, 0]).all()
    assert (graphs.bond_lengths[a] <= graphs.bond_lengths[b]).all()
    assert len({(x, y) for x, y in zip(a, b, strict=True)}) == len(a)
    dots = (vectors[a] * vectors[b]).sum(axis=1)
    expected = dots / (graphs.bond_lengths[a] * graphs.bond_lengths[b])
    np.testing.assert_allclose(graphs.angle_cosines, expected, atol=1e-6)


def n_in_shells(lengths, limit):
    """Number of the nearest neighbours that the last shell boundary below a limit allows."""
    ends = [n for n in range(1, len(lengths)) if lengths[n] - lengths[n - 1] > 0.01]
    return max((n for n in ends if n <= limit), default=0)


def brute_force_dihedrals(graphs, n_nearest):
    """Cosines of all k-i-j-l of one structure in plain Python, through cross products."""
    vectors = bond_vectors(graphs)
    nearest = {}
    for b, (i, _) in enumerate(graphs.bond_atoms):
        nearest.setdefault(int(i), []).append(b)
    nearest = {i: bonds[: n_nearest[i]] for i, bonds in nearest.items()}
    found = []
    for p in itertools.chain(*nearest.values()):
        i, j = map(int, graphs.bond_atoms[p])
        for q in nearest[j]:
            back = graphs.bond_atoms[q, 1] == i
            if not back or (graphs.bond_images[q] != -graphs.bond_images[p]).any():
                continue
            for k, m in itertools.product(nearest[i], nearest[j]):
                if k == p or m == q:
                    continue
                n1 = np.cross(vectors[k], vectors[p])
                n2 = np.cross(vectors[m], vectors[p])
                sines = [
                    np.linalg.norm(n) / np.linalg.norm(vectors[p]) / np.linalg.norm(vectors[e])
                    for n, e in ((n1, k), (n2, m))
                ]
                if min(sines) > 0.05:
                    found.append(n1 @ n2 / np.linalg.norm(n1) / np.linalg.norm(n2))
    return np.sort(found)


@pytest.mark.parametrize(
    ("name", "n_neighbors"), [("quartz", 4), ("monoclinic", 5), ("silicon", 4), ("rock_salt", 6)]
)
def test_dihedrals__any_crystal__equal_brute_force(name, n_neighbors):
    graphs = build([CRYSTALS[name]], n_dihedral_neighbors=n_neighbors)
    n_nearest = [
        n_in_shells(graphs.bond_lengths[graphs.bond_atoms[:, 0] == atom], n_neighbors)
        for atom in range(len(graphs.atomic_numbers))
    ]
    expected = brute_force_dihedrals(graphs, n_nearest)
    assert len(expected) > 10
    # Each dihedral stands in the list once, and brute force meets it from both its ends.
    np.testing.assert_allclose(
        np.sort(graphs.dihedral_cosines), expected.reshape(-1, 2).mean(axis=1), atol=1e-5
    )


def test_dihedrals__point_to_two_angles_that_share_the_middle_bond():
    graphs = build([CRYSTALS["quartz"]])
    for pair in graphs.dihedral_angles:
        (b1, b2), (b3, b4) = graphs.angle_bonds[pair]
        ends = [
            (x, y)
            for x in (b1, b2)
            for y in (b3, b4)
            if (graphs.bond_atoms[x] == graphs.bond_atoms[y][::-1]).all()
            and (graphs.bond_images[x] == -graphs.bond_images[y]).all()
        ]
        assert len(ends) == 1


def test_silicon__staggered_bonds__have_dihedrals_of_60_and_180_degrees():
    graphs = build([CRYSTALS["silicon"]])
    values, counts = np.unique(graphs.dihedral_cosines.round(4), return_counts=True)
    np.testing.assert_allclose(values, [-1, 0.5], atol=1e-4)
    assert counts[1] == 2 * counts[0]


@pytest.mark.parametrize("name", CRYSTALS)
def test_graph__rotation_translation_permutation__changes_nothing(name):
    crystal = CRYSTALS[name]
    turn = Rotation.random(None, 5).as_matrix()
    order = np.random.default_rng(0).permutation(len(crystal))
    moved = Structure(
        crystal.lattice.matrix @ turn.T,
        [crystal[i].specie for i in order],
        crystal.frac_coords[order] + [0.31, -1.7, 0.05],
    )
    assert_same_crystal(build([crystal]), build([moved]))


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("cell", [(2, 1, 1), [[1, 1, 0], [0, 1, 0], [0, 0, 1]], (1, 2, 3)])
def test_graph__supercell__repeats_the_same_environments(name, cell):
    crystal = CRYSTALS[name]
    larger = crystal.make_supercell(cell, in_place=False)
    times = len(larger) // len(crystal)
    assert_same_crystal(build([crystal]), build([larger]), times)


# Some of them have atoms too close to each other, in both descriptions.
@pytest.mark.filterwarnings("ignore:CrystalGraphFeaturizer")
def test_graph__random_crystals__depend_on_nothing_but_the_crystal():
    rng = np.random.default_rng(0)
    crystals = [random_crystal(rng) for _ in range(150)]
    others = [another_description(crystal, rng) for crystal in crystals]
    times = [len(other) // len(crystal) for crystal, other in zip(crystals, others, strict=True)]
    featurizer = CrystalGraphFeaturizer(
        n_dihedral_neighbors=6, composition=None, on_error="nan"
    ).fit([])
    before, after = featurizer.transform(crystals), featurizer.transform(others)
    failed = featurizer.explain_errors(crystals)["row"].tolist()
    assert featurizer.explain_errors(others)["row"].tolist() == failed
    assert len(failed) < 50
    for row in range(150):
        assert_same_crystal(before[row], after[row], times[row])

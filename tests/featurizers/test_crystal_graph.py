"""Crystal graphs: geometry against brute force, invariance, sensors, scikit-learn's contract."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

import trisk
from trisk.featurizers import (
    CompositionFeaturizer,
    CrystalGraphFeaturizer,
    FeaturizationError,
    PotentialFeaturizer,
)

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
GEOMETRY = CrystalGraphFeaturizer(composition=None)


def build(structures, **parameters):
    return CrystalGraphFeaturizer(**{"composition": None, **parameters}).fit_transform(structures)


def bond_vectors(graphs):
    i, j = graphs.bond_atoms.T
    rows = np.repeat(np.arange(len(graphs)), graphs.counts("bond"))
    shifts = np.einsum("bi,bij->bj", graphs.bond_images, graphs.lattices[rows])
    return graphs.positions[j] + shifts - graphs.positions[i]


def summary(graphs):
    """What the choice of cell, order of atoms and orientation must not change."""
    z = graphs.atomic_numbers
    i, j = graphs.bond_atoms.T
    bonds = np.sort([f"{a}-{b} {d:.3f}" for a, b, d in zip(z[i], z[j], graphs.bond_lengths)])  # noqa: B905
    return (
        bonds,
        np.sort(graphs.angle_cosines),
        np.sort(graphs.dihedral_cosines),
    )


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
    turn = Rotation.random(rng=5).as_matrix()
    order = np.random.default_rng(0).permutation(len(crystal))
    moved = Structure(
        crystal.lattice.matrix @ turn.T,
        [crystal[i].specie for i in order],
        crystal.frac_coords[order] + [0.31, -1.7, 0.05],
    )
    for before, after in zip(summary(build([crystal])), summary(build([moved])), strict=True):
        if before.dtype.kind == "U":
            assert before.tolist() == after.tolist()
        else:
            np.testing.assert_allclose(before, after, atol=2e-5)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("cell", [(2, 1, 1), [[1, 1, 0], [0, 1, 0], [0, 0, 1]], (1, 2, 3)])
def test_graph__supercell__repeats_the_same_environments(name, cell):
    crystal = CRYSTALS[name]
    larger = crystal.make_supercell(cell, in_place=False)
    times = len(larger) // len(crystal)
    before, after = build([crystal]), build([larger])
    for level in LEVELS:
        assert after.counts(level)[0] == times * before.counts(level)[0]
    for a, b in zip(summary(before), summary(after), strict=True):
        if a.dtype.kind == "U":
            assert np.repeat(a, times).tolist() == b.tolist()
        else:
            np.testing.assert_allclose(np.repeat(a, times), b, atol=2e-5)


def test_order__smaller__leaves_the_higher_levels_empty():
    crystals = list(CRYSTALS.values())
    full = build(crystals)
    for order in (1, 2, 3):
        graphs = build(crystals, order=order)
        np.testing.assert_array_equal(graphs.bond_lengths, full.bond_lengths)
        for level in LEVELS[:order]:
            np.testing.assert_array_equal(graphs.offsets[level], full.offsets[level])
        for level in LEVELS[1 + order :]:
            assert graphs.offsets[level][-1] == 0


def test_batch__equals_its_structures_one_by_one():
    crystals = list(CRYSTALS.values())
    batch = build(crystals)
    for row, crystal in enumerate(crystals):
        alone, part = build([crystal]), batch[row : row + 1]
        for name in ("bond_atoms", "bond_images", "angle_bonds", "dihedral_angles"):
            np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))
        np.testing.assert_array_equal(part.dihedral_cosines, alone.dihedral_cosines)


def test_arrays__are_single_precision_and_small_integers():
    graphs = CrystalGraphFeaturizer().fit_transform(list(CRYSTALS.values()))
    for name, value in vars(graphs).items():
        if isinstance(value, np.ndarray) and name not in ("positions", "lattices"):
            assert value.dtype in (np.float32, np.int32), name
    assert graphs.atom_features.shape[1] == len(graphs.names["atom_features"]) == 18
    assert np.isfinite(graphs.atom_features).all()


def test_cutoff__without_a_number_of_neighbours__bonds_all_within():
    graphs = build([CRYSTALS["quartz"]], n_neighbors=None, cutoff=5.0)
    assert graphs.counts("bond")[0] == len(CRYSTALS["quartz"].get_neighbor_list(5.0)[0])
    few = build([CRYSTALS["silicon"]], cutoff=3.0)
    assert few.counts("bond")[0] == 8 * 4  # fewer than 12 within the cutoff


def test_sensors__are_physical():
    graphs = build([CRYSTALS["quartz"], CRYSTALS["rock_salt"]])
    assert graphs.names["bond_sensors"] == (
        "bond stiffness (N/m)", "reduced mass (u)", "Einstein frequency (1/cm)",
    )  # fmt: skip
    k, mu, omega = graphs.bond_sensors.T.astype(float)
    light, speed = 1.66053906660e-27, 2.99792458e10
    np.testing.assert_allclose(omega, np.sqrt(k / mu / light) / (2 * np.pi * speed), rtol=1e-4)
    z = graphs.atomic_numbers[graphs.bond_atoms]
    silica = (z.sum(axis=1) == 22) & (graphs.bond_lengths < 1.7)
    np.testing.assert_allclose(mu[silica], 28.0855 * 15.9994 / 44.0849, rtol=1e-3)
    # Si–O stretches of quartz lie at 800 to 1,100 cm⁻¹.
    assert ((omega[silica] > 700) & (omega[silica] < 1300)).all()
    assert build([CRYSTALS["quartz"]], physics=False).bond_sensors.shape[1] == 0


def test_context__equals_the_composition_featurizers():
    crystals = list(CRYSTALS.values())
    graphs = CrystalGraphFeaturizer().fit_transform(crystals)
    expected = CompositionFeaturizer(blocks=["magpie", "mat2vec"]).fit_transform(crystals)
    assert graphs.names["context"] == tuple(expected.columns)
    np.testing.assert_allclose(graphs.context, expected, rtol=1e-5, atol=1e-4)


def test_input__every_kind__gives_the_same_graph(tmp_path):
    crystal = CRYSTALS["quartz"]
    path = tmp_path / "quartz.cif"
    crystal.to(filename=str(path), fmt="cif", symprec=None)
    kinds = [
        crystal,
        crystal.as_dict(),
        crystal.to_ase_atoms(),
        path,
        str(path),
        path.read_text(encoding="utf-8"),
        crystal.copy().add_oxidation_state_by_element({"Si": 4, "O": -2}),
    ]
    graphs = build(kinds)
    for row in range(1, len(kinds)):
        np.testing.assert_allclose(graphs[row].bond_lengths, graphs[0].bond_lengths, atol=1e-4)
        np.testing.assert_array_equal(graphs[row].bond_sensors[:, 1], graphs[0].bond_sensors[:, 1])


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        tuple,
        lambda x: pd.Series(x, index=[7, 8, 9, 10]),
        lambda x: pd.DataFrame({"structure": x}),
        lambda x: np.fromiter(x, dtype=object, count=len(x)),
        lambda x: [[value] for value in x],
    ],
)
def test_input__every_container__gives_the_same_graphs(wrap):
    crystals = list(CRYSTALS.values())
    graphs = build(wrap(crystals))
    np.testing.assert_array_equal(graphs.bond_lengths, build(crystals).bond_lengths)


def test_input__nothing__gives_no_graphs():
    graphs = CrystalGraphFeaturizer().fit(list(CRYSTALS.values())).transform([])
    assert len(graphs) == 0
    assert graphs.context.shape == (0, 332)


def test_contract__clone_pickle_tags_names():
    featurizer = CrystalGraphFeaturizer(order=2, n_neighbors=8)
    assert clone(featurizer).get_params() == featurizer.get_params()
    with pytest.raises(NotFittedError):
        featurizer.transform(list(CRYSTALS.values()))
    frame = pd.DataFrame({"structure": list(CRYSTALS.values())})
    graphs = featurizer.fit_transform(frame)
    assert featurizer.feature_names_in_.tolist() == ["structure"]
    again = pickle.loads(pickle.dumps(featurizer)).transform(frame)
    np.testing.assert_array_equal(again.angle_cosines, graphs.angle_cosines)
    tags = get_tags(featurizer)
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("order", 4), ("n_neighbors", 0), ("cutoff", -1.0), ("composition", "magpie"),
     ("composition", ("nonsense",)), ("physics", 3), ("n_angle_neighbors", 1)],
)  # fmt: skip
def test_contract__bad_parameter__is_named(parameter, value):
    with pytest.raises(ValueError, match=parameter if value != ("nonsense",) else "nonsense"):
        CrystalGraphFeaturizer(**{parameter: value}).fit([])


def test_save_and_load__gives_the_same_graphs(tmp_path):
    featurizer = CrystalGraphFeaturizer(n_neighbors=6, memory=tmp_path).fit([])
    trisk.save(featurizer, tmp_path / "graphs.trisk")
    loaded = trisk.load(tmp_path / "graphs.trisk")
    crystals = list(CRYSTALS.values())
    a, b = featurizer.transform(crystals), loaded.transform(crystals)
    np.testing.assert_array_equal(a.context, b.context)
    np.testing.assert_array_equal(a.bond_lengths, b.bond_lengths)


def test_n_jobs__two_processes__give_the_same_graphs(monkeypatch):
    crystals = [bulk("Cu").repeat(n) for n in (1, 2, 3)]
    one = build(crystals)
    monkeypatch.setattr("trisk.featurizers._crystal_graph._CHUNK_ATOMS", 20)
    two = build(crystals, n_jobs=2)
    np.testing.assert_array_equal(one.bond_atoms, two.bond_atoms)
    np.testing.assert_array_equal(one.angle_bonds, two.angle_bonds)


def test_progress__only_when_asked_for(capsys):
    build([CRYSTALS["silicon"]])
    assert capsys.readouterr().err == ""
    build([CRYSTALS["silicon"]], verbose=1)
    assert "crystal graphs" in capsys.readouterr().err


def equal_graphs(a, b):
    for name, value in vars(a).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)
            assert value.dtype == getattr(b, name).dtype
    for level in LEVELS:
        np.testing.assert_array_equal(a.offsets[level], b.offsets[level])
    assert a.names == b.names


def test_memory__second_run_and_other_folds__compute_nothing(tmp_path, monkeypatch):
    crystals = list(CRYSTALS.values())
    featurizer = CrystalGraphFeaturizer(memory=tmp_path / "cache")
    first = featurizer.fit_transform(crystals)
    equal_graphs(first, CrystalGraphFeaturizer().fit_transform(crystals))

    monkeypatch.setattr("trisk.featurizers._crystal_graph.build_graphs", None)
    equal_graphs(featurizer.transform(crystals), first)
    equal_graphs(clone(featurizer).fit_transform(crystals[::-1]), first[::-1])
    equal_graphs(featurizer.transform([crystals[1], crystals[1]]), first[[1, 1]])


def test_memory__some_known__computes_the_rest(tmp_path):
    crystals = list(CRYSTALS.values())
    featurizer = CrystalGraphFeaturizer(memory=str(tmp_path))
    featurizer.fit_transform(crystals[1:3])
    equal_graphs(featurizer.transform(crystals), CrystalGraphFeaturizer().fit_transform(crystals))


@pytest.mark.parametrize(
    "other",
    [{"order": 2}, {"n_neighbors": 8}, {"cutoff": 4.0}, {"physics": False},
     {"n_angle_neighbors": 6}, {"n_dihedral_neighbors": 6}],
)  # fmt: skip
def test_memory__other_parameters__are_kept_apart(tmp_path, other):
    crystals = list(CRYSTALS.values())
    build(crystals, memory=tmp_path)
    equal_graphs(build(crystals, memory=tmp_path, **other), build(crystals, **other))


def test_memory__moved_atom__is_another_structure(tmp_path):
    crystal = CRYSTALS["quartz"]
    moved = crystal.copy().translate_sites([0], [1e-6, 0, 0])
    build([crystal], memory=tmp_path)
    equal_graphs(build([moved], memory=tmp_path), build([moved]))


def test_memory__files__are_read_once(tmp_path, monkeypatch):
    paths = []
    for name, crystal in CRYSTALS.items():
        paths.append(tmp_path / f"{name}.cif")
        crystal.to(filename=str(paths[-1]), fmt="cif")
    values = [*map(str, paths), paths[0].read_text(encoding="utf-8"), "no file.cif"]
    featurizer = CrystalGraphFeaturizer(memory=tmp_path / "cache", on_error="nan").fit(values)
    with pytest.warns(UserWarning, match="1 of 6 rows"):
        first = featurizer.transform(values)
    equal_graphs(first[:4], CrystalGraphFeaturizer().fit_transform(paths))

    monkeypatch.setattr("pymatgen.core.Structure.from_file", None)
    monkeypatch.setattr("pymatgen.core.Structure.from_str", None)
    with pytest.warns(UserWarning, match="1 of 6 rows"):
        equal_graphs(featurizer.transform(values), first)
    assert featurizer.errors_["row"].tolist() == [5]


def test_memory__file_with_other_content__is_read_again(tmp_path):
    path = tmp_path / "crystal.cif"
    featurizer = CrystalGraphFeaturizer(memory=tmp_path)
    for crystal in (CRYSTALS["quartz"], CRYSTALS["silicon"]):
        crystal.to(filename=str(path), fmt="cif")
        graphs = featurizer.fit_transform([path])
        assert graphs.counts("atom")[0] == len(crystal)


def metals():
    return [bulk("Cu"), bulk("Au"), bulk("Al").repeat((1, 1, 2)), bulk("Ni", cubic=True)]


def test_potential__sensors_stand_behind_the_composition():
    potential = PotentialFeaturizer(EMT, sensors=["energy", "elasticity"])
    featurizer = CrystalGraphFeaturizer(composition=("magpie",), potential=potential)
    graphs = featurizer.fit_transform(metals())
    table = potential.fit_transform(metals())
    n = table.shape[1]
    assert graphs.names["context"][132:] == tuple(table.columns)
    assert graphs.context.shape == (4, 132 + n)
    np.testing.assert_allclose(graphs.context[:, 132:], table, rtol=1e-5)
    plain = CrystalGraphFeaturizer(composition=("magpie",)).fit_transform(metals())
    np.testing.assert_array_equal(graphs.context[:, :132], plain.context)
    np.testing.assert_array_equal(graphs.bond_sensors, plain.bond_sensors)
    alone = CrystalGraphFeaturizer(composition=None, potential=potential).fit_transform(metals())
    np.testing.assert_array_equal(alone.context, graphs.context[:, 132:])


def test_potential__unknown_element__raises_or_empties_the_graph():
    potential = PotentialFeaturizer(EMT, sensors=["energy"])
    values = [bulk("Cu"), bulk("Fe"), None, bulk("Au")]
    featurizer = CrystalGraphFeaturizer(potential=potential)
    with pytest.raises(FeaturizationError, match="row 1") as caught:
        featurizer.fit_transform([bulk("Cu"), bulk("Fe"), bulk("Au")])
    assert caught.value.errors[0].featurizer == "PotentialFeaturizer"
    with pytest.raises(FeaturizationError, match="row 2"):  # what costs nothing comes first
        featurizer.fit_transform(values)

    featurizer.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="CrystalGraphFeaturizer: 2 of 4 rows") as caught:
        graphs = featurizer.fit_transform(values)
    assert len(caught) == 1
    assert featurizer.errors_["row"].tolist() == [1, 2]
    assert graphs.counts("atom").tolist() == [1, 0, 0, 1]
    assert np.isnan(graphs.context[1:3]).all()
    assert np.isfinite(graphs.context[[0, 3]]).all()


def test_potential__parameters__are_reached_and_cloned():
    featurizer = CrystalGraphFeaturizer(potential=PotentialFeaturizer(EMT))
    featurizer.set_params(potential__sensors=["energy"])
    copy = clone(featurizer)
    assert copy.potential is not featurizer.potential
    assert copy.get_params()["potential__sensors"] == ["energy"]
    copy.fit(metals())
    assert copy.potential.on_error == "raise"
    assert not hasattr(copy.potential, "errors_")

"""CrystalGraphFeaturizer: what it takes and gives, sensors, scikit-learn's contract."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from backends import BACKENDS, two_workers
from crystals import CRYSTALS, LEVELS, build
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

import trisk
from trisk.featurizers import (
    CompositionFeaturizer,
    CrystalGraphFeaturizer,
    FeaturizationError,
    LayerFeaturizer,
    PotentialFeaturizer,
    PowerSpectrumFeaturizer,
    SpringModelFeaturizer,
)


def test_order__smaller__leaves_the_higher_levels_empty():
    crystals = list(CRYSTALS.values())
    full = build(crystals)
    for order in (0, 1, 2, 3):
        graphs = build(crystals, order=order)
        np.testing.assert_array_equal(graphs.atom_features, full.atom_features)
        for level in LEVELS[: order + 1]:
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
        if isinstance(value, np.ndarray) and name not in ("positions", "lattices", "pbc"):
            assert value.dtype in (np.float32, np.int32, np.int16), name
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
    [("order", 4), ("order", -1), ("n_neighbors", 0), ("cutoff", -1.0), ("composition", "magpie"),
     ("composition", ("nonsense",)), ("physics", 3),
     ("structure", "potential"), ("structure", ["potential"]),
     ("n_angle_neighbors", 1)],
)  # fmt: skip
def test_contract__bad_parameter__is_named(parameter, value):
    with pytest.raises(ValueError, match=parameter if value != ("nonsense",) else "nonsense"):
        CrystalGraphFeaturizer(**{parameter: value}).fit([])


def test_save_and_load__gives_the_same_graphs(tmp_path):
    featurizer = CrystalGraphFeaturizer(n_neighbors=6).fit([])
    trisk.save(featurizer, tmp_path / "graphs.trisk")
    loaded = trisk.load(tmp_path / "graphs.trisk")
    crystals = list(CRYSTALS.values())
    a, b = featurizer.transform(crystals), loaded.transform(crystals)
    np.testing.assert_array_equal(a.context, b.context)
    np.testing.assert_array_equal(a.bond_lengths, b.bond_lengths)


def test_n_jobs__two_processes__give_the_same_graphs(monkeypatch):
    crystals = [bulk("Cu").repeat(n) for n in (1, 2, 3)]
    one = build(crystals)
    monkeypatch.setattr("trisk.featurizers.structure._base._CHUNK_ATOMS", 20)
    two = build(crystals, n_jobs=2)
    np.testing.assert_array_equal(one.bond_atoms, two.bond_atoms)
    np.testing.assert_array_equal(one.angle_bonds, two.angle_bonds)


def test_progress__only_when_asked_for(capsys):
    build([CRYSTALS["silicon"]])
    assert capsys.readouterr().err == ""
    build([CRYSTALS["silicon"]], verbose=1)
    assert "crystal graphs" in capsys.readouterr().err


def metals():
    return [bulk("Cu"), bulk("Au"), bulk("Al").repeat((1, 1, 2)), bulk("Ni", cubic=True)]


def test_structure__sensors_stand_behind_the_composition():
    potential = PotentialFeaturizer(EMT, sensors=["energy", "elasticity"])
    featurizer = CrystalGraphFeaturizer(composition=("magpie",), structure=potential)
    graphs = featurizer.fit_transform(metals())
    table = potential.fit_transform(metals())
    n = table.shape[1]
    assert graphs.names["context"][132:] == tuple(table.columns)
    assert graphs.context.shape == (4, 132 + n)
    np.testing.assert_allclose(graphs.context[:, 132:], table, rtol=1e-5)
    plain = CrystalGraphFeaturizer(composition=("magpie",)).fit_transform(metals())
    np.testing.assert_array_equal(graphs.context[:, :132], plain.context)
    np.testing.assert_array_equal(graphs.bond_sensors, plain.bond_sensors)
    alone = CrystalGraphFeaturizer(composition=None, structure=potential).fit_transform(metals())
    np.testing.assert_array_equal(alone.context, graphs.context[:, 132:])


def test_structure__unknown_element__raises_or_empties_the_graph():
    potential = PotentialFeaturizer(EMT, sensors=["energy"])
    values = [bulk("Cu"), bulk("Fe"), None, bulk("Au")]
    featurizer = CrystalGraphFeaturizer(structure=potential)
    with pytest.raises(FeaturizationError, match="row 1") as caught:
        featurizer.fit_transform([bulk("Cu"), bulk("Fe"), bulk("Au")])
    assert caught.value.errors[0].featurizer == "PotentialFeaturizer"
    with pytest.raises(FeaturizationError, match="row 2"):  # what costs nothing comes first
        featurizer.fit_transform(values)

    featurizer.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="CrystalGraphFeaturizer: 2 of 4 rows") as caught:
        graphs = featurizer.fit_transform(values)
    assert len(caught) == 1
    assert featurizer.explain_errors(values)["row"].tolist() == [1, 2]
    assert graphs.counts("atom").tolist() == [1, 0, 0, 1]
    assert np.isnan(graphs.context[1:3]).all()
    assert np.isfinite(graphs.context[[0, 3]]).all()


def test_structure__parameters__are_reached_and_cloned():
    featurizer = CrystalGraphFeaturizer(structure=PotentialFeaturizer(EMT))
    featurizer.set_params(structure__sensors=["energy"])
    copy = clone(featurizer)
    assert copy.structure is not featurizer.structure
    assert copy.get_params()["structure__sensors"] == ["energy"]
    copy.fit(metals())
    assert not hasattr(copy.structure, "n_features_out_")


@pytest.mark.parametrize("structure", [3, [SpringModelFeaturizer(), "springs"]])
def test_structure__no_transformer__is_refused(structure):
    with pytest.raises(ValueError, match=r"structure"):
        CrystalGraphFeaturizer(structure=structure).fit(metals())


def test_structure__several_featurizers__stand_in_their_order():
    blocks = [SpringModelFeaturizer(), PotentialFeaturizer(EMT, sensors=["energy"])]
    graphs = CrystalGraphFeaturizer(composition=None, structure=blocks).fit_transform(metals())
    tables = [block.fit_transform(metals()) for block in blocks]
    assert graphs.names["context"] == (*tables[0].columns, *tables[1].columns)
    np.testing.assert_allclose(graphs.context, np.hstack(tables), rtol=1e-5)


def processed():
    """Crystals beside temperatures and routes, some of them missing."""
    return pd.DataFrame(
        {"T": [300, np.nan, 900, 500], "crystal": metals(), "route": ["a", "b", None, "a"]}
    )


def test_process__columns_follow_in_the_context():
    X = processed()
    featurizer = clone(CrystalGraphFeaturizer(composition=["magpie"], process=["T", "route"]))
    graphs = featurizer.fit_transform(X)
    names = ("T", "missingindicator_T", "route_a", "route_b", "route_None")
    assert graphs.names["process"] == graphs.names["context"][-5:] == names
    assert featurizer.feature_names_in_.tolist() == ["T", "crystal", "route"]
    expected = [[300, 0, 1, 0, 0], [500, 1, 0, 1, 0], [900, 0, 0, 0, 1], [500, 0, 1, 0, 0]]
    np.testing.assert_array_equal(graphs.context[:, -5:], expected)
    np.testing.assert_array_equal(graphs.atomic_numbers, build(metals()).atomic_numbers)
    new = X.assign(route="other", T=np.nan)[["crystal", "route", "T"]]
    np.testing.assert_array_equal(
        featurizer.transform(new).context[:, -5:], [[500, 1, 0, 0, 0]] * 4
    )
    copy = clone(featurizer).set_params(process=["T"], column="crystal").fit(X)
    assert copy.transform(X.drop(columns="route")).names["process"] == names[:2]
    alone = clone(featurizer).set_params(process=[], column="crystal").fit_transform(X)
    assert "process" not in alone.names
    empty = featurizer.set_params(on_error="nan").explain_errors(X.assign(crystal=["?"] * 4))
    assert empty["row"].tolist() == [0, 1, 2, 3]


def test_process__mistakes_say_what_to_do():
    X = processed()
    with pytest.raises(ValueError, match=r"process=\[\] are \['T', 'crystal', 'route'\]: name"):
        CrystalGraphFeaturizer().fit(X)
    with pytest.raises(ValueError, match=r"process=\['T'\] are \['crystal', 'route'\]: name"):
        CrystalGraphFeaturizer(process=["T"]).fit(X)
    with pytest.raises(ValueError, match=r"columns are missing: \{'T'\}"):
        CrystalGraphFeaturizer(process=["T", "route"]).fit(X).transform(X.drop(columns="T"))
    beside = [("graphs", CrystalGraphFeaturizer(), ["crystal"]), ("process", "passthrough", ["T"])]
    with pytest.raises(TypeError, match=r"to CrystalGraphFeaturizer\(process=\[…\]\)"):
        ColumnTransformer(beside).fit_transform(X)


@BACKENDS
def test_backends_of_joblib__give_the_same_graphs(backend, monkeypatch, tmp_path):
    crystals = [bulk("Cu").repeat(n) for n in (1, 2, 3)]
    path = tmp_path / "quartz.cif"
    CRYSTALS["quartz"].to(filename=str(path), fmt="cif", symprec=None)
    one = build([*crystals, path])
    monkeypatch.setattr("trisk.featurizers.structure._base._CHUNK_ATOMS", 20)
    with two_workers(backend):
        two = build([*crystals, path])
        springs = SpringModelFeaturizer().fit_transform(crystals)
    np.testing.assert_array_equal(one.bond_atoms, two.bond_atoms)
    np.testing.assert_array_equal(one.dihedral_cosines, two.dihedral_cosines)
    assert springs.notna().all(axis=None)


def test_molecules__have_bonds_within_themselves_alone():
    graphs = CrystalGraphFeaturizer(n_neighbors=None).fit_transform([molecule("CH4"), bulk("Cu")])
    assert graphs.counts("bond")[0] == 5 * 4
    assert (graphs[0].bond_images == 0).all()
    assert np.isfinite(graphs.context).all()
    for featurizer in (PowerSpectrumFeaturizer(), SpringModelFeaturizer()):
        assert featurizer.fit_transform([molecule("CH4")]).notna().all(axis=None)
    for featurizer in (LayerFeaturizer(), PowerSpectrumFeaturizer(volume_per_atom=20)):
        with pytest.raises(FeaturizationError, match="it is periodic in 0 directions"):
            featurizer.fit_transform([molecule("CH4")])


def test_iterator__is_read_once():
    crystals = list(CRYSTALS.values())
    graphs = CrystalGraphFeaturizer(structure=SpringModelFeaturizer()).fit_transform(iter(crystals))
    assert graphs.counts().tolist() == [len(crystal) for crystal in crystals]
    assert np.isfinite(graphs.context).all()


def test_set_output__of_a_pipeline__leaves_graphs_as_they_are():
    steps = CrystalGraphFeaturizer(composition=("magpie",)), FunctionTransformer(mean_of_context)
    pipeline = make_pipeline(*steps).set_output(transform="pandas")
    assert pipeline.fit_transform(list(CRYSTALS.values())).shape == (4, 132)


def mean_of_context(graphs):
    return pd.DataFrame(graphs.context)

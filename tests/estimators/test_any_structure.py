"""Crystals, slabs, wires and molecules everywhere; answers for atoms; elements that are new."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.io import write
from nested import make
from pymatgen.core import Molecule, Structure
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import trisk
from trisk import (
    CrystalGraphFeaturizer,
    GraphTRIADSClassifier,
    GraphTRIADSRegressor,
    MagpieFeaturizer,
    StructureRetriever,
    TriForcesClassifier,
    TriForcesPotential,
    TriForcesPretrainer,
    TriForcesRegressor,
    optuna_search,
    structure_pipeline,
)
from trisk.featurizers import FeaturizationError
from trisk.model_selection import search_space
from trisk.nn import EquivariantBackbone

SMALL = {"hidden_dim": 8, "n_layers": 1, "cutoff": 4.0, "max_epochs": 2, "random_state": 0}
GRAPHS = {"n_members": 1, "max_epochs": 2, "max_cycles": 4, "hidden_dim": 8, "random_state": 0}


def slab(vacuum):
    return fcc111("Cu", (1, 1, 3), vacuum=vacuum)


@pytest.fixture(scope="module")
def mixed():
    """Crystals, two of the same slabs, a layer, a wire, and molecules of ASE and pymatgen."""
    layer = graphene()
    layer.pbc = (True, True, False)
    wire = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]], cell=[0, 0, 4.6], pbc=(False, False, True))
    water = molecule("H2O")
    same = Molecule(water.get_chemical_symbols(), water.positions)
    crystals = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64)]
    return [*crystals, slab(8), slab(16), layer, wire, molecule("CH4"), water, same]


def check_pairs(values):
    """The slabs, and the water, are one, whatever surrounds them."""
    np.testing.assert_allclose(values[2], values[3], rtol=1e-7)
    np.testing.assert_allclose(values[7], values[8], rtol=1e-7)
    assert not np.allclose(values[0], values[2], rtol=1e-6)


def test_properties_of_any_structure(mixed):
    y = np.arange(len(mixed))
    model = make(TriForcesRegressor, **SMALL).fit(mixed, y)
    check_pairs(model.predict(mixed))
    check_pairs(make(TriForcesClassifier, **SMALL).fit(mixed, y > 3).predict_proba(mixed))
    check_pairs(make(TriForcesPotential, **SMALL).fit(mixed, y).predict(mixed)["energy"])


def test_graph_networks_on_any_structure(mixed):
    y = np.arange(len(mixed))
    featurizer = CrystalGraphFeaturizer()
    model = make_pipeline(featurizer, make(GraphTRIADSRegressor, **GRAPHS)).fit(mixed, y)
    check_pairs(model.predict(mixed))
    model = make_pipeline(featurizer, make(GraphTRIADSClassifier, **GRAPHS)).fit(mixed, y > 3)
    check_pairs(model.predict_proba(mixed))


@pytest.mark.parametrize("fast", [True, False])
def test_the_default_pipeline_on_any_structure(mixed, fast):
    model = structure_pipeline(fast=fast, max_epochs=1, calibrate=False, random_state=0)
    check_pairs(model.fit(mixed, np.arange(len(mixed))).predict(mixed))


def test_pretraining_and_retrieval_of_any_structure(mixed):
    pretrainer = make(TriForcesPretrainer, **SMALL).fit(mixed)
    check_pairs(pretrainer.transform(mixed).to_numpy())
    for volume in (None, 20.0):
        retriever = StructureRetriever(pretrainer=pretrainer, volume_per_atom=volume).fit(mixed)
        distances, indices = retriever.kneighbors([slab(30), molecule("H2O")], n_neighbors=2)
        assert [set(row) for row in indices.tolist()] == [{2, 3}, {7, 8}]
        np.testing.assert_allclose(distances, 0, atol=1e-6)


@pytest.fixture(scope="module")
def rattled():
    """Copper with displaced atoms, and how far each is displaced."""
    crystals, displacements = [], []
    for seed in range(8):
        crystal = bulk("Cu", cubic=True)
        crystal = crystal[: 4 - seed % 2]  # one with a vacancy
        crystal.rattle(0.2, seed=seed)
        steps = crystal.positions - bulk("Cu", cubic=True).positions[: len(crystal)]
        crystals.append(crystal)
        displacements.append(np.linalg.norm(steps, axis=1))
    return crystals, displacements


def test_learns_a_property_of_atoms(rattled, tmp_path):
    settings = SMALL | {"max_epochs": 80, "learning_rate": 1e-2, "batch_size": 4}
    model = make(TriForcesRegressor, level="atom", **settings).fit(*rattled)
    assert model.score(*rattled) > 0.6
    found = model.predict(rattled[0])
    assert [values.shape for values in found] == [(4 - k % 2,) for k in range(8)]
    order = [2, 0, 1, 3]
    turned = rattled[0][0][order]
    np.testing.assert_allclose(model.predict([turned])[0], found[0][order], rtol=1e-9)
    model.save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_allclose(loaded.predict(rattled[0][:1])[0], found[0], rtol=1e-12)


def test_vectors_and_missing_values_of_atoms(rattled):
    crystals, y = rattled
    pairs = [np.stack([values, 100 - values], axis=1) for values in y]
    pairs[0][1] = np.nan
    model = make(TriForcesRegressor, level="atom", n_members=2, **SMALL).fit(crystals, pairs)
    mean, spread = model.predict(crystals, return_std=True)
    assert mean[1].shape == spread[1].shape == (3, 2)
    assert (np.concatenate(spread) > 0).all()
    assert np.abs(np.concatenate(mean)[:, 1] - 100).max() < 5
    assert np.isfinite(model.score(crystals, pairs, sample_weight=np.arange(8)))
    single = make(TriForcesRegressor, level="atom", **SMALL)
    weight = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    some = clone(single).fit(crystals, y, sample_weight=weight).predict(crystals)
    few = clone(single).fit(crystals[:4], y[:4]).predict(crystals)
    np.testing.assert_allclose(np.concatenate(some), np.concatenate(few), rtol=1e-6)
    assert np.isfinite(cross_val_score(single, crystals, y, cv=2)).all()
    search = optuna_search(single, crystals, y, n_trials=1, cv=2, refit=False, verbose=0)
    assert np.isfinite(search.best_score_)


@pytest.mark.filterwarnings("ignore:1 structures have no atoms:UserWarning")
def test_properties_of_atoms_explain_bad_input(rattled):
    crystals, y = rattled
    model = make(TriForcesRegressor, level="atom", **SMALL)
    with pytest.raises(ValueError, match=r"Row 1 has 3 atoms, but y has an array of shape \(4,\)"):
        model.fit(crystals, [y[0]] * 8)
    with pytest.raises(ValueError, match=r"array of shape \(\)"):
        model.fit(crystals, np.arange(8.0))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(crystals, y[:-1])
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        model.fit(crystals, y, sample_weight=[1] * 7 + [-1])
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(crystals, None)
    with pytest.warns(UserWarning, match="row"):
        graphs = CrystalGraphFeaturizer(order=1, on_error="nan").fit_transform([crystals[0], "?"])
    found = model.fit(crystals, y).predict(graphs)
    assert [len(values) for values in found] == [4, 0]


def test_embeddings_of_atoms(mixed):
    model = make(TriForcesRegressor, **SMALL).fit(mixed, np.arange(len(mixed)))
    of_atoms, of_structures = model.embed_atoms(mixed), model.transform(mixed)
    assert list(of_atoms.columns) == list(of_structures.columns)
    assert of_atoms.loc[1].shape == (2, 24)
    assert of_atoms.index.names == ["structure", "atom"]
    means = of_atoms.groupby("structure").mean()
    for stream in ("structure", "interaction"):
        of_stream = (frame.filter(regex=f"^{stream} ") for frame in (means, of_structures))
        np.testing.assert_allclose(*of_stream, atol=1e-6)
    alone = model.embed_atoms(mixed[1:2])
    np.testing.assert_allclose(alone.loc[0], of_atoms.loc[1], rtol=1e-7)


@pytest.mark.parametrize("kind", ["triforces", "graph"])
def test_elements_that_training_never_saw(kind):
    metals = [bulk("Cu"), bulk("Ag"), bulk("Au")]
    if kind == "graph":
        network = make(GraphTRIADSRegressor, order=1, **GRAPHS)
        model = make_pipeline(CrystalGraphFeaturizer(order=1), network)
    else:
        network = model = make(TriForcesRegressor, **SMALL)
    model.fit(metals, [1.0, 2.0, 3.0])
    assert network.elements_.tolist() == [29, 47, 79]
    new = [bulk("Cu"), bulk("Pt"), bulk("NaCl", "rocksalt", a=5.64), bulk("Pt")]
    text = (
        r"3 of 4 structures have elements that the training set had not: Na \(rows \[2\]\), "
        r"Cl \(rows \[2\]\), Pt \(rows \[1, 3\]\)"
    )
    with pytest.warns(UserWarning, match=text) as caught:
        found = model.predict(new)
    assert caught[0].filename == __file__ or kind == "graph"
    network.set_params(unknown_elements="raise")
    with pytest.raises(ValueError, match=text):
        model.predict(new)
    network.set_params(unknown_elements="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(model.predict(new), found)


def test_compositions_of_structures_and_files(tmp_path):
    salt = bulk("NaCl", "rocksalt", a=5.64)
    crystal = Structure(salt.cell.array, salt.symbols, salt.positions, coords_are_cartesian=True)
    crystal.to(filename=str(tmp_path / "a.cif"))
    write(tmp_path / "POSCAR", salt, format="vasp")
    values = [
        *(str(tmp_path / "a.cif"), tmp_path / "POSCAR", (tmp_path / "a.cif").read_text()),
        *(crystal, crystal.as_dict(), crystal.to_json(), salt, "NaCl", "Cl2Na2"),
    ]
    table = MagpieFeaturizer().fit_transform(values)
    np.testing.assert_allclose(table, table.iloc[[7]].to_numpy().repeat(len(table), 0))
    water = molecule("H2O")
    both = [water, Molecule(water.get_chemical_symbols(), water.positions), "H2O"]
    table = MagpieFeaturizer().fit_transform(both)
    np.testing.assert_allclose(table, table.iloc[[2]].to_numpy().repeat(3, 0))
    with pytest.raises(FeaturizationError, match=r"'nowhere/a.cif': there is no such file"):
        MagpieFeaturizer().fit_transform(["NaCl", "nowhere/a.cif"])
    with pytest.warns(UserWarning, match="first row 0 .*b.cif"):
        table = MagpieFeaturizer(on_error="nan").fit_transform(["b.cif", "NaCl", "Zz"])
    assert table.isna().all(axis=1).tolist() == [True, False, True]


def test_search_spaces_leave_alone_what_is_set(rattled):
    sizes = {"network__hidden_dim", "network__n_layers"}
    assert sizes <= set(TriForcesRegressor().search_space())
    assert not sizes & set(TriForcesRegressor(pretrained="default").search_space())
    assert not sizes & set(TriForcesPotential(pretrained="default").search_space())
    mace = make(TriForcesRegressor, backbone="mace").search_space()["network__n_layers"]
    assert (mace.low, mace.high) == (2, 4)
    own = make(TriForcesRegressor, backbone=EquivariantBackbone(4.0, 8, 1)).search_space()
    assert sizes & set(own) == {"network__hidden_dim"}
    tuned = make(TriForcesRegressor, pretrained=make(TriForcesRegressor, **SMALL))
    assert not any(name.startswith("pretrained__") for name in search_space(tuned))
    crystals, _ = rattled
    model = make(TriForcesRegressor, pretrained="default", max_epochs=1)
    y = [crystal.get_volume() for crystal in crystals]
    search = optuna_search(model, crystals, y, n_trials=1, cv=2, refit=False, verbose=0)
    assert np.isfinite(search.best_score_)


def test_searches_parameters_of_a_potential_whose_frames_carry_results(rattled):
    from ase.calculators.emt import EMT

    frames = [crystal.copy() for crystal in rattled[0]]
    for frame in frames:
        frame.calc = EMT()
        frame.get_forces()
    model = make(TriForcesPotential, **SMALL)
    search = optuna_search(model, frames, None, n_trials=1, cv=2, verbose=0)
    assert np.isfinite(search.best_score_)
    assert search.predict(frames)["energy"].shape == (8,)
    assert np.isfinite(trisk.cross_validate(model, frames, None, cv=2)["test_score"]).all()

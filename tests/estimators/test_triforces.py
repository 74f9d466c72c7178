"""TriForces for properties: learns, repeats, resumes, survives files, and explains bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from nested import make
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

import trisk
from trisk import (
    CrystalGraphFeaturizer,
    TriForcesClassifier,
    TriForcesPotential,
    TriForcesRegressor,
)
from trisk.nn import EquivariantBackbone

SMALL = {"hidden_dim": 8, "n_layers": 2, "cutoff": 4.5, "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def crystals():
    """Strained elemental metals, fcc and bcc."""
    rng = np.random.default_rng(0)
    metals = [bulk(m) for m in ("Cu", "Ag", "Al", "Fe", "W", "Na") for _ in range(3)]
    for metal in metals:
        metal.set_cell(metal.cell.array * rng.uniform(0.95, 1.05), scale_atoms=True)
    return metals


@pytest.fixture(scope="module")
def volumes(crystals):
    return np.array([c.get_volume() for c in crystals])


@pytest.fixture(scope="module")
def fitted(crystals, volumes):
    return make(TriForcesRegressor, n_members=2, **SMALL).fit(crystals, volumes)


def test_learns_a_property_of_the_structure(crystals, volumes):
    model = make(
        TriForcesRegressor, **SMALL | {"max_epochs": 60, "batch_size": 9, "learning_rate": 1e-2}
    )
    error = np.abs(model.fit(crystals, volumes).predict(crystals) - volumes).mean()
    assert error < 0.15 * volumes.std()


def test_composition_alone_cannot_tell_volumes_apart(crystals, volumes):
    model = make(TriForcesRegressor, streams=("composition",), **SMALL).fit(crystals, volumes)
    predictions = model.predict(crystals).reshape(6, 3)
    np.testing.assert_allclose(predictions, predictions[:, :1].repeat(3, 1))


def test_members_average_and_spread(fitted, crystals, volumes):
    mean, spread = fitted.predict(crystals, return_std=True)
    assert mean.shape == spread.shape == (18,)
    assert (spread > 0).all()
    np.testing.assert_array_equal(mean, fitted.predict(crystals))
    both = make(TriForcesRegressor, **SMALL).fit(crystals, np.stack([volumes, -volumes], 1))
    assert both.predict(crystals).shape == (18, 2)


def test_repeats_to_the_bit_and_survives_copies(fitted, crystals, volumes, tmp_path):
    expected = fitted.predict(crystals)
    np.testing.assert_array_equal(clone(fitted).fit(crystals, volumes).predict(crystals), expected)
    restored = pickle.loads(pickle.dumps(fitted))  # our own bytes
    np.testing.assert_array_equal(restored.predict(crystals), expected)
    fitted.save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(loaded.predict(crystals), expected)
    assert len(loaded.nets_[0].history) == 3


def test_prediction_depends_on_neither_batch_nor_kind_of_structure(fitted, crystals):
    expected = fitted.predict(crystals)
    np.testing.assert_allclose(fitted.predict(crystals[4:5]), expected[4:5], rtol=1e-9)
    np.testing.assert_allclose(fitted.predict(crystals[::-1])[::-1], expected, rtol=1e-9)
    structures = [Structure(Lattice(c.cell.array), c.symbols, c.positions) for c in crystals]
    np.testing.assert_allclose(fitted.predict(structures), expected, rtol=1e-9)
    graphs = CrystalGraphFeaturizer(order=1).fit_transform(crystals)
    np.testing.assert_allclose(fitted.predict(graphs), expected, rtol=1e-6)
    large = [c.repeat((2, 1, 1)) for c in crystals]
    np.testing.assert_allclose(fitted.predict(large), expected, rtol=1e-9)


def test_takes_slabs_and_molecules_in_any_box(fitted, crystals, volumes):
    flat = fcc111("Cu", (1, 1, 3))  # repeats in two directions, and has no third vector
    slabs = [fcc111("Cu", (1, 1, 3), vacuum=vacuum, periodic=vacuum > 10) for vacuum in (8, 20)]
    free = molecule("CH4")
    boxed = free.copy()
    boxed.center(vacuum=9)
    apart = boxed.copy()
    apart.pbc = True
    mixed = [*crystals, flat, *slabs, free, boxed, apart]
    model = clone(fitted).fit(mixed, np.concatenate([volumes, np.arange(6.0)]))
    found = model.predict(mixed)[18:].reshape(2, 3)
    np.testing.assert_allclose(found, found[:, :1].repeat(3, 1), rtol=1e-9)
    assert not np.isclose(found[0, 0], found[1, 0])
    # A crystal is one in all its directions only.
    assert not np.isclose(*model.predict([bulk("Cu"), Atoms("Cu", cell=bulk("Cu").cell)]))


def test_sum_pooling_is_extensive(crystals, volumes):
    model = make(TriForcesRegressor, pooling="sum", **SMALL).fit(crystals, volumes)
    large = [c.repeat((2, 1, 2)) for c in crystals]
    np.testing.assert_allclose(model.predict(large), 4 * model.predict(crystals), rtol=1e-9)


def test_learns_logarithms_of_targets_that_span_decades(crystals, volumes):
    ranks = np.argsort(np.argsort(volumes)) / len(volumes)
    model = make(TriForcesRegressor, link="auto", **SMALL | {"max_epochs": 1})
    assert model.fit(crystals, 10 + ranks).target_scaler_.link == "identity"
    assert model.fit(crystals, 30 * ranks).target_scaler_.link == "identity"
    assert model.fit(crystals, 10 + 90 * ranks).target_scaler_.link == "log"
    assert model.predict(crystals).min() > 0
    with pytest.raises(ValueError, match="link='log' needs positive targets"):
        clone(model).set_params(link="log").fit(crystals, -volumes)
    charges = [np.full(len(c), -1.0) for c in crystals]
    with pytest.raises(ValueError, match="link='log' needs positive targets"):
        clone(model).set_params(link="log", level="atom").fit(crystals, charges)


def test_works_in_pipelines_and_cross_validation(crystals, volumes):
    network = make(TriForcesRegressor, unknown_elements="ignore", **SMALL)
    pipeline = make_pipeline(CrystalGraphFeaturizer(order=1), network)
    assert np.isfinite(cross_val_score(pipeline, crystals, volumes, cv=2)).all()


def test_head_sees_the_context_of_graphs(crystals, volumes, tmp_path):
    graphs = CrystalGraphFeaturizer(order=1, composition=("magpie",)).fit_transform(crystals)
    settings = {**SMALL, "streams": ("structure",), "random_state": 1}
    name = "MagpieData mean Electronegativity"
    settings |= {"max_epochs": 60, "batch_size": 9, "learning_rate": 1e-2}
    electronegativity = graphs.context[:, graphs.names["context"].index(name)].astype(float)
    blind = make(TriForcesRegressor, **settings).fit(graphs, electronegativity)
    model = make(TriForcesRegressor, context=True, **settings).fit(graphs, electronegativity)
    expected = model.predict(graphs)
    errors = [np.abs(p - electronegativity).mean() for p in (expected, blind.predict(graphs))]
    assert errors[0] < 0.3 * errors[1]
    np.testing.assert_allclose(model.predict(graphs[4:5]), expected[4:5], rtol=1e-9)
    model.save(tmp_path / "model.trisk")
    np.testing.assert_array_equal(trisk.load(tmp_path / "model.trisk").predict(graphs), expected)


def test_sums_over_atoms_see_the_context_too(crystals, volumes):
    pipeline = make_pipeline(
        CrystalGraphFeaturizer(order=1, composition=("magpie",)),
        make(TriForcesRegressor, pooling="sum", context=True, **SMALL),
    ).fit(crystals, volumes)
    large = [c.repeat((2, 1, 2)) for c in crystals]
    np.testing.assert_allclose(pipeline.predict(large), 4 * pipeline.predict(crystals), rtol=1e-6)


def test_process_columns_join_the_structures(crystals, volumes, tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"crystal": crystals * 3, "T (K)": rng.uniform(300, 900, 54)})
    X["route"] = rng.choice(["cast", "rolled"], 54)
    y = np.tile(volumes, 3) + 0.02 * X["T (K)"] + 4 * (X["route"] == "cast")
    settings = {**SMALL, "max_epochs": 40, "batch_size": 9, "learning_rate": 1e-2}
    errors = {}
    for process in ([], ["T (K)"], ["T (K)", "route"]):
        graphs = CrystalGraphFeaturizer(order=0, process=process, column="crystal")
        model = make_pipeline(graphs, make(TriForcesRegressor, context=True, **settings))
        predicted = model.fit(X[:36], y[:36]).predict(X[36:])
        errors[len(process)] = np.abs(predicted - y[36:]).mean()
    assert errors[2] < 0.7 * errors[1] < 0.7 * 0.7 * errors[0]
    trisk.save(model, tmp_path / "model.trisk")
    np.testing.assert_array_equal(trisk.load(tmp_path / "model.trisk").predict(X[36:]), predicted)
    with pytest.raises(ValueError, match=r"context=False leaves out .*'T \(K\)', 'route_cast', "):
        model.set_params(triforcesregressor__context=False).fit(X, y)


def test_missing_context_is_named(crystals, volumes):
    model = make(TriForcesRegressor, context=True, **SMALL)
    with pytest.raises(TypeError, match="takes CrystalGraphs, not list"):
        model.fit(crystals, volumes)
    graphs = CrystalGraphFeaturizer(order=1, composition=None).fit_transform(crystals)
    with pytest.raises(ValueError, match="these graphs have no such columns"):
        model.fit(graphs, volumes)
    of_composition = CrystalGraphFeaturizer(order=1, composition=("magpie",)).fit_transform(
        crystals
    )
    of_composition.context[3, 5] = np.nan
    with pytest.raises(ValueError, match="Row 3 has nan in the context column 'Magpie"):
        model.fit(of_composition, volumes)
    of_composition.context[3, 5] = 0
    model.fit(of_composition, volumes)
    others = CrystalGraphFeaturizer(order=1, composition=("mat2vec",)).fit_transform(crystals)
    with pytest.raises(ValueError, match="other columns of context than those seen in fit"):
        model.predict(others)


def test_starts_from_pretrained_streams(fitted, crystals, volumes, tmp_path):
    fitted.save(tmp_path / "model.trisk")

    def encoder(model):
        return model.nets_[0].module_.encoder.state_dict()

    source = encoder(fitted)
    for pretrained in (fitted, tmp_path / "model.trisk"):
        head = make(TriForcesRegressor, pretrained=pretrained, fine_tune="head", **SMALL)
        head.fit(crystals, volumes)
        assert all((source[k] == v).all() for k, v in encoder(head).items())
    gradual = make(TriForcesRegressor, pretrained=fitted, fine_tune="gradual", **SMALL)
    assert any((source[k] != v).any() for k, v in encoder(gradual.fit(crystals, volumes)).items())
    with pytest.raises(ValueError, match=r"have hidden_dim=8, but this estimator has 16"):
        make(TriForcesRegressor, pretrained=fitted, **SMALL | {"hidden_dim": 16}).fit(
            crystals, volumes
        )
    with pytest.raises(ValueError, match="fine_tune='head' says what to keep"):
        make(TriForcesRegressor, fine_tune="head", **SMALL).fit(crystals, volumes)


class _OwnBackbone(nn.Module):
    """The least that a backbone may be."""

    cutoff = 3.0
    out_features = 5

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(119, 5)

    def forward(self, batch):
        return self.embed(batch.atomic_numbers), None


def test_takes_a_backbone_of_the_users(crystals, volumes, tmp_path):
    model = make(TriForcesRegressor, backbone=_OwnBackbone(), **SMALL).fit(crystals, volumes)
    assert np.isfinite(model.predict(crystals)).all()
    with pytest.raises(TypeError, match=r"cannot be stored: TriForcesOptions.backbone is a .*_Own"):
        model.save(tmp_path / "model.trisk")
    twice = make(TriForcesRegressor, backbone=EquivariantBackbone(4.5, 8, 1), **SMALL)
    np.testing.assert_array_equal(
        twice.fit(crystals, volumes).predict(crystals),
        twice.fit(crystals, volumes).predict(crystals),
    )


def test_classifies(crystals, tmp_path):
    kinds = np.repeat(["fcc", "bcc"], 9)
    model = make(
        TriForcesClassifier, **SMALL | {"max_epochs": 30, "batch_size": 9, "learning_rate": 1e-2}
    )
    assert model.fit(crystals, kinds).score(crystals, kinds) == 1
    probabilities = model.predict_proba(crystals)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    model.save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(loaded.predict_proba(crystals), probabilities)
    with pytest.raises(ValueError, match="at least 2 classes"):
        model.fit(crystals, ["fcc"] * 18)


@pytest.mark.filterwarnings("ignore:1 structures have no atoms:UserWarning")
def test_structures_that_could_not_be_read(crystals, fitted):
    featurizer = CrystalGraphFeaturizer(order=1, on_error="nan")
    with pytest.warns(UserWarning, match="row"):
        graphs = featurizer.fit_transform([crystals[0], "no structure"])
    predictions = fitted.predict(graphs)
    np.testing.assert_allclose(predictions[0], fitted.predict(crystals[:1])[0], rtol=1e-6)
    assert np.isnan(predictions[1])
    with pytest.raises(ValueError, match=r"1 structures have no atoms, first in rows \[1\]"):
        make(TriForcesRegressor, **SMALL).fit(graphs, [1.0, 2.0])
    kinds = np.repeat(["fcc", "bcc"], 9)
    model = make(TriForcesClassifier, **SMALL).fit(crystals, kinds)
    assert np.isnan(model.predict_proba(graphs)[1]).all()
    with pytest.raises(ValueError, match=r"rows \[1\] have no atoms"):
        model.predict(graphs)


def test_weight_zero_leaves_a_structure_out(crystals, volumes):
    weight = np.ones(18)
    weight[3:] = 0
    model = make(TriForcesRegressor, unknown_elements="ignore", **SMALL)
    some = clone(model).fit(crystals, volumes, sample_weight=weight)
    few = model.fit(crystals[:3], volumes[:3])
    np.testing.assert_allclose(some.predict(crystals), few.predict(crystals))


def _partly_occupied():
    return Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("Cu", "'Cu': there is no such file"),
        (None, "'None': the value is missing"),
        (Atoms(cell=[3, 3, 3], pbc=True), "'': it has no atoms"),
        (Atoms("X", cell=[3, 3, 3], pbc=True), "'X': atom 0 has the atomic number 0"),
        (Atoms("Cu", cell=[3, 3, np.nan], pbc=True), "'Cu': its lattice is not finite"),
        (Atoms("Cu", cell=[[1, 0, 0]] * 3, pbc=True), "'Cu': its lattice vectors .* no volume"),
        (Atoms("Cu2", cell=[3, 3, 3], pbc=True), "'Cu2': atoms 0 and 1 are 0 Å apart"),
        (_partly_occupied(), ".*: site 0 is shared or partly occupied"),
    ],
)
def test_bad_structures_are_named(fitted, crystals, volumes, bad, message):
    for method in (lambda X: clone(fitted).fit(X, volumes[:2]), fitted.predict):
        with pytest.raises(
            ValueError, match=f"1 of 2 structures cannot be used:\n  row 1: {message}"
        ):
            method([crystals[0], bad])


def test_bad_parameters_and_targets_are_named(crystals, volumes):
    with pytest.raises(ValueError, match=r"streams must name some of .*\('shape',\)"):
        make(TriForcesRegressor, streams=("shape",)).fit(crystals, volumes)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make(TriForcesRegressor, **SMALL).fit(crystals, volumes[:-1])
    with pytest.raises(ValueError, match="contains NaN"):
        make(TriForcesRegressor, **SMALL).fit(crystals, volumes * np.nan)
    with pytest.raises(ValueError, match="leaves none of 18 rows"):
        make(TriForcesRegressor, **SMALL | {"validation_fraction": 0.99}).fit(crystals, volumes)
    with pytest.raises(ValueError, match="collection of structures, got a single Atoms"):
        make(TriForcesRegressor, **SMALL).fit(crystals[0], volumes)
    with pytest.raises(ValueError, match="0 sample"):
        make(TriForcesRegressor, **SMALL).fit([], [])


def _weights(model):
    return model.nets_[0].module_.state_dict()


def test_starts_from_the_head_below_its_last_layer(fitted, crystals, volumes):
    settings = SMALL | {"pretrained": fitted, "pretrained_rate": 1e-9, "ema_decay": 0}
    model = make(TriForcesRegressor, **settings).fit(crystals, np.stack([volumes, -volumes], 1))
    source, found = _weights(fitted), _weights(model)
    last = {name for name in found if name.startswith("head.readout.2.")}
    assert len(last) == 2
    for name in set(found) - last:
        np.testing.assert_allclose(found[name], source[name], atol=1e-6)
    assert all((found[name] != 0).any() for name in last)


def test_pretrained_weights_change_at_their_own_rate(fitted, crystals, volumes):
    def change(rate):
        model = make(TriForcesRegressor, pretrained=fitted, pretrained_rate=rate, **SMALL)
        found, source = _weights(model.fit(crystals, volumes)), _weights(fitted)
        return sum((found[k] - source[k]).norm() for k in found if k.startswith("encoder"))

    assert 0 < 3 * change(0.1) < change(1.0)
    assert change("auto") == change(0.03)
    with pytest.raises(ValueError, match="'pretrained_rate' parameter"):
        change(0.0)


def test_other_heads_take_what_fits(fitted, crystals, volumes):
    """A potential and a head with context have layers of other shapes."""
    graphs = CrystalGraphFeaturizer(composition=("magpie",), cutoff=4.5).fit_transform(crystals)
    settings = SMALL | {"pretrained": fitted, "pretrained_rate": 1e-9, "ema_decay": 0}
    source = _weights(fitted)
    model = make(TriForcesRegressor, context=True, **settings).fit(graphs, volumes)
    kinds = make(TriForcesClassifier, **settings).fit(crystals, volumes > volumes.mean())
    potential = make(TriForcesPotential, **settings).fit(crystals, volumes)
    for name in ("head.of_atom.0.weight", "encoder.norms.structure.weight"):
        for other in (model, kinds, potential):
            np.testing.assert_allclose(_weights(other)[name], source[name], atol=1e-6)
    known = source["head.readout.0.weight"]
    readout = _weights(model)["head.readout.0.weight"]
    np.testing.assert_allclose(readout[:, : known.shape[1]], known, atol=1e-6)
    again = make(TriForcesRegressor, **settings | {"pretrained": potential}).fit(crystals, volumes)
    assert np.isfinite(again.predict(crystals)).all()


def test_heads_of_some_streams_take_the_columns_of_these(fitted, crystals, volumes):
    """What the left-out streams would have added is all that is lost."""
    settings = SMALL | {"pretrained": fitted, "pretrained_rate": 1e-9, "ema_decay": 0}
    source, width = _weights(fitted), SMALL["hidden_dim"]
    alone = make(TriForcesRegressor, streams=("interaction",), **settings).fit(crystals, volumes)
    found = _weights(alone)
    of_interaction = source["head.of_atom.0.weight"][:, 2 * width :]
    np.testing.assert_allclose(found["head.of_atom.0.weight"], of_interaction, atol=1e-6)
    readout = source["head.readout.0.weight"]
    kept = np.hstack([readout[:, :width], readout[:, 3 * width :]])
    np.testing.assert_allclose(found["head.readout.0.weight"], kept, atol=1e-6)


@pytest.mark.parametrize(("n", "rate"), [(50, 0.03), (300, 0.164), (1000, 1.0), (50_000, 1.0)])
def test_automatic_rate_of_pretrained_weights_grows_with_the_structures(fitted, n, rate):
    model = make(TriForcesRegressor, pretrained=fitted, **SMALL)
    rates = model._start_from(model._find_weights(None), model._build(fitted.architecture_), n)
    assert rates("encoder.norms.structure.weight") == (pytest.approx(rate, abs=1e-3), 0.0)
    assert rates("head.readout.2.weight") == (1.0, 0.0)

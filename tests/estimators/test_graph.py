"""GraphTRIADS as an estimator: what it takes, what it refuses, what it promises."""

import pickle

import numpy as np
import pytest
from nested import make
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import trisk
from trisk.estimators import GraphTRIADSClassifier, GraphTRIADSRegressor
from trisk.featurizers import CrystalGraphFeaturizer, LayerFeaturizer
from trisk.structures.graphs import CrystalGraphs
from trisk.testing import make_structures

_SMALL = {
    "n_members": 2,
    "max_epochs": 4,
    "hidden_dim": 16,
    "bond_dim": 12,
    "angle_dim": 4,
    "feedforward_dim": 16,
    "max_cycles": 6,
    "batch_size": 8,
    "random_state": 0,
    "device": "cpu",
}


_ONCE = {**_SMALL, "max_epochs": 1}


@pytest.fixture(scope="module")
def crystals():
    return make_structures(40)


@pytest.fixture(scope="module")
def graphs(crystals):
    return CrystalGraphFeaturizer().fit_transform(crystals[0])


@pytest.fixture(scope="module")
def fitted(graphs, crystals):
    return make(GraphTRIADSRegressor, link="log", **_SMALL).fit(graphs, crystals[1])


def with_an_empty_structure(graphs):
    """Graphs of which row 1 could not be read."""
    empty = graphs.take([]).context
    arrays = {
        name: getattr(graphs.take([]), name)
        for name in graphs.__dataclass_fields__
        if name not in ("offsets", "names", "lattices", "pbc", "context")
    }
    failed = CrystalGraphs(
        offsets={level: np.zeros(2, dtype=np.int64) for level in graphs.offsets},
        lattices=np.full((1, 3, 3), np.nan),
        pbc=np.zeros((1, 3), dtype=bool),
        context=np.full((1, empty.shape[1]), np.nan, dtype=empty.dtype),
        names=graphs.names,
        **arrays,
    )
    return CrystalGraphs.concatenate([graphs[:1], failed, graphs[1:]])


def test_learns_what_bond_lengths_and_masses_decide(graphs, crystals):
    settings = {**_SMALL, "n_members": 1, "max_epochs": 30, "learning_rate": 1e-2}
    settings["unknown_elements"] = "ignore"
    model = make(GraphTRIADSRegressor, link="log", **settings).fit(graphs[:30], crystals[1][:30])
    error = np.abs(model.predict(graphs[30:]) - crystals[1][30:]).mean()
    spread = np.abs(crystals[1][30:] - np.median(crystals[1][:30])).mean()
    assert error < 0.6 * spread


def test_classes_of_structure_types():
    structures, _, kinds = make_structures(160, random_state=2)
    graphs = CrystalGraphFeaturizer(composition=None).fit_transform(structures)
    settings = {**_SMALL, "max_epochs": 12, "learning_rate": 1e-2}
    model = make(GraphTRIADSClassifier, **settings).fit(graphs[:120], kinds[:120])
    assert model.classes_.tolist() == sorted(set(kinds))
    assert model.score(graphs[120:], kinds[120:]) > 0.8
    probabilities = model.predict_proba(graphs[120:])
    assert np.allclose(probabilities.sum(axis=1), 1)
    *_, last = model.staged_predict_proba(graphs[120:])
    assert np.array_equal(last, probabilities)


def test_predict_gives_the_spread_and_all_cycles(fitted, graphs):
    mean, std = fitted.predict(graphs, return_std=True)
    assert mean.shape == std.shape == (40,)
    assert (std > 0).all()
    *_, last = fitted.staged_predict(graphs)
    assert np.array_equal(last, mean)
    cycles = fitted.count_cycles(graphs)
    assert cycles.min() >= 4
    assert cycles.max() <= 6


def test_structures_that_could_not_be_read(fitted, graphs, crystals):
    broken = with_an_empty_structure(graphs)
    with pytest.warns(UserWarning, match="1 structures have no atoms"):
        predicted = fitted.predict(broken)
    assert np.flatnonzero(np.isnan(predicted)).tolist() == [1]
    assert np.allclose(np.delete(predicted, 1), fitted.predict(graphs))
    with pytest.raises(ValueError, match=r"1 structures have no atoms, first in rows \[1\]"):
        clone(fitted).fit(broken, np.insert(crystals[1], 1, 1.0))
    classifier = make(GraphTRIADSClassifier, **_ONCE).fit(graphs, crystals[2])
    message = r"structures in rows \[1\] have no atoms"
    with pytest.warns(UserWarning, match="no atoms"), pytest.raises(ValueError, match=message):
        classifier.predict(broken)


@pytest.mark.parametrize(
    ("settings", "featurizer", "message"),
    [
        ({"order": 1}, {"order": 1, "physics": False}, "physics=True needs the sensor"),
        ({"n_heads": 3}, {}, "n_heads=3 must divide hidden_dim=16"),
        ({"min_cycles": 9}, {}, "min_cycles=9 must not exceed max_cycles=6"),
    ],
)
def test_settings_that_do_not_fit_the_graphs(crystals, settings, featurizer, message):
    graphs = CrystalGraphFeaturizer(**featurizer).fit_transform(crystals[0][:6])
    with pytest.raises(ValueError, match=message):
        make(GraphTRIADSRegressor, **{**_SMALL, **settings}).fit(graphs, crystals[1][:6])


@pytest.mark.parametrize(("built", "missing"), [(2, "dihedrals"), (1, "angles")])
def test_levels_that_no_graph_has_are_left_out(crystals, graphs, built, missing):
    lower = CrystalGraphFeaturizer(order=built).fit_transform(crystals[0][:8])
    model = make(GraphTRIADSRegressor, **_ONCE)
    with pytest.warns(UserWarning, match=f"hold no {missing}, so .* order={built}"):
        model.fit(lower, crystals[1][:8])
    # Dihedrals that turn up later meet no untrained weights.
    assert np.allclose(model.predict(graphs[:8]), model.predict(lower))


def test_a_crystal_without_dihedrals_is_predicted_alone(crystals):
    graphs = CrystalGraphFeaturizer(order=3).fit_transform(crystals[0])
    without = np.flatnonzero(graphs.counts("dihedral") == 0)
    model = make(GraphTRIADSRegressor, order=3, **_ONCE).fit(graphs, crystals[1])
    assert len(without)
    expected = model.predict(graphs)[without]
    np.testing.assert_allclose(model.predict(graphs.take(without[:1])), expected[:1], rtol=1e-9)


def test_targets_that_do_not_fit(graphs, crystals):
    regressor = make(GraphTRIADSRegressor, **_SMALL)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[40, 39\]"):
        regressor.fit(graphs, crystals[1][:-1])
    with pytest.raises(ValueError, match="row 3 of those with weight has -1"):
        clone(regressor).set_params(link="log").fit(graphs, np.where(np.arange(40) == 3, -1, 1))
    with pytest.raises(ValueError, match="NaN"):
        regressor.fit(graphs, np.full(40, np.nan))
    with pytest.raises(ValueError, match="requires y to be passed"):
        regressor.fit(graphs, None)
    with pytest.raises(ValueError, match="at least 2 classes"):
        make(GraphTRIADSClassifier, **_SMALL).fit(graphs, ["a"] * 40)
    with pytest.raises(ValueError, match="at least 2 structures"):
        regressor.fit(graphs, crystals[1], sample_weight=np.arange(40) == 0)


def test_anything_but_graphs_is_refused(crystals, graphs, fitted):
    with pytest.raises(TypeError, match="CrystalGraphFeaturizer"):
        make(GraphTRIADSRegressor, **_SMALL).fit(crystals[0], crystals[1])
    with pytest.raises(NotFittedError):
        make(GraphTRIADSRegressor, **_SMALL).predict(graphs)
    others = CrystalGraphFeaturizer(composition=None).fit_transform(crystals[0][:3])
    with pytest.raises(ValueError, match="other columns"):
        fitted.predict(others)


def test_weights(graphs, crystals):
    """Rows of weight zero count for nothing."""
    weight = np.ones(40)
    weight[5:15] = 0
    target = np.where(weight > 0, crystals[1], 1e6)
    weighted = make(GraphTRIADSRegressor, **_SMALL).fit(graphs, target, sample_weight=weight)
    kept = np.flatnonzero(weight)
    plain = make(GraphTRIADSRegressor, **_SMALL).fit(graphs[kept], crystals[1][kept])
    assert np.allclose(weighted.predict(graphs), plain.predict(graphs))


def test_constant_columns_of_whole_structures_change_nothing(crystals, fitted, tmp_path):
    """Crystals beside a featurizer of layers."""
    settings = {"structure": LayerFeaturizer(others="zero")}
    graphs = CrystalGraphFeaturizer(**settings).fit_transform(crystals[0])
    model = clone(fitted).fit(graphs, crystals[1])
    alone = fitted.predict(CrystalGraphFeaturizer().fit_transform(crystals[0]))
    np.testing.assert_array_equal(model.predict(graphs), alone)
    assert model.architecture_["n_context"] < graphs.context.shape[1] - 30
    trisk.save(model, tmp_path / "model.trisk")
    np.testing.assert_array_equal(trisk.load(tmp_path / "model.trisk").predict(graphs), alone)


def test_members_are_independent_of_one_another(graphs, crystals, monkeypatch):
    # Without halting: a cycle that only other members need draws from a member's dropout, too.
    model = make(GraphTRIADSRegressor, halting_threshold=1e-9, **_SMALL).fit(graphs, crystals[1])
    outputs = model._member_outputs(graphs)["answer"]
    assert not np.allclose(outputs[0], outputs[1])
    alone = clone(model)
    seeds = model.net_.module_.seeds[1:]
    monkeypatch.setattr("trisk.estimators.graph.member_seeds", lambda *_: seeds)
    alone.fit(graphs, crystals[1])
    # Training in single precision rounds differently in batches of another shape.
    assert np.allclose(alone._member_outputs(graphs)["answer"][0], outputs[1], atol=1e-4)


def test_a_target_of_several_columns(graphs, crystals):
    target = np.stack([crystals[1], crystals[1] ** 2], axis=1)
    mean, std = (
        make(GraphTRIADSRegressor, **_ONCE).fit(graphs, target).predict(graphs, return_std=True)
    )
    assert mean.shape == std.shape == (40, 2)


def test_pipeline_cross_validation_and_files(crystals, tmp_path):
    structures, target, _ = crystals
    network = make(GraphTRIADSRegressor, unknown_elements="ignore", **_ONCE)
    model = make_pipeline(CrystalGraphFeaturizer(), network)
    scores = cross_val_score(model, structures, target, cv=2, scoring="neg_mean_absolute_error")
    assert np.isfinite(scores).all()
    model.fit(structures, target)
    trisk.save(model, tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    assert np.allclose(loaded.predict(structures), model.predict(structures), rtol=1e-9)
    assert np.array_equal(
        pickle.loads(pickle.dumps(model)).predict(structures), model.predict(structures)
    )

"""Columns that a trained network predicts of structures: names, contract, faults, and worth."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from nested import make
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import trisk
from trisk import (
    GraphTRIADSRegressor,
    TriForcesPretrainer,
    TriForcesRegressor,
    TriForcesSensors,
)
from trisk.estimators.pretrainer import SENSORS
from trisk.estimators.triforces import load_pretrained
from trisk.featurizers import (
    CrystalGraphFeaturizer,
    FeaturizationError,
    MagpieFeaturizer,
    SpringModelFeaturizer,
)
from trisk.featurizers.potential._columns import MEASUREMENTS, sensor_columns
from trisk.testing import make_structures

_SMALL = {"hidden_dim": 8, "n_layers": 1, "cutoff": 4.0, "max_epochs": 1, "random_state": 0}


def small(n_targets=2, **settings):
    """A small network of another target or of several."""
    structures = make_structures(8)[0]
    y = np.random.default_rng(0).normal(size=(8, n_targets) if n_targets > 1 else 8)
    return make(TriForcesRegressor, **_SMALL, **settings).fit(structures, y)


def test_columns_are_those_of_the_weights_that_ship():
    crystals = pd.Series([bulk("Cu"), bulk("Si")], index=["copper", "silicon"])
    transformer = TriForcesSensors()
    X = transformer.fit_transform(crystals)
    assert X.index.tolist() == ["copper", "silicon"]
    assert X.columns.tolist() == transformer.get_feature_names_out().tolist()
    assert X.columns[0] == "Sensor energy"
    np.testing.assert_array_equal(X, load_pretrained("default").predict(crystals))
    measured = [name.removeprefix("Potential ") for name in sensor_columns(list(MEASUREMENTS))]
    assert set(SENSORS) <= set(measured)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_columns_of_any_other_network_are_numbered(n_targets, tmp_path):
    structures = make_structures(5)[0]
    regressor = small(n_targets)
    regressor.save(tmp_path / "network.trisk")
    for source in (regressor, tmp_path / "network.trisk"):
        X = TriForcesSensors(pretrained=source).fit_transform(structures)
        assert X.columns.tolist() == [f"Sensor {k}" for k in range(n_targets)]
        expected = regressor.predict(structures).reshape(5, n_targets)
        np.testing.assert_array_equal(X, expected)


def test_contract__clone_pickle_save(tmp_path):
    structures = make_structures(5)[0]
    transformer = TriForcesSensors(pretrained=small()).fit(structures)
    X = transformer.transform(structures)
    trisk.save(transformer, tmp_path / "sensors.trisk")
    for copy in (
        clone(transformer).fit(structures),
        pickle.loads(pickle.dumps(transformer)),
        trisk.load(tmp_path / "sensors.trisk"),
    ):
        pd.testing.assert_frame_equal(copy.transform(structures), X)
    with pytest.raises(NotFittedError):
        clone(transformer).transform(structures)


def test_bad_structures_of_graphs_are_empty_rows():
    graphs = CrystalGraphFeaturizer(order=1, composition=None, on_error="nan")
    model = make_pipeline(graphs, TriForcesSensors())
    with pytest.warns(UserWarning, match=r"1 of 3 rows|1 structures have no atoms"):
        X = model.fit_transform([bulk("Cu"), None, bulk("Si")])
    assert X.isna().all(axis=1).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="row 1: 'None': the value is missing"):
        TriForcesSensors().fit_transform([bulk("Cu"), None])


def test_context_of_graphs__beside_featurizers_in_their_order():
    crystals = [bulk("Cu"), bulk("Si"), bulk("MgO", "rocksalt", 4.2)]
    sensors, springs = TriForcesSensors(), SpringModelFeaturizer()
    blocks = {"structure": [sensors, springs], "composition": None}
    graphs = CrystalGraphFeaturizer(order=1, **blocks).fit_transform(crystals)
    assert not hasattr(sensors, "regressor_")
    tables = [block.fit_transform(crystals) for block in (sensors, springs)]
    assert graphs.names["context"] == (*tables[0].columns, *tables[1].columns)
    np.testing.assert_allclose(graphs.context, np.hstack(tables), rtol=1e-4, atol=1e-5)


def test_context_of_graphs__bad_structures__are_empty_rows():
    first, second = make_structures(2)[0]
    featurizer = CrystalGraphFeaturizer(order=1, structure=TriForcesSensors(pretrained=small()))
    with pytest.raises(FeaturizationError, match="row 1"):
        featurizer.fit_transform([first, None, second])
    featurizer.set_params(on_error="nan")
    for rows in ([first, None, second], [None]):
        with pytest.warns(UserWarning, match="rows are graphs without atoms") as caught:
            graphs = featurizer.fit_transform(rows)
        assert len(caught) == 1
        empty = [row is None for row in rows]
        assert np.isnan(graphs.context).all(axis=1).tolist() == empty
        assert np.isnan(graphs.context).any(axis=1).tolist() == empty


def test_context_of_graphs__fitted_embedding__stays_as_it_is(tmp_path):
    structures, y, _ = make_structures(12)
    pretrainer = make(TriForcesPretrainer, **_SMALL).fit(structures)
    featurizer = CrystalGraphFeaturizer(
        order=1, composition=None, structure=FrozenEstimator(pretrainer)
    )
    model = make_pipeline(featurizer, make(TriForcesRegressor, context=True, **_SMALL))
    graphs = clone(featurizer).fit_transform(structures)
    np.testing.assert_allclose(graphs.context, pretrainer.transform(structures), rtol=1e-5)
    model.fit(structures, y)
    trisk.save(model, tmp_path / "model.trisk")
    again = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(again.predict(structures), model.predict(structures))


@pytest.mark.filterwarnings("ignore:.*elements that the training set had not:UserWarning")
def test_mean_of_two_networks_on_structures():
    structures, y, _ = make_structures(20)
    blocks = {"structure": [SpringModelFeaturizer(), TriForcesSensors()], "order": 1}
    networks = (
        make(GraphTRIADSRegressor, order=1, n_members=1, max_epochs=1, random_state=0),
        make(TriForcesRegressor, context=True, **_SMALL),
    )
    models = [
        (type(network).__name__, make_pipeline(CrystalGraphFeaturizer(**blocks), network))
        for network in networks
    ]
    both = VotingRegressor(models).fit(structures, y)
    expected = np.mean([model.fit(structures, y).predict(structures) for _, model in models], 0)
    np.testing.assert_allclose(both.predict(structures), expected)
    assert np.isfinite(cross_val_score(both, structures, y, cv=2, error_score="raise")).all()


def test_networks_that_cannot_serve_are_refused(tmp_path):
    streams = tmp_path / "streams.trisk"
    make(TriForcesPretrainer, **_SMALL).fit(make_structures(8)[0]).save(streams)
    with pytest.raises(TypeError, match=r"is a TriForcesPretrainer, which .*\"default\""):
        TriForcesSensors(pretrained=streams).fit([])
    with pytest.raises(FileNotFoundError, match='are named "default"'):
        TriForcesSensors(pretrained="sensor").fit([])
    with pytest.raises(NotFittedError):
        TriForcesSensors(pretrained=TriForcesRegressor()).fit([])
    structures, y, _ = make_structures(8)
    graphs = CrystalGraphFeaturizer(order=1).fit_transform(structures)
    with pytest.raises(ValueError, match="context=True"):
        TriForcesSensors(
            pretrained=make(TriForcesRegressor, context=True, **_SMALL).fit(graphs, y)
        ).fit([])


def test_forest_learns_more_of_vibrations_than_from_magpie_alone(matbench_dir):
    X, y = trisk.load_matbench("phonons")
    X, y = X[:200], np.log(y[:200])
    forest = ExtraTreesRegressor(50, random_state=0)
    magpie, sensors = (f.fit_transform(X) for f in (MagpieFeaturizer(), TriForcesSensors()))
    alone, both = (
        -cross_val_score(forest, columns, y, cv=4, scoring="neg_mean_absolute_error").mean()
        for columns in (magpie, np.hstack([magpie, sensors]))
    )
    assert both < 0.85 * alone

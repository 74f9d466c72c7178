"""Calibrated spreads, intervals and probabilities of networks on structures."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss

import trisk
from trisk.estimators import (
    GraphTRIADSClassifier,
    GraphTRIADSOptions,
    GraphTRIADSRegressor,
    TriForcesClassifier,
    TriForcesOptions,
    TriForcesRegressor,
)
from trisk.featurizers import CrystalGraphFeaturizer
from trisk.testing import make_structures

_GRAPHS = {
    "network": GraphTRIADSOptions(order=1, hidden_dim=8, bond_dim=8, min_cycles=1, max_cycles=2),
    "max_epochs": 8,
    "random_state": 0,
}
_STREAMS = {
    "network": TriForcesOptions(hidden_dim=8, n_layers=1, cutoff=3.5),
    "max_epochs": 4,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def crystals():
    structures, frequency, kind = make_structures(100)
    return CrystalGraphFeaturizer(order=1).fit_transform(structures), frequency, kind


REGRESSORS = [GraphTRIADSRegressor(**_GRAPHS), TriForcesRegressor(**_STREAMS)]
CLASSIFIERS = [
    GraphTRIADSClassifier(**{**_GRAPHS, "max_epochs": 30}),
    TriForcesClassifier(**{**_STREAMS, "max_epochs": 24}),
]


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("n_members", [1, 2])
def test_intervals_hold_what_they_promise(crystals, model, n_members, tmp_path):
    X, y, _ = crystals
    model = (
        clone(model).set_params(calibrate=True, n_members=n_members).fit(X.take(range(60)), y[:60])
    )
    test = X.take(range(60, 100))
    low, high = model.predict_interval(test, coverage=0.9)
    assert 0.75 <= ((low <= y[60:]) & (y[60:] <= high)).mean() <= 1
    center, std = model.predict(test, return_std=True)
    assert std.min() > 0
    assert (np.ptp(std) == 0) == (n_members == 1)  # one network knows its mean error alone
    np.testing.assert_allclose((low + high) / 2, center)
    model.save(tmp_path / "model.trisk")
    np.testing.assert_allclose(
        trisk.load(tmp_path / "model.trisk").predict_interval(test), [low, high]
    )


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_probabilities_are_tempered(crystals, model):
    X, _, kind = crystals
    rng = np.random.default_rng(0)
    noisy = np.where(rng.uniform(size=len(kind)) < 0.4, rng.permutation(kind), kind)
    model = clone(model).set_params(n_members=1)
    train, test = X.take(range(60)), X.take(range(60, 100))
    plain = clone(model).fit(train, noisy[:60])
    calibrated = clone(model).set_params(calibrate=True).fit(train, noisy[:60])
    assert calibrated.temperature_ > 1
    raw, tempered = (m.predict_proba(test) for m in (plain, calibrated))
    np.testing.assert_array_equal(raw.argmax(1), tempered.argmax(1))
    assert log_loss(noisy[60:], tempered) < log_loss(noisy[60:], raw)


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda model: type(model).__name__)
def test_networks_are_those_of_a_fit_without(crystals, model):
    X, y, _ = crystals
    plain = clone(model).fit(X, y)
    calibrated = clone(model).set_params(calibrate=True).fit(X, y)
    np.testing.assert_array_equal(plain.predict(X), calibrated.predict(X))
    # Nothing of a calibration outlives it.
    again = calibrated.set_params(calibrate=False).fit(X, y)
    assert not hasattr(again, "interval_factors_")
    with pytest.raises(ValueError, match="fit with calibrate=True"):
        again.predict_interval(X)


def test_several_targets_with_missing_ones(crystals):
    X, y, _ = crystals
    both = np.column_stack([y, -2 * y])
    both[::3, 1] = np.nan
    model = GraphTRIADSRegressor(calibrate=True, n_members=2, **_GRAPHS).fit(X, both)
    assert model.spread_scale_.shape == (2, 2)
    low, high = model.predict_interval(X)
    assert np.isfinite(low).all()
    assert (low < high).all()


def test_few_structures_and_atoms_cannot_be_calibrated(crystals):
    X, y, _ = crystals
    few = X.take(range(12))
    with pytest.warns(UserWarning, match="calibrate=True does nothing for 12 rows"):
        GraphTRIADSRegressor(calibrate=True, **_GRAPHS).fit(few, y[:12])
    of_atoms = TriForcesRegressor(calibrate=True, level="atom", **_STREAMS)
    with pytest.raises(ValueError, match="set level='structure'"):
        of_atoms.fit(few, [np.zeros(n) for n in few.counts("atom")])


def test_inner_networks_go_on_from_their_checkpoints(crystals, tmp_path):
    X, y, _ = crystals
    model = GraphTRIADSRegressor(calibrate=True, checkpoint=tmp_path / "state", **_GRAPHS)
    first = clone(model).fit(X, y)
    assert {path.name for path in tmp_path.iterdir()} >= {"state", "state.inner-0"}
    second = clone(model).fit(X, y)
    np.testing.assert_array_equal(first.interval_factors_, second.interval_factors_)

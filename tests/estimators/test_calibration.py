"""Calibrated spreads, intervals and probabilities of networks on structures."""

import numpy as np
import pandas as pd
import pytest
from nested import make
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import log_loss

import trisk
from trisk.estimators import (
    CalibratedVotingRegressor,
    GraphTRIADSClassifier,
    GraphTRIADSOptions,
    GraphTRIADSRegressor,
    HybridTRIADSClassifier,
    TriForcesClassifier,
    TriForcesOptions,
    TriForcesRegressor,
)
from trisk.estimators.equality import equal_rows
from trisk.featurizers import CrystalGraphFeaturizer
from trisk.structures import read_structures
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


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda model: type(model).__name__)
def test_intervals_of_shares_stay_between_their_ends(crystals, model):
    X, y, _ = crystals
    shares = (y - y.min()) / np.ptp(y)
    model = clone(model).set_params(calibrate=True, link="logit").fit(X, shares)
    low, high = model.predict_interval(X)
    assert (low >= 0).all()
    assert (high <= 1).all()
    # Nor does the link of an earlier fit count.
    low, high = model.set_params(link="identity").fit(X, 10 * shares - 5).predict_interval(X)
    assert (low < 0).any()
    assert (high > 1).any()


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


@pytest.fixture
def mean_of_two():
    models = [("line", Ridge()), ("trees", ExtraTreesRegressor(20, random_state=0))]
    return CalibratedVotingRegressor(models, random_state=0)


def noisy_table(n_rows, seed):
    """Rows whose target is twice as uncertain where the first column is large."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    return X, X[:, 0] + np.abs(X[:, 1]) + rng.normal(size=n_rows)


def test_mean__is_that_of_scikit_learn_and_its_intervals_hold_new_rows(mean_of_two, tmp_path):
    (X, y), (new, truth) = noisy_table(300, 0), noisy_table(2000, 1)
    model = mean_of_two.fit(X, y)
    plain = VotingRegressor(mean_of_two.estimators).fit(X, y)
    np.testing.assert_allclose(model.predict(new), plain.predict(new))
    mean, std = model.predict(new, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(new))
    assert 0.9 < np.sqrt(np.mean(((truth - mean) / std) ** 2)) < 1.1
    low, high = model.predict_interval(new, coverage=0.8)
    assert 0.75 < np.mean((low <= truth) & (truth <= high)) < 0.85
    trisk.save(model, tmp_path / "model.trisk")
    np.testing.assert_allclose(
        trisk.load(tmp_path / "model.trisk").predict_interval(new, coverage=0.8), [low, high]
    )


def test_mean__weights_count_in_the_spread(mean_of_two):
    X, y = noisy_table(100, 0)
    model = mean_of_two.set_params(weights=[3, 1], calibrate=False).fit(X, y)
    line, trees = model.transform(X).T
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, (3 * line + trees) / 4)
    np.testing.assert_allclose(std, np.sqrt(3) / 4 * np.abs(line - trees))
    with pytest.raises(ValueError, match="fit with calibrate=True"):
        model.predict_interval(X)
    with pytest.warns(UserWarning, match="does nothing for 10 rows"):
        model.set_params(calibrate=True).fit(X[:10], y[:10])


def test_pipeline_of_structures__is_calibrated():
    structures, y, _ = make_structures(24)
    settings = {"max_epochs": 1, "pretrained": False, "random_state": 0}
    model = trisk.structure_pipeline(**settings)
    plain = trisk.structure_pipeline(**settings, calibrate=False)
    mean, std = model.fit(structures, y).predict(structures, return_std=True)
    np.testing.assert_array_equal(mean, plain.fit(structures, y).predict(structures))
    assert np.isfinite(std).all()
    assert (std > 0).all()
    shares = (y - y.min()) / np.ptp(y)
    model = trisk.structure_pipeline(target="bounded", **settings).fit(structures, shares)
    low, high = model.predict_interval(structures)
    assert (low >= 0).all()
    assert (high <= 1).all()
    for wanted in (True, False):
        classes = trisk.structure_pipeline(classification=True, calibrate=wanted)
        assert {steps["model"].calibrate for _, steps in classes.estimators} == {wanted}
    for wanted in (None, True):
        fast = trisk.structure_pipeline(fast=True, calibrate=wanted)
        assert fast["model"].calibrate == bool(wanted)


_FEW = {"n_members": 2, "max_epochs": 5, "hidden_dim": 8}


def test_class_weights__count_once_on_inner_folds():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (X[:, 0] + rng.normal(size=120) > 0).astype(int)
    model = make(HybridTRIADSClassifier, calibrate=True, random_state=0, **_FEW)
    by_class = clone(model).set_params(class_weight={0: 1, 1: 10}).fit(X, y)
    by_row = clone(model).fit(X, y, sample_weight=np.where(y == 1, 10.0, 1.0))
    assert by_class.temperature_ == pytest.approx(by_row.temperature_, rel=1e-3)


def test_rows_of_no_weight__set_no_interval():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y, weight = X @ [1.0, 2.0, 3.0] + rng.normal(0, 0.1, 90), np.repeat([1.0, 0.0], [60, 30])
    wrong = np.where(weight > 0, y, y + 1000)
    model = CalibratedVotingRegressor([("a", Ridge()), ("b", LinearRegression())], random_state=0)
    clean, spoiled = (clone(model).fit(X, t, sample_weight=weight) for t in (y, wrong))
    np.testing.assert_allclose(clean.interval_factors_, spoiled.interval_factors_)
    with pytest.raises(ValueError, match="One regressor has no spread"):
        CalibratedVotingRegressor([("a", Ridge())], calibrate=False).fit(X, y).predict(X, True)


def test_equal_rows__of_structures_files_and_process_columns(tmp_path):
    structures, *_ = make_structures(4)
    structures[1].to(str(tmp_path / "b.cif"))
    rows = [structures[0], structures[1], structures[0].copy(), structures[2]]
    assert equal_rows(rows).tolist() == [0, 1, 0, 2]
    assert equal_rows(read_structures(rows)[0]).tolist() == [0, 1, 0, 2]
    table = pd.DataFrame({"structure": rows, "T": [300, 300, 300, None]})
    assert equal_rows(table).tolist() == [0, 1, 0, 2]
    assert equal_rows(table.assign(T=[300, 300, 400, 300])).tolist() == [0, 1, 2, 3]
    assert equal_rows(["Fe", "Al", "Fe"]).tolist() == [0, 1, 0]
    assert equal_rows(np.array([[1.0, 0.0], [2, 0], [1, -0.0]])).tolist() == [0, 1, 0]

"""Tables and targets at the edges of numbers: finite weights and predictions, or an explanation."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import NotFittedError

from reliability.models import case
from trisk.estimators import (
    DeltaRegressor,
    HurdleRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
)

_SMALL = {"n_members": 2, "max_epochs": 4, "random_state": 0}
_WIDTH = {"hidden_dim": 8, "feedforward_dim": 8}


def _small(**network):
    return HybridTRIADSRegressor(network=HybridTRIADSOptions(**_WIDTH, **network), **_SMALL)


_ESTIMATORS = {
    "neighbours": _small(),
    "standard": _small(scaling="standard").set_params(n_neighbors=None),
    "attention": _small(n_attention_layers=1, attention_dim=8),
    "stacked": _small().set_params(
        stack_with=ExtraTreesRegressor(3, random_state=0), calibrate=True
    ),
    "hurdle": HurdleRegressor(ExtraTreesClassifier(3), ExtraTreesRegressor(3), random_state=0),
    "delta": DeltaRegressor(_small(), kind="difference"),
    "classifier": HybridTRIADSClassifier(network=HybridTRIADSOptions(**_WIDTH), **_SMALL),
}
_RNG = np.random.default_rng(0)
_X = _RNG.normal(size=(30, 4))
_Y = _X[:, 0] + 0.1 * _RNG.normal(size=30)
_TABLES = {
    "constant columns": np.hstack([_X[:, :2], np.full((30, 2), 7.3)]),
    "nothing but constants": np.full((30, 3), 2.5),
    "1e-30": _X * 1e-30,
    "1e30": _X * 1e30,
    "all scales": _X * [1e-30, 1e30, 1.0, 1e10],
    "far from zero": _X + 1e15,
    "outlier": np.where(np.arange(120).reshape(30, 4) == 5, 1e30, _X),
    "duplicated rows": np.repeat(_X[:3], 10, axis=0),
    "duplicated columns": np.repeat(_X[:, :1], 4, axis=1),
    "two rows": _X[:2],
}
_TARGETS = {
    "1e-30": _Y * 1e-30,
    "1e30": _Y * 1e30,
    "outlier": np.where(np.arange(30) == 3, 1e30, _Y),
    "far from zero": _Y + 1e12,
}


def _weights(model):
    """All weights of the networks in a model."""
    parts = [model, getattr(model, "regressor_", None)]
    nets = [part.net_ for part in parts if hasattr(part, "net_")]
    return [p for net in nets for p in net.module_.state_dict().values()]


@pytest.mark.filterwarnings("ignore:calibrate=True does nothing")  # of rows that are all equal
@pytest.mark.parametrize("table", _TABLES)
@pytest.mark.parametrize("name", _ESTIMATORS)
def test_strange_table__gives_finite_weights_and_predictions(name, table):
    X = _TABLES[table]
    y = _Y[: len(X)] > np.median(_Y[: len(X)]) if name == "classifier" else _Y[: len(X)]
    if name == "stacked" and len(X) == 2:
        pytest.skip("two rows cannot be held out")
    model = clone(_ESTIMATORS[name]).fit(X, y)
    answer = model.predict_proba(X) if name == "classifier" else model.predict(X)
    assert np.isfinite(answer).all()
    assert all(bool(w.isfinite().all()) for w in _weights(model))


@pytest.mark.parametrize("target", _TARGETS)
@pytest.mark.parametrize("name", [n for n in _ESTIMATORS if n != "classifier"])
def test_strange_target__gives_finite_weights_and_predictions(name, target):
    y = _TARGETS[target]
    model = clone(_ESTIMATORS[name]).fit(_X, y)
    answer = model.predict(_X)
    assert np.isfinite(answer).all()
    assert all(bool(w.isfinite().all()) for w in _weights(model))


@pytest.mark.parametrize("value", [0.0, 3.25, -1e30, 1e-30])
@pytest.mark.parametrize("name", ["neighbours", "standard", "attention", "stacked", "hurdle"])
def test_one_repeated_target__is_predicted(name, value):
    model = clone(_ESTIMATORS[name]).fit(_X, np.full(30, value))
    np.testing.assert_allclose(model.predict(_X), value, rtol=1e-12)


# A structure is repeated in place of others, whose elements training then lacks.
@pytest.mark.filterwarnings("ignore:.*elements that the training set had not:UserWarning")
@pytest.mark.parametrize("name", ["GraphTRIADSRegressor", "TriForcesRegressor"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_structures_with_strange_targets__are_fitted(name, scale):
    subject = case(name)
    X, y = subject.data()
    model = subject.build().fit([X[0]] * 4 + X[4:], y * scale)
    answer = model.predict(X)
    assert np.isfinite(answer).all()
    if scale == 0.0:
        np.testing.assert_array_equal(answer, 0)


# scikit-learn sums a table to see whether it is finite.
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
@pytest.mark.parametrize("scaling", ["robust", "standard"])
def test_columns_and_targets_beyond_double_precision__are_refused(scaling):
    model = _small(scaling=scaling)
    with pytest.raises(ValueError, match=r"target .* too large; give it in a larger unit"):
        model.fit(_X, _Y * 1e200)
    for scale in (1e-160, 1e-300, 1e-310):
        with pytest.raises(ValueError, match=r"Targets differ by .*e-\d+; .* a smaller unit"):
            model.fit(_X, _Y * scale)
    X = np.where(_X > 0, 1.7e308, -1.7e308)
    with pytest.raises(ValueError, match=r"Column 0 ranges from -1.7e.308 to 1.7e.308"):
        model.fit(X, _Y)


_DIVERGING = {
    "learning_rate": 1e30,
    "training__max_grad_norm": None,
    "training__schedule": "constant",
}


@pytest.mark.parametrize("max_epochs", [1, 5])
@pytest.mark.parametrize(
    "name", ["HybridTRIADSRegressor", "GraphTRIADSRegressor", "TriForcesRegressor"]
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_diverging_training__stops_with_an_explanation(name, max_epochs):
    subject = case(name)
    X, y = subject.data()
    model = subject.build()
    last = getattr(model, "steps", [[None, model]])[-1][1]
    last.set_params(max_epochs=max_epochs, batch_size=8, **_DIVERGING)
    with pytest.raises(
        FloatingPointError, match="learning_rate or training__max_grad_norm usually cures"
    ):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)

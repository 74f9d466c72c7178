"""Scores that are told while a model trains."""

import numpy as np
import pytest
from ase.build import bulk
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from trisk import CrystalGraphFeaturizer, GraphTRIADSRegressor, TriForcesRegressor
from trisk.estimators import GraphTRIADSOptions, TriForcesOptions
from trisk.model_selection._folds import score_folds

CRYSTALS = [bulk("Cu", a=a) for a in np.linspace(3.4, 3.9, 6)]
TARGET = np.linspace(0.0, 1.0, 6)
FOLDS = [(np.arange(3), np.arange(3, 6)), (np.arange(3, 6), np.arange(3))]


def negative_error(model, X, y):
    return -np.abs(model.predict(X) - y).mean()


def graph_triads():
    options = GraphTRIADSOptions(order=1, hidden_dim=8, min_cycles=1, max_cycles=2)
    network = GraphTRIADSRegressor(n_members=1, max_epochs=20, network=options, random_state=0)
    return make_pipeline(CrystalGraphFeaturizer(order=1), network)


def triforces(n_members=1):
    options = TriForcesOptions(hidden_dim=8, n_layers=1)
    return TriForcesRegressor(n_members=n_members, max_epochs=20, network=options, random_state=0)


@pytest.mark.parametrize(
    ("model", "shares"),
    [
        (graph_triads(), np.r_[0.1:1.05:0.1, 1.1:1.95:0.1] / 2),
        (triforces(), np.r_[0.1:1.05:0.1, 1.1:1.95:0.1] / 2),
        (triforces(n_members=2), np.r_[0.05:0.46:0.05, 1, 1.05:1.46:0.05] / 2),
        (Ridge(), [0.5]),
    ],
)
def test_networks_are_judged_while_they_train(model, shares):
    X = np.arange(6.0)[:, None] if isinstance(model, Ridge) else CRYSTALS
    told = []
    scores = score_folds(model, X, TARGET, FOLDS, negative_error, report=lambda *t: told.append(t))
    np.testing.assert_allclose([share for _, share in told], shares)
    assert np.isfinite([score for score, _ in told]).all()
    silent = score_folds(model, X, TARGET, FOLDS, negative_error)
    np.testing.assert_allclose(scores, silent, rtol=1e-6)

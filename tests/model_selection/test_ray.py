"""Folds and trials on a local Ray of two workers."""

import joblib
import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from sklearn.linear_model import Ridge

from trisk import HybridTRIADSRegressor
from trisk.estimators import HybridTRIADSOptions
from trisk.model_selection import cross_validate, nested_cross_validate, optuna_search

ray = pytest.importorskip("ray", reason="pip install 'trisk[ray]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, at start and end


@pytest.fixture(scope="module")
def cluster():
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    yield
    ray.shutdown()


def test_folds_and_trials__same_as_serial(cluster, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(0, 0.3, 60)
    network = HybridTRIADSOptions(hidden_dim=8, feedforward_dim=8, n_steps=1)
    model = HybridTRIADSRegressor(n_members=2, max_epochs=4, network=network, random_state=0)
    serial = nested_cross_validate(model, X, y, outer=2, verbose=0)
    search = {
        "space": {"alpha": FloatDistribution(1e-3, 1e3, log=True)},
        "n_trials": 6,
        "cv": 2,
        "random_state": 0,
        "verbose": 0,
    }
    with joblib.parallel_config(backend="ray"):
        spread = nested_cross_validate(model, X, y, outer=2, n_jobs=2, verbose=0)
        scores = cross_validate(model, X, y, cv=2, scoring="r2", n_jobs=2)["test_score"]
        study = tmp_path / "study.log"
        found = optuna_search(Ridge(), X, y, storage=str(study), n_jobs=2, **search)
    np.testing.assert_allclose(spread.folds["mae"], serial.folds["mae"], rtol=1e-3)
    assert len(scores) == 2
    assert len(found.trials_dataframe()) in (6, 7)  # two workers may end one each

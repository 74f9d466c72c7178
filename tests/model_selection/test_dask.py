"""Folds and trials on a local Dask cluster of two workers."""

import os
import signal
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from trisk import HybridTRIADSRegressor, MagpieFeaturizer
from trisk.estimators import HybridTRIADSOptions
from trisk.model_selection import cross_validate, nested_cross_validate, optuna_search

distributed = pytest.importorskip("distributed", reason="pip install 'trisk[dask]'")
# Sockets and processes of the cluster are collected after it is closed.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SMALL = HybridTRIADSOptions(hidden_dim=8, feedforward_dim=8, n_steps=1)
TINY = {"n_members": 2, "max_epochs": 4, "network": SMALL}


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(0, 0.3, 60)


def test_folds__same_scores_as_serial(cluster, data):
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    serial = nested_cross_validate(model, *data, outer=2, verbose=0)
    with joblib.parallel_config(backend="dask"):
        spread = nested_cross_validate(model, *data, outer=2, n_jobs=2, verbose=0)
        scores = cross_validate(model, *data, cv=2, scoring="r2", n_jobs=2)["test_score"]
    # Folds trained in one batch and one by one differ by rounding.
    np.testing.assert_allclose(spread.folds["mae"], serial.folds["mae"], rtol=1e-3)
    assert len(scores) == 2


def test_formulas__folds_keep_to_their_workers(cluster):
    """Featurizers would hand their parts to workers that all wait for them."""
    formulas, y = ["Fe2O3", "NaCl", "MgO", "GaAs", "TiO2", "SiC"] * 4, np.arange(24.0)
    model = make_pipeline(MagpieFeaturizer(n_jobs=2), HybridTRIADSRegressor(**TINY, random_state=0))
    serial = cross_validate(model, formulas, y, cv=2)
    with joblib.parallel_config(backend="dask"):
        spread = cross_validate(model, formulas, y, cv=2, n_jobs=2)
        nested = nested_cross_validate(model, formulas, y, outer=2, n_jobs=2, verbose=0)
    np.testing.assert_allclose(spread["test_score"], serial["test_score"], rtol=1e-2)
    for kind in ("train", "test"):
        for one, other in zip(spread["indices"][kind], serial["indices"][kind], strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(spread["estimator"]) == len(nested.estimators) == 2


class Slow(Ridge):
    """Takes its time, and notes every fit with its process."""

    def __init__(self, alpha=1.0, *, log=None):
        super().__init__(alpha)
        self.log = log

    def fit(self, X, y):
        with Path(self.log).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {self.alpha!r}\n")
        time.sleep(0.2)
        return super().fit(X, y)


def test_killed_worker__loses_nothing(cluster, data, tmp_path):
    log = tmp_path / "fits"

    def kill_the_first():
        deadline = time.monotonic() + 60
        written = ""
        while "\n" not in written and time.monotonic() < deadline:
            time.sleep(0.02)
            written = log.read_text(encoding="utf-8") if log.exists() else ""
        os.kill(int(written.split()[0]), signal.SIGKILL)

    import threading

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    settings = {
        "space": {"alpha": FloatDistribution(1e-3, 1e3, log=True)},
        "n_trials": 8,
        "cv": 2,
        "random_state": 0,
        "verbose": 0,
    }
    with joblib.parallel_config(backend="dask"):
        search = optuna_search(
            Slow(log=str(log)), *data, storage=str(tmp_path / "study.log"), n_jobs=2, **settings
        )
    killer.join()
    frame = search.trials_dataframe()
    # A journal has no heartbeats: another trial replaces the one that was lost.
    assert 8 <= len(frame) <= 9
    assert set(frame["state"]) <= {"complete", "pruned"}
    assert len(search.study_.trials) == len(frame) + 1
    pids = {line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()}
    assert len(pids) >= 3  # the killed worker, others, and this process, which fits the best

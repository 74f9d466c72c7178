"""
Folds and trials on other machines
==================================

Nothing in trisk knows of Dask: inside ``parallel_config(backend="dask")`` the folds of
``nested_cross_validate`` and the processes of ``optuna_search`` run on the workers of the cluster.
``python examples/dask_folds.py tcp://head-node:8786`` takes a cluster that runs; without an address
one is started here. The same holds for Ray: after ``ray.util.joblib.register_ray()``, say
``backend="ray"``. Needs ``pip install trisk[dask]``; a minute.
"""

import sys
import tempfile
from pathlib import Path

import joblib
from dask.distributed import Client, LocalCluster

import trisk

X, y = trisk.load_band_gaps()
X, y = X[:100], y[:100]
model = trisk.composition_pipeline("general", fast=True, n_members=1, max_epochs=10, random_state=0)

# %%
# Two workers. The search keeps its study in a file (a URL of PostgreSQL for many machines), so a
# worker that dies loses nothing: the trial it was running is run again. The guard is for workers
# that are started as new processes, which import this script.

if __name__ == "__main__":
    cluster = sys.argv[1] if len(sys.argv) > 1 else LocalCluster(2, threads_per_worker=1)
    with Client(cluster) as client, tempfile.TemporaryDirectory() as folder:
        print(f"{len(client.scheduler_info()['workers'])} workers")
        with joblib.parallel_config(backend="dask"):
            folds = trisk.nested_cross_validate(model, X, y, n_jobs=-1, verbose=0).folds
            search = trisk.optuna_search(
                model,
                X,
                y,
                n_trials=4,
                cv=3,
                scoring="neg_mean_absolute_error",
                storage=str(Path(folder) / "study.log"),
                n_jobs=2,
                random_state=0,
                verbose=0,
            )
        print(folds[["n_train", "n_test", "mae", "fit_seconds"]].round(3).to_string())
        print(f"\nbest of {len(search.trials_dataframe())} trials: {-search.best_score_:.3f} eV")
        print(search.trials_dataframe()[["state", "score", "seconds"]].round(3).to_string())

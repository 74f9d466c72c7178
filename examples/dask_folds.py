"""Folds and trials on other machines: joblib's Dask backend.

    python examples/dask_folds.py
    python examples/dask_folds.py --scheduler tcp://head-node:8786

Nothing in trisk knows of Dask: inside ``parallel_config(backend="dask")`` the folds of
``nested_cross_validate`` and the processes of ``optuna_search`` run on the workers of the cluster.
The search keeps its study in a file (a URL of PostgreSQL for many machines), so a worker that dies
loses nothing: the trial it was running is run again. The same holds for Ray: after
``ray.util.joblib.register_ray()``, say ``backend="ray"``. Needs Dask, by
``pip install 'trisk[dask]'``, and takes a few minutes with two local workers.
"""

import argparse
import tempfile
from pathlib import Path

import joblib
from dask.distributed import Client, LocalCluster

import trisk


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scheduler", help="address of a running cluster; a local one by default")
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    X, y = trisk.load_band_gaps()
    settings = {"n_members": 4}
    if arguments.quick:
        X, y, settings = X[:60], y[:60], {"n_members": 1, "max_epochs": 2}
    model = trisk.composition_pipeline("general", random_state=0, **settings)

    cluster = arguments.scheduler or LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    )
    with Client(cluster) as client, tempfile.TemporaryDirectory() as folder:
        print(f"{len(client.scheduler_info()['workers'])} workers")
        with joblib.parallel_config(backend="dask"):
            folds = trisk.nested_cross_validate(model, X, y, n_jobs=-1, verbose=0).folds
            search = trisk.optuna_search(
                model,
                X,
                y,
                n_trials=2 if arguments.quick else 10,
                cv=2 if arguments.quick else 5,
                scoring="neg_mean_absolute_error",
                storage=str(Path(folder) / "study.log"),
                n_jobs=2,
                random_state=0,
                verbose=0,
            )
        print(folds[["n_train", "n_test", "mae", "fit_seconds"]].round(3).to_string())
        print(f"\nbest of {len(search.trials_dataframe())} trials: {-search.best_score_:.3f} eV")
        print(search.trials_dataframe()[["state", "score", "seconds"]].round(3).to_string())
    if not arguments.scheduler:
        cluster.close()


if __name__ == "__main__":
    main()

"""What a search gains from training concurrent trials of equal shape as one batch.

    python benchmarks/batched_trials.py [--members 1 2 4 8] [--trials 4] [--epochs 20]

Every trial is a cross-validation whose five folds train as one batch already. On matbench_steels,
``optuna_search`` runs the same trials one after the other and all in one batch
(``trials_together``), each with a learning rate, weight decay and dropout of its own; both ways
must give the same scores. Times are CPU seconds of one thread, so that other work on the machine
does not count.
"""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from matbench import RESULTS, describe_machine

import trisk
from trisk.model_selection import optuna_search, search_space

RATES = ("learning_rate", "weight_decay", "dropout")


def main():
    """Time both ways, for ensembles of one to eight networks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    formulas, y = trisk.load_matbench("steels")
    pipeline = trisk.composition_pipeline("steels", max_epochs=options.epochs, random_state=0)
    X = pipeline["features"].fit_transform(formulas)
    measure(pipeline["model"], X, y, n_members=1, n_trials=1, together=1)  # warm up
    report = {
        "machine": describe_machine(),
        "folds": 5,
        "epochs": options.epochs,
        "trials": options.trials,
        "rows": [],
    }
    for n_members in options.members:
        settings = {"n_members": n_members, "n_trials": options.trials}
        apart, scores = measure(pipeline["model"], X, y, together=1, **settings)
        together, same = measure(pipeline["model"], X, y, together=options.trials, **settings)
        np.testing.assert_allclose(same, scores, rtol=1e-3)
        row = {
            "members": n_members,
            "trials per minute, one by one": 60 * options.trials / apart,
            "trials per minute, in one batch": 60 * options.trials / together,
            "ratio": apart / together,
        }
        report["rows"].append(row)
        print({name: round(value, 2) for name, value in row.items()}, flush=True)
        (RESULTS / "batched_trials.json").write_text(json.dumps(report, indent=1) + "\n")


def measure(model, X, y, *, n_members, n_trials, together):
    """CPU seconds of a search, and the scores of its trials."""
    space = {name: search_space(model)[name] for name in RATES}
    started = time.process_time()
    search = optuna_search(
        model.set_params(n_members=n_members),
        X,
        y,
        n_trials=n_trials,
        trials_together=together,
        scoring="neg_mean_absolute_error",
        space=space,
        pruner=optuna.pruners.NopPruner(),
        refit=False,
        random_state=0,
        verbose=0,
    )
    return time.process_time() - started, search.trials_dataframe()["score"].to_numpy()


if __name__ == "__main__":
    main()

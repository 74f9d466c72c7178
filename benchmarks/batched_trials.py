"""Would a search gain from training concurrent trials of equal shape as one batch?

    python benchmarks/batched_trials.py

Every trial is a cross-validation whose folds train as one batch already. This measures, on
matbench_steels and five folds, trials per minute one after the other and four at a time in one
batch. The trials of one batch have equal parameters here: learning rates, decay and dropout of
their own would cost a little more, so the ratio is an upper bound of the gain.
"""

import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from matbench import RESULTS, describe_machine
from sklearn.base import clone
from sklearn.model_selection import KFold

import trisk
from trisk.estimators.tables._together import fit_together

N_TRIALS = 4


def main():
    """Time both ways, for ensembles of one to eight networks."""
    formulas, y = trisk.load_matbench("steels")
    pipeline = trisk.composition_pipeline("steels", max_epochs=10)
    X = pipeline["features"].fit_transform(formulas)
    folds = [train for train, _ in KFold(5, shuffle=True, random_state=0).split(X)]
    rows = []
    for n_members in (1, 2, 4, 8):
        trials = [
            [
                (
                    clone(pipeline["model"]).set_params(n_members=n_members, random_state=trial),
                    X.iloc[train],
                    y.iloc[train],
                    None,
                )
                for train in folds
            ]
            for trial in range(N_TRIALS)
        ]
        fit_together(trials[0])  # warm up
        started = time.perf_counter()
        for jobs in trials:
            fit_together(jobs)
        alone = time.perf_counter() - started
        started = time.perf_counter()
        fit_together([job for jobs in trials for job in jobs])
        together = time.perf_counter() - started
        row = {
            "members": n_members,
            "trials per minute, one by one": 60 * N_TRIALS / alone,
            "trials per minute, four in a batch": 60 * N_TRIALS / together,
            "ratio": alone / together,
        }
        rows.append(row)
        print({name: round(value, 2) for name, value in row.items()}, flush=True)
    report = {"machine": describe_machine(), "folds": 5, "epochs": 10, "rows": rows}
    (RESULTS / "batched_trials.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Elements that start from their properties beside elements that start from random vectors.

    python benchmarks/element_vectors.py phonons --epochs 25
    python benchmarks/element_vectors.py perovskites --epochs 6

TriForces from scratch on validation parts of the official training folds; no test fold is touched.
One part of five of each of five training folds is predicted, with a seed of its own. Writes
``results/element_vectors.json``. Needs the Matbench files (``MATMINER_DATA``).
"""

import argparse
import json
from unittest import mock

import numpy as np
from crystal_tasks import TASKS, load_task
from matbench import RESULTS, describe_machine
from sklearn.model_selection import KFold
from structures import of_logarithm

from trisk import TriForcesRegressor
from trisk.nn import TriForcesEncoder


def validation_error(X, y, train, *, task, epochs, seed):
    """Mean absolute error on a fifth of some rows, learned from the others."""
    model = TriForcesRegressor(max_epochs=epochs, random_state=seed)
    if task == "phonons":
        model = of_logarithm(model)
    rows, kept = next(iter(KFold(5, shuffle=True, random_state=0).split(train)))
    model.fit(X.iloc[train[rows]], y.iloc[train[rows]])
    return float(np.abs(model.predict(X.iloc[train[kept]]) - y.iloc[train[kept]]).mean())


def main():
    """Score both in every training fold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--epochs", type=int, required=True)
    arguments = parser.parse_args()
    X, y, folds = load_task(arguments.task)
    path = RESULTS / "element_vectors.json"
    report = json.loads(path.read_text()) if path.is_file() else {"tasks": {}}
    report |= {"machine": describe_machine()}
    mae = {"from properties": [], "random": []}
    for seed, (train, _) in enumerate(folds):
        settings = {"task": arguments.task, "epochs": arguments.epochs, "seed": seed}
        mae["from properties"].append(validation_error(X, y, train, **settings))
        with mock.patch.object(TriForcesEncoder, "start_elements_from"):
            mae["random"].append(validation_error(X, y, train, **settings))
        print({name: round(values[-1], 2) for name, values in mae.items()}, flush=True)
        report["tasks"][arguments.task] = {
            "unit": y.attrs["unit"],
            "epochs": arguments.epochs,
            "validation_mae": mae,
        }
        path.write_text(json.dumps(report, indent=1) + "\n")
    print({name: round(float(np.mean(values)), 2) for name, values in mae.items()})


if __name__ == "__main__":
    main()

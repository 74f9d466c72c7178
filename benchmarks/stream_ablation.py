"""What attention over atoms and elements that start from their properties are worth in TriForces.

    python benchmarks/stream_ablation.py phonons
    python benchmarks/stream_ablation.py perovskites

TriForces from scratch, as in ``structures.py`` but for fewer epochs of the phonons, on validation
parts of the official training folds: of each training fold, a fifth is predicted from the rest,
with a seed of its own. No test fold is touched. Writes ``results/stream_ablation.json``. Needs the
Matbench files (``MATMINER_DATA``).
"""

import argparse
import json
from contextlib import nullcontext
from unittest import mock

import numpy as np
from crystal_tasks import load_task
from inner_validation import inner_folds
from matbench import RESULTS, describe_machine
from structures import STREAM_SETTINGS, of_logarithm

from trisk import TriForcesRegressor
from trisk.nn import TriForcesEncoder

EPOCHS = {"phonons": 25, "perovskites": 6}
#: Name → pooling, and whether elements start from their properties.
ARMS = {
    "attention, properties of elements": ("attention", True),
    "attention, random elements": ("attention", False),
    "mean, properties of elements": ("mean", True),
    "mean, random elements": ("mean", False),
}


def validation_error(X, y, train, kept, *, task, pooling, properties, seed):
    """Mean absolute error on some rows, learned from others."""
    settings = {**STREAM_SETTINGS, "max_epochs": EPOCHS[task], "random_state": seed}
    model = TriForcesRegressor(pooling=pooling, **settings)
    if task == "phonons":
        model = of_logarithm(model)
    left_random = mock.patch.object(TriForcesEncoder, "start_elements_from")
    with nullcontext() if properties else left_random:
        model.fit(X.iloc[train], y.iloc[train])
    return float(np.abs(model.predict(X.iloc[kept]) - y.iloc[kept]).mean())


def main():
    """Score all arms in the training folds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=list(EPOCHS))
    parser.add_argument("--folds", type=int, nargs="*", default=range(5))
    arguments = parser.parse_args()
    X, y, outer = load_task(arguments.task)
    folds = inner_folds(X, y, outer, 1)
    path = RESULTS / "stream_ablation.json"
    report = json.loads(path.read_text()) if path.is_file() else {"tasks": {}}
    mae = {name: [] for name in ARMS}
    for fold in arguments.folds:
        for name, (pooling, properties) in ARMS.items():
            error = validation_error(
                X,
                y,
                *folds[fold],
                task=arguments.task,
                pooling=pooling,
                properties=properties,
                seed=fold,
            )
            mae[name].append(round(error, 2))
            print(f"fold {fold}: {name:36s} {error:8.2f} {y.attrs['unit']}", flush=True)
        report["machine"] = describe_machine()
        report["tasks"][arguments.task] = {
            "unit": y.attrs["unit"],
            "epochs": EPOCHS[arguments.task],
            "validation_mae": mae,
        }
        path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

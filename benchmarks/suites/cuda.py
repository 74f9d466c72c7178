"""Wall-clock seconds of four trainings on the CPU and, where there is one, on the CUDA device.

Needs trisk's estimators alone (torch, scikit-learn, numpy; ASE for the frames), so that it runs on
a bare machine with arrays that were packed elsewhere:

    python -m benchmarks.suites.cuda arrays.joblib
    TRISK_ARRAYS=arrays.joblib python -m benchmarks run cuda
"""

import os
import sys
import time
from functools import cache

import numpy as np

from benchmarks.runner import Model, Suite, Task

ONCE = {"once": 1}
TASKS = {
    "steels, five folds": Task("s", ONCE),
    "phonons, fold 0": Task("s", ONCE),
    "pre-training, one epoch of 1,265 crystals": Task("s", ONCE),
    "energies and forces, 100 steps of 16 frames": Task("s", ONCE),
}


def pack():
    """What the trainings read: a table with folds, graphs with a fold, and frames."""
    from benchmarks import data
    from benchmarks.suites import compositions
    from trisk import CrystalGraphFeaturizer

    X, y, folds = data.matbench("steels")
    crystals, frequencies, official = data.matbench("phonons")
    graphs = CrystalGraphFeaturizer(order=2).fit_transform(crystals)
    return {
        "steels": (compositions.columns("steels").fit_transform(X).to_numpy(), y.to_numpy(), folds),
        "phonons": (graphs, frequencies.to_numpy(), official[0]),
        "frames": data.frames("Si")[0][:16],
    }


@cache
def arrays():
    """Packed arrays where the environment names them, else those of the data folder."""
    import joblib

    return joblib.load(os.environ["TRISK_ARRAYS"]) if "TRISK_ARRAYS" in os.environ else pack()


def steels(device):
    """The recipe on all folds at once."""
    from trisk.estimators import HybridTRIADSRegressor
    from trisk.model_selection import cross_validate

    table, y, folds = arrays()["steels"]
    model = HybridTRIADSRegressor(n_members=16, device=device, random_state=0)
    found = cross_validate(model, table, y, cv=folds, scoring="neg_mean_absolute_error")
    return {"MAE": float(-found["test_score"].mean())}


def phonons(device):
    """GraphTRIADS on a training fold."""
    from trisk.estimators import GraphTRIADSRegressor

    graphs, y, (train, test) = arrays()["phonons"]
    settings = {"network__order": 2, "link": "log", "max_epochs": 25}
    model = GraphTRIADSRegressor(n_members=1, device=device, random_state=0).set_params(**settings)
    predicted = model.fit(graphs[train], y[train]).predict(graphs[test])
    return {"MAE": float(np.abs(predicted - y[test]).mean())}


def pretraining(device):
    """All objectives on crystals without labels."""
    from trisk.estimators import TriForcesPretrainer

    model = TriForcesPretrainer(max_epochs=1, batch_size=32, device=device, random_state=0)
    model.fit(arrays()["phonons"][0])
    return {"training loss": float(model.net_.history[-1, "train_loss"])}


def potential(device):
    """Steps on energies, forces and stresses."""
    from trisk.estimators import TriForcesPotential

    model = TriForcesPotential(batch_size=16, max_epochs=100, device=device, random_state=0)
    model.fit(arrays()["frames"])
    return {"training loss": float(model.net_.history[-1, "train_loss"])}


TRAININGS = dict(zip(TASKS, (steels, phonons, pretraining, potential), strict=True))


def devices():
    """The CPU, and the CUDA device by its name."""
    import torch

    found = {"CPU": Model(dict, {"device": "cpu"})}
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        found["CUDA"] = Model(dict, {"device": "cuda", "name": name})
    return found


MODELS = devices()


def measure(task, split, fold, model):
    """Seconds of a training, and how good its result is."""
    started = time.perf_counter()
    arrays()
    read = time.perf_counter() - started
    quality = TRAININGS[task](MODELS[model].parameters["device"])
    seconds = time.perf_counter() - started - read
    return {"wall-clock seconds": seconds, "seconds": seconds, **quality}


SUITE = Suite("cuda", TASKS, MODELS, measure)

if __name__ == "__main__":
    import joblib

    joblib.dump(pack(), sys.argv[1], compress=3)

"""``kill -9`` at random moments: the next run goes on, and ends with the bits of one run.

``python -m reliability.kill`` runs three kinds of work that are meant to survive: the training of
a TriForces estimator and of a pre-trainer with ``checkpoint=``, and an Optuna study in SQLite. Each
round starts the work in a process of its own, kills it at a random moment, starts it again (and may
kill it once more), lets it end, and compares a digest of the result with that of an uninterrupted
run.
"""

import argparse
import hashlib
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from optuna.distributions import FloatDistribution
from sklearn.linear_model import Ridge

from reliability import _report
from reliability.models import case
from trisk.model_selection import optuna_search


def _digest(*arrays):
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def train(name, folder, max_epochs=12):
    """Fit a case with a checkpoint; digest of its weights and answers."""
    subject = case(name)
    X, y = subject.data()
    model = subject.build().set_params(max_epochs=max_epochs, checkpoint=folder / "checkpoint")
    model.fit(X, y)
    nets = getattr(model, "nets_", None) or [model.net_]
    weights = [w.numpy() for net in nets for w in net.module_.state_dict().values()]
    return _digest(*weights, subject.ask(model, X))


def study(folder, n_trials=12):
    """Search a parameter in a study on disk; digest of all trials and of the best model."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    search = optuna_search(
        Ridge(), X, X[:, 0], space={"alpha": FloatDistribution(1e-3, 1e3, log=True)},
        n_trials=n_trials, cv=3, random_state=0, verbose=0,
        storage=f"sqlite:///{folder}/study.db", study_name="kill",
    )  # fmt: skip
    trials = search.trials_dataframe()
    return _digest(trials[["alpha", "score"]].to_numpy(), search.predict(X))


def work(kind, folder):
    """One piece of work; the digest of its result goes to a file."""
    result = study(folder) if kind == "study" else train(kind, folder)
    (folder / "digest").write_text(result)


def _start(kind, folder):
    # A fork of this process, which has the imports behind it, so that kills hit the work itself.
    process = multiprocessing.get_context("fork").Process(target=work, args=(kind, folder))
    process.start()
    return process


def _finish(process, folder):
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the work ended with {process.exitcode}")
    return (folder / "digest").read_text()


def campaign(kind, n_kills, seed=0):
    """Kill a kind of work `n_kills` times; returns counts and failures."""
    rng = np.random.default_rng([seed, n_kills])
    if kind != "study":
        case(kind).data()  # the imports of the data
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        expected = _finish(_start(kind, folder), folder)
        duration = time.monotonic() - started
    failures, kills, ended_before, rounds = [], 0, 0, 0
    while kills < n_kills:
        rounds += 1
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for _ in range(int(rng.integers(1, 3))):
                process = _start(kind, folder)
                process.join(float(rng.uniform(0, duration)))
                if process.exitcode is None:
                    process.kill()
                    kills += 1
                else:
                    ended_before += 1
                process.join()
            try:
                if _finish(_start(kind, folder), folder) != expected:
                    failures.append([kind, kills, "other bits"])
            except RuntimeError as error:
                failures.append([kind, kills, str(error)])
    return {
        "kills": kills,
        "resumed_to_the_end": rounds,
        "ended_before_the_kill": ended_before,
        "uninterrupted_s": round(duration, 2),
        "failures": failures,
    }


def main():
    """Run the campaign."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    # Imported here, once, for all children; and one thread, with which a fork is safe.
    torch.set_num_threads(1)
    kinds = {"TriForcesRegressor": 0.4, "TriForcesPretrainer": 0.3, "study": 0.3}
    started = time.monotonic()
    results = {k: campaign(k, round(share * options.kills)) for k, share in kinds.items()}
    _report.write("kill", {
        "kills": sum(r["kills"] for r in results.values()),
        "failures": [f for r in results.values() for f in r["failures"]],
        "by_kind": results,
        "seconds": round(time.monotonic() - started),
    })  # fmt: skip


if __name__ == "__main__":
    main()

"""Many fits and predictions in one process: memory, threads and file handles stay where they are.

``python -m reliability.soak`` fits 500 small ensembles, predicts a million rows in calls of 1 to
5,000, and predicts with one estimator from eight threads at once, which must agree with serial
predictions to the bit.
"""

import argparse
import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from reliability import _report
from reliability.models import case

_SIZES = (1, 10, 100, 1000, 5000)


def footprint():
    """Resident memory in MB, threads, and open files of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory_MB": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
        "threads": threading.active_count(),
        "native_threads": len(list(Path("/proc/self/task").iterdir())),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
    }


def fit_many(n_fits, name="HybridTRIADSRegressor", every=50):
    """Fit again and again; footprints along the way."""
    subject = case(name)
    X, y = subject.data()
    found = []
    for number in range(n_fits):
        subject.build().set_params(random_state=number).fit(X, y).predict(X)
        if (number + 1) % every == 0:
            found.append(footprint())
    return found


def predict_many(n_rows, name="HybridTRIADSRegressor", parts=10):
    """Predict rows in calls of all sizes; footprints along the way."""
    subject = case(name)
    model = subject.fit()
    table = np.random.default_rng(0).normal(size=(max(_SIZES), 4))
    found, done = [], 0
    while done < n_rows:
        size = _SIZES[len(found) % len(_SIZES)] if done % 3 else max(_SIZES)
        model.predict(table[:size])
        done += size
        if done * parts // n_rows > len(found):
            found.append(footprint())
    return found


def predict_in_threads(name="HybridTRIADSRegressor", n_threads=8, n_calls=200):
    """Number of calls from threads whose answer differs from the serial one."""
    subject = case(name)
    model = subject.fit()
    X = subject.data()[0]
    parts = [X[i % 8 : 8 + i % 5 + i % 8] for i in range(n_calls)]
    expected = [subject.ask(model, part) for part in parts]
    with ThreadPoolExecutor(n_threads) as pool:
        found = list(pool.map(lambda part: subject.ask(model, part), parts))
    return sum(not np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def growth(found):
    """What grew between the second footprint, when all is warm, and the last."""
    first, last = found[min(1, len(found) - 1)], found[-1]
    return {key: round(last[key] - first[key], 1) for key in first}


def main():
    """Run the campaign."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fits", type=int, default=500)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    fits, rows = fit_many(options.fits), predict_many(options.rows)
    names = ("HybridTRIADSRegressor", "GraphTRIADSRegressor", "TriForcesRegressor")
    _report.write("soak", {
        "fits": options.fits,
        "growth_over_fits": growth(fits),
        "rows_predicted": options.rows,
        "growth_over_predictions": growth(rows),
        "footprints": {"fits": fits, "predictions": rows},
        "thread_calls_that_differ": {n: predict_in_threads(n) for n in names},
        "seconds": round(time.monotonic() - started),
    })  # fmt: skip


if __name__ == "__main__":
    main()

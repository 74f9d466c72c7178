"""Whether predictions are the same bits whatever the batch, on networks of default size.

``python -m reliability.prediction_batches [NAME ...]`` fits each network briefly on the structures
and formulas that ship, asks for all rows at once, in the reverse order and in parts of 1, 7 and
100, counts the numbers that differ in a bit, and says what the bits cost: seconds of a prediction
of all rows and of one, against the same without :class:`trisk.nn.BatchInvariance`. Figures of
networks that are not named stay as they are.
"""

import json
import sys
import time
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch

import trisk
from reliability import _report
from trisk.testing import make_structures

_PLACES = (
    "trisk.estimators.tables._networks",
    "trisk.estimators.graphs._base",
    "trisk.estimators.triforces._property",
    "trisk.estimators.triforces._potential",
)
_SETTINGS = {"max_epochs": 1, "random_state": 0, "device": "cpu"}


def subjects(n_structures=100):
    """Name, estimator, training rows, target, rows to predict."""
    from reliability.models import frames

    formulas, gaps = trisk.load_band_gaps()
    table = trisk.CompositionFeaturizer().fit_transform(formulas[:1500])
    structures, y, *_ = make_structures(n_structures, random_state=0)
    graphs = trisk.CrystalGraphFeaturizer(order=3).fit_transform(structures)
    yield "HybridTRIADSRegressor", trisk.HybridTRIADSRegressor(**_SETTINGS), table, gaps[:1500]
    yield (
        "HybridTRIADSClassifier",
        trisk.HybridTRIADSClassifier(**_SETTINGS),
        table,
        np.digitize(gaps[:1500], [1.0, 3.0]),
    )
    yield "GraphTRIADSRegressor", trisk.GraphTRIADSRegressor(order=3, **_SETTINGS), graphs, y
    yield "TriForcesRegressor", trisk.TriForcesRegressor(**_SETTINGS), structures, y
    many = [f for seed in range(3) for f in frames(seed)]
    yield "TriForcesPotential", trisk.TriForcesPotential(**_SETTINGS), many, None


def take(X, rows):
    """Rows of a table, a list of crystals or crystal graphs."""
    if isinstance(X, list):
        return [X[i] for i in rows]
    return X[rows] if isinstance(X, np.ndarray) else X.take(rows)


def rows_of(answer):
    """One flat array of numbers for each row."""
    if isinstance(answer, dict):
        parts = (answer["energy"], answer["forces"], answer["stress"])
        return [np.concatenate([np.ravel(v) for v in row]) for row in zip(*parts, strict=True)]
    return [np.ravel(row) for row in np.asarray(answer)]


def count_differences(ask, X, sizes=(1, 7, 100)):
    """Numbers of any row that differ from those of all rows at once, and how many there are."""
    n = len(X)
    expected = rows_of(ask(X))
    orders = [[np.arange(n)[::-1]]]
    orders += [np.split(np.arange(n), range(s, n, s)) for s in sizes]
    n_differing = 0
    for parts in orders:
        for part in parts:
            found = rows_of(ask(take(X, part)))
            n_differing += sum(
                int((a != expected[i]).sum()) for a, i in zip(found, part, strict=True)
            )
    return n_differing, len(orders) * sum(map(np.size, expected))


def _seconds(ask, X, repeats=3):
    best = np.inf
    for _ in range(repeats):
        started = time.process_time()
        ask(X)
        best = min(best, time.process_time() - started)
    return best


def main():
    """Ask the networks that are named, or all."""
    torch.set_num_threads(1)
    path = _report.RESULTS / "prediction_batches.json"
    figures = json.loads(path.read_text())["networks"] if path.is_file() else {}
    for name, model, X, y in subjects():
        if name not in (sys.argv[1:] or [name]):
            continue
        model.fit(X, y)
        ask = getattr(model, "predict_proba", model.predict)
        n_differing, n_numbers = count_differences(ask, X)
        one = take(X, np.arange(1))
        with_it = [_seconds(ask, X), _seconds(ask, one)]
        patches = [
            mock.patch(f"{place}.BatchInvariance", return_value=nullcontext()) for place in _PLACES
        ]
        for patch in patches:
            patch.start()
        without = [_seconds(ask, X), _seconds(ask, one)]
        differing_without, _ = count_differences(ask, X)
        for patch in patches:
            patch.stop()
        figures[name] = {
            "rows": len(X),
            "numbers": n_numbers,
            "differing": n_differing,
            "differing_without": differing_without,
            "seconds_all": round(with_it[0], 4),
            "seconds_all_without": round(without[0], 4),
            "seconds_one": round(with_it[1], 4),
            "seconds_one_without": round(without[1], 4),
        }
        print(name, figures[name], flush=True)
    _report.write("prediction_batches", {"networks": figures})


if __name__ == "__main__":
    main()

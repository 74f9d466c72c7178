"""Phonons on the official folds: what columns of the spring model add to composition.

    python benchmarks/spring_model.py

Untuned forests of 300 trees and HybridTRIADS, on Magpie columns, on those of the spring model and
on both; "corrected" models predict the target divided by the highest pair frequency and multiply
it back. No potential and no other data set takes part. Writes results/spring_model.json and a
parity plot. Needs the Matbench files: the variable MATMINER_DATA names their folder.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

import trisk
from trisk import (
    DeltaRegressor,
    HybridTRIADSRegressor,
    MagpieFeaturizer,
    ParityDisplay,
    SpringModelFeaturizer,
)

RESULTS = Path(__file__).parent / "results"
FASTEST = "SpringModel highest pair frequency (1/cm)"


def corrected(regressor):
    """A regressor that learns the target's ratio to the highest pair frequency."""
    return DeltaRegressor(regressor, reference=FASTEST)


def models(network):
    """Name → (columns, regressor)."""
    trees = {"n_estimators": 300, "random_state": 0, "n_jobs": 1}
    extra, forest = ExtraTreesRegressor(**trees), RandomForestRegressor(**trees)
    return {
        "highest pair frequency, scaled": ("springs", corrected(DummyRegressor(strategy="median"))),
        "ExtraTrees, Magpie": ("magpie", extra),
        "ExtraTrees, both, corrected": ("both", corrected(extra)),
        "ExtraTrees, springs, corrected": ("springs", corrected(extra)),
        "ExtraTrees, both": ("both", extra),
        "HybridTRIADS, both, corrected": ("both", corrected(network)),
        "HybridTRIADS, Magpie": ("magpie", network),
        "HybridTRIADS, both": ("both", network),
        "RandomForest, Magpie": ("magpie", forest),
        "RandomForest, both, corrected": ("both", corrected(forest)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="names of models; all if not given")
    parser.add_argument("--out", type=Path, default=RESULTS / "spring_model.json")
    arguments = parser.parse_args()

    X, y = trisk.load_matbench("phonons")
    magpie, springs = MagpieFeaturizer().fit_transform(X), SpringModelFeaturizer().fit_transform(X)
    tables = {"magpie": magpie, "springs": springs, "both": pd.concat([magpie, springs], axis=1)}
    folds = list(trisk.matbench_folds().split(X, y))

    report = {"task": "matbench_phonons", "unit": "cm⁻¹", "mae": {}, "seconds": {}}
    if arguments.out.is_file():  # models that ran before stay in the report
        report = json.loads(arguments.out.read_text(encoding="utf-8"))
    for name, (columns, model) in models(HybridTRIADSRegressor(random_state=0)).items():
        if arguments.only and name not in arguments.only:
            continue
        start, predictions = time.perf_counter(), np.full(len(y), np.nan)
        for train, test in folds:
            fitted = clone(model).fit(tables[columns].iloc[train], y.iloc[train])
            predictions[test] = fitted.predict(tables[columns].iloc[test])
        report["seconds"][name] = time.perf_counter() - start
        errors = np.abs(predictions - y.to_numpy())
        scores = report["mae"][name] = [float(errors[test].mean()) for _, test in folds]
        print(f"{name:40s} MAE {np.mean(scores):6.2f} ± {np.std(scores):5.2f} cm⁻¹, "
              f"{report['seconds'][name]:4.0f} s", flush=True)  # fmt: skip
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if np.mean(scores) == min(np.mean(values) for values in report["mae"].values()):
            display = ParityDisplay.from_predictions(y, predictions, name=name)
            display.figure_.savefig(arguments.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()

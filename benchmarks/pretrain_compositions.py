"""Pre-train the composition encoder and write the weights that come with trisk.

    python benchmarks/pretrain_compositions.py ../shared/data
    python benchmarks/pretrain_compositions.py ../shared/data --forest

The folder holds ``mp_formulas_e_form.csv.gz`` (formula, formation energy in eV/atom) and
``mp_formulas_gap.csv.gz`` (formula, PBE band gap in eV) of the Materials Project. 3 % of the
reduced formulas are held out. Prints the held-out errors and writes them to
``results/pretraining.json``; with ``--forest``, trains nothing but ExtraTrees on Magpie
descriptors of the same rows, and adds their held-out errors there. Half an hour on one core.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from matbench import RESULTS, describe_machine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import mean_absolute_error, roc_auc_score

from trisk.featurizers import MagpieFeaturizer
from trisk.pretraining import (
    EncoderTraining,
    held_out_rows,
    read_formula_targets,
    save_encoder,
)

WEIGHTS = Path(__file__).parents[1] / "trisk/featurizers/data/composition_encoder.safetensors"
REPORT = RESULTS / "pretraining.json"


def forest_scores(data, held_out):
    """Held-out errors of ExtraTrees, one forest for both targets where both are known."""
    X = MagpieFeaturizer().fit_transform(data.table.formulas).to_numpy(np.float32)
    scores = {}
    for column, name in enumerate(("formation energy", "band gap")):
        known = ~np.isnan(data.values[:, column])
        test = held_out[known[held_out]]
        train = np.setdiff1d(np.flatnonzero(known), held_out)
        forest = ExtraTreesRegressor(100, random_state=0, max_features=0.33)
        predicted = forest.fit(X[train], data.values[train, column]).predict(X[test])
        scores[name] = mean_absolute_error(data.values[test, column], predicted)
        print(f"ExtraTrees, Magpie: {name} {scores[name]:.4f}", flush=True)
        if name == "band gap":
            scores["metal, ROC-AUC"] = roc_auc_score(data.values[test, 3], -predicted)
    return scores


def main():
    """Train, score on held-out formulas, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the two CSV files")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--forest", action="store_true")
    arguments = parser.parse_args()
    data = read_formula_targets(
        arguments.data / "mp_formulas_e_form.csv.gz", arguments.data / "mp_formulas_gap.csv.gz"
    )
    held_out = held_out_rows(data.table.n_rows)
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    started = time.perf_counter()
    if arguments.forest:
        report["forest"] = forest_scores(data, held_out)
        report["forest_seconds"] = time.perf_counter() - started
    else:
        training = EncoderTraining(data, held_out, max_epochs=arguments.epochs)
        training.fit(report=lambda line: print(line, flush=True))
        report |= {
            "formulas": len(training.train),
            "held_out": len(held_out),
            "epochs": arguments.epochs,
            "encoder": training.score(held_out),
            "encoder_on_training_rows": training.score(training.train[::20]),
            "encoder_seconds": time.perf_counter() - started,
            "machine": describe_machine(),
        }
        save_encoder(training, arguments.out)
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

"""Pre-train the composition encoder, write the weights that come with trisk, and score them.

    python benchmarks/pretrain_compositions.py ../shared/data
    python benchmarks/pretrain_compositions.py ../shared/data --score

The folder holds ``mp_formulas_e_form.csv.gz`` (formula, formation energy in eV/atom) and
``mp_formulas_gap.csv.gz`` (formula, PBE band gap in eV) of the Materials Project. 3 % of the
reduced formulas are held out. ``--score`` trains nothing, but scores the weights that are there on
them, beside ExtraTrees on the Magpie descriptors of the same training rows, and writes
``results/pretraining.json``. Some ten minutes of one quiet core each.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matbench import RESULTS, describe_machine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import mean_absolute_error, roc_auc_score

from trisk.featurizers import MagpieFeaturizer, PretrainedFeaturizer
from trisk.pretraining import (
    EncoderTraining,
    held_out_rows,
    read_formula_targets,
    save_encoder,
)

WEIGHTS = Path(__file__).parents[1] / "trisk/featurizers/data/composition_encoder.safetensors"
#: Epochs and learning rate, one after the other.
CYCLES = ((24, 2e-3), (12, 1e-3))


def encoder_scores(data, rows, weights):
    """Errors of the columns that the featurizer gives."""
    columns = PretrainedFeaturizer(weights=weights).fit_transform(data.table.formulas[rows])
    known = ~np.isnan(data.values[rows, 1])
    energy, gap, _, metal = columns.to_numpy()[:, :4].T
    values = data.values[rows]
    return {
        "formation energy": mean_absolute_error(values[:, 0], energy),
        "band gap": mean_absolute_error(values[known, 1], gap[known]),
        "metal": roc_auc_score(values[known, 3], metal[known]),
    }


def forest_scores(data, train, test):
    """Errors of one forest for energies and one for gaps, where they are known, as they come."""
    X = MagpieFeaturizer().fit_transform(data.table.formulas).to_numpy(np.float32)
    for column, name in enumerate(("formation energy", "band gap")):
        known = ~np.isnan(data.values[:, column])
        fitted, scored = train[known[train]], test[known[test]]
        forest = ExtraTreesRegressor(100, random_state=0, max_features=0.33)
        predicted = forest.fit(X[fitted], data.values[fitted, column]).predict(X[scored])
        scores = {name: mean_absolute_error(data.values[scored, column], predicted)}
        if name == "band gap":
            scores["metal"] = roc_auc_score(data.values[scored, 3], -predicted)
        yield scores


def pretrain(data, held_out, weights):
    """Train in cycles, each from the average of the one before."""
    arrays = None
    for cycle, (epochs, learning_rate) in enumerate(CYCLES):
        training = EncoderTraining(
            data,
            held_out,
            max_epochs=epochs,
            learning_rate=learning_rate,
            initial=arrays,
            random_state=cycle,
        )
        arrays = training.fit(report=lambda line: print(line, flush=True)).arrays()
    save_encoder(training, weights)


def main():
    """Train and write the weights, or score them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the two CSV files")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="file to write or to score")
    parser.add_argument("--score", action="store_true", help="train nothing, score the weights")
    arguments = parser.parse_args()
    data = read_formula_targets(
        arguments.data / "mp_formulas_e_form.csv.gz", arguments.data / "mp_formulas_gap.csv.gz"
    )
    held_out = held_out_rows(data.table.n_rows)
    if not arguments.score:
        pretrain(data, held_out, arguments.weights)
        return
    train = np.setdiff1d(np.arange(data.table.n_rows), held_out)
    report = {
        "formulas": len(train),
        "held_out": len(held_out),
        "units": {"formation energy": "eV/atom", "band gap": "eV", "metal": "ROC-AUC"},
        "encoder": encoder_scores(data, held_out, arguments.weights),
        "encoder_on_training_rows": encoder_scores(data, train, arguments.weights),
    }
    print(json.dumps(report, indent=1), flush=True)
    report["machine"] = describe_machine()
    report["forest"] = {}
    for scores in forest_scores(data, train, held_out):
        print("ExtraTrees, Magpie:", scores, flush=True)
        report["forest"] |= scores
        (RESULTS / "pretraining.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

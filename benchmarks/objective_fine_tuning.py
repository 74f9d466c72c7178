"""Which objectives of pre-training help networks that are then trained on few labels.

    python benchmarks/objective_fine_tuning.py ../shared/data

Networks are pre-trained on the 2,015 structures of ``objective_ablation.py`` by some objectives,
then trained on 100 phonon frequencies and judged on 400 others, all of them training rows of the
first official fold, in two draws: no test row is touched. Beside them: from scratch, with other
seeds too, and from the weights that come with trisk. Writes ``results/objective_fine_tuning.json``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matbench import RESULTS, describe_machine
from objective_ablation import pool, pretrainer
from sklearn.metrics import mean_absolute_error

import trisk
from trisk import TriForcesRegressor

N_LABELS, N_VALIDATION, DRAWS = 100, 400, (0, 1)
OBJECTIVES = (
    ("denoising",),
    ("masking",),
    ("lejepa",),
    ("denoising", "masking"),
    ("denoising", "masking", "lejepa"),
)


def validation_errors(pretrained, structures, frequencies, rows, epochs, first_seed=0):
    """Mean absolute error in cm⁻¹ of each draw."""
    errors = []
    for draw in DRAWS:
        order = np.random.default_rng(draw).permutation(rows)
        train, kept = order[:N_LABELS], order[N_LABELS : N_LABELS + N_VALIDATION]
        seed = first_seed + draw
        settings = {"max_epochs": epochs, "random_state": seed, "pretrained": pretrained}
        model = TriForcesRegressor(pretrained_rate=1.0, **settings)
        model.fit([structures[r] for r in train], np.log(frequencies[train]))
        predicted = np.exp(model.predict([structures[r] for r in kept]))
        errors.append(round(float(mean_absolute_error(frequencies[kept], predicted)), 2))
    return errors


def main():
    """Pre-train, train and judge; write the file after every arm."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("--pretraining-epochs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    structures = pool(arguments.data)
    X, y = trisk.load_matbench("phonons")
    rows, _ = next(iter(trisk.matbench_folds("phonons").split(X, y)))
    path = RESULTS / "objective_fine_tuning.json"
    report = {"machine": describe_machine(), "structures": len(structures), "mae": {}}
    report |= {"epochs": arguments.epochs, "pretraining_epochs": arguments.pretraining_epochs}
    data = (list(X), y.to_numpy(), rows, arguments.epochs)

    def keep(name, errors):
        report["mae"][name] = errors
        print(f"{name:32s} {errors}", flush=True)
        path.write_text(json.dumps(report, indent=1) + "\n")

    keep("from scratch", validation_errors(None, *data))
    keep("from scratch, other seeds", validation_errors(None, *data, first_seed=10))
    keep("weights that come with trisk", validation_errors("default", *data))
    for objectives in OBJECTIVES:
        pretrained = pretrainer(objectives, arguments.pretraining_epochs).fit(structures)
        keep(" + ".join(objectives), validation_errors(pretrained, *data))


if __name__ == "__main__":
    main()

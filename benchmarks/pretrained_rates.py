"""How fast to train on what was learned before: the choice behind ``pretrained_rate="auto"``.

    python benchmarks/pretrained_rates.py
    python benchmarks/pretrained_rates.py --labels 50 100 --draws 0

TriForces of its default shape learns phonon frequencies from the weights that learned a
potential's sensors, at several parts of the learning rate, and from scratch. All structures are
training rows of the first official Matbench fold: for each draw 250 to judge on, and 50 to 750
labels from the rest. Written to ``results/pretrained_rates.json`` after every network; what is
there is not run again. Needs the Matbench files: the variable ``MATMINER_DATA`` names their folder.
"""

import argparse
import json

import numpy as np
from crystal_tasks import load_task
from matbench import RESULTS, describe_machine
from sklearn.metrics import mean_absolute_error
from structures import of_logarithm

from trisk import TriForcesRegressor

LABELS, DRAWS, N_JUDGED = (50, 100, 300, 750), (0, 1), 250
ARMS = {
    "from scratch": {},
    **{
        f"sensors, {rate:g}": {"pretrained": "sensors", "pretrained_rate": rate}
        for rate in (0.03, 0.1, 0.3, 1.0)
    },
}


def main():
    """Run what is missing and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--draws", type=int, nargs="+", default=DRAWS)
    arguments = parser.parse_args()
    X, y, folds = load_task("phonons")
    path = RESULTS / "pretrained_rates.json"
    report = json.loads(path.read_text()) if path.is_file() else {"mae": {}}
    report["machine"] = describe_machine()
    for draw in arguments.draws:
        rows = np.random.default_rng(draw).permutation(folds[0][0])
        judged, rest = rows[:N_JUDGED], rows[N_JUDGED:]
        for n_labels in arguments.labels:
            for name, settings in ARMS.items():
                errors = report["mae"].setdefault(name, {}).setdefault(str(n_labels), {})
                if str(draw) in errors:
                    continue
                model = TriForcesRegressor(max_epochs=60, random_state=draw, **settings)
                labelled = rest[:n_labels]
                model = of_logarithm(model).fit(X.iloc[labelled], y.iloc[labelled])
                error = mean_absolute_error(y.iloc[judged], model.predict(X.iloc[judged]))
                errors[str(draw)] = round(float(error), 2)
                path.write_text(json.dumps(report, indent=1) + "\n")
                print(f"{n_labels} labels, draw {draw}, {name}: {error:.1f} cm⁻¹", flush=True)


if __name__ == "__main__":
    main()

"""What each objective of pre-training is for: alone, in pairs, and all together.

    python benchmarks/objective_ablation.py ../shared/data

One network for each combination of denoising, masking and LeJEPA, all of the default shape, from
the same first weights, for the same steps on the same structures: every eighth of those that
``pretrain_crystals.py`` collects, with fewer decorated prototypes. A sole objective has the weight
1, several have those of the weights that come with trisk. Judged as in ``probes.py``, stream by
stream, and by the frozen probe of ``pretraining_transfer.py`` on phonon frequencies, beside the
untrained network. Exfoliation energies are there to choose objectives by: no score of the weights
that come with trisk is about them. Some four minutes of one core for each combination; what is in
results/objective_ablation.json is not run again.
"""

import argparse
import json
import os
import time
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import probes
from matbench import RESULTS, describe_machine
from pretrain_crystals import collect
from pretraining_transfer import probe, splits
from retrieval import STREAMS, untrained
from sklearn.metrics import mean_absolute_error

from trisk import TriForcesPretrainer, load_matbench

WEIGHTS = {"denoising": 1.0, "masking": 0.3, "lejepa": 0.3}
#: Of each task: numbers of labels, and what a linear model learns.
TASKS = {
    "phonons": ((100, 300, 1000), np.log, np.exp, "cm⁻¹"),
    "jdft2d": ((100, 300), np.log1p, np.expm1, "meV/atom"),
}
#: Of the structures, every so many; decorated prototypes among them.
EVERY, N_DECORATED = 8, 6000


def pool(folder):
    """Structures to pre-train on."""
    found = collect(folder, N_DECORATED)
    return [s for values in found.values() for s in values][::EVERY]


def pretrainer(objectives, epochs):
    """Unfitted pre-trainer of some objectives."""
    weights = {name: WEIGHTS[name] if len(objectives) > 1 else 1.0 for name in objectives}
    weights = {f"{name}_weight": weights.get(name, 0.0) for name in WEIGHTS}
    return TriForcesPretrainer(max_epochs=epochs, batch_size=32, random_state=0, **weights)


def transfer(trained, task, structures, values):
    """Mean absolute errors of a linear model by number of labels, one for each seed."""
    sizes, forward, backward, _ = TASKS[task]
    columns, target = trained.transform(list(structures)).to_numpy(), forward(values)
    errors = {size: [] for size in sizes}
    for size, _, train, test in splits(len(target), sizes):
        predicted = backward(probe(columns, target, train, test))
        errors[size].append(float(mean_absolute_error(values[test], predicted)))
    return errors


def judge(trained, crystals, targets, labelled):
    """Probes of every stream, and of all together on the labels."""
    table = trained.transform(list(crystals["structure"]))
    groups = crystals["formula"].to_numpy()
    matrix = {s: probes.score_block(probes.select(table, s), targets, groups) for s in STREAMS}
    errors = {task: transfer(trained, task, *labelled[task]) for task in TASKS}
    return {"probes": matrix, "errors": errors}


def main():
    """Train and judge; write the file after every network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS / "objective_ablation.json")
    arguments = parser.parse_args()
    structures = pool(arguments.data)
    crystals, targets = probes.probed()
    labelled = {task: load_matbench(task) for task in TASKS}
    labelled = {task: (X, y.to_numpy()) for task, (X, y) in labelled.items()}
    report = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {"rows": {}}
    report |= {
        "machine": describe_machine(),
        "structures": len(structures),
        "epochs": arguments.epochs,
        "units": {task: unit for task, (*_, unit) in TASKS.items()},
    }
    print(f"{len(structures)} structures; {'':23}"
          + "".join(f"{q[:7]:>8}" for q in (*probes.NUMBERS, *probes.CLASSES)))  # fmt: skip
    sets = [c for size in (0, 1, 2, 3) for c in combinations(WEIGHTS, size)]
    for objectives in sets:
        name = " + ".join(objectives) or "untrained"
        if name not in report["rows"]:
            model = pretrainer(objectives or tuple(WEIGHTS), arguments.epochs)
            started = time.process_time()
            trained = model.fit(structures) if objectives else untrained(model, structures)
            seconds = time.process_time() - started
            row = judge(trained, crystals, targets, labelled)
            report["rows"][name] = json.loads(json.dumps(row | {"CPU seconds": seconds}))
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")
        show(name, report["rows"][name])


def show(name, row):
    """Print a network's scores."""
    print(f"{name}: mean absolute errors by number of labels")
    for task, errors in row["errors"].items():
        shown = ", ".join(f"{size} {np.mean(values):.1f}" for size, values in errors.items())
        print(f"    {task}, {TASKS[task][-1]}: {shown}")
    for stream, scores in row["probes"].items():
        print(f"    {stream:36}" + "".join(f"{v:8.2f}" for v in scores.values()), flush=True)


if __name__ == "__main__":
    main()

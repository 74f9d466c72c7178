"""What pre-training is worth where labels are few: frozen probes and fine-tuning, three seeds.

    python benchmarks/pretraining_transfer.py ../shared/data
    python benchmarks/pretraining_transfer.py ../shared/data --fine-tune

Highest phonon frequencies (matbench_phonons), heats of formation of perovskites and energies of
indium phosphide's cells of up to 65 atoms, strained, sheared and with defects, learned from 50,
100, 300 and 1,000 labels drawn by seed; 250 other structures are the test set of a seed. The
probe is a ridge regression on the frozen embedding, its strength chosen by leave-one-out on the
labels, beside the same on the embedding of an untrained network of the same shape, on element
fractions with the averaged power spectrum, and on the sensors that the other weights predict
(``TriForcesSensors``). With ``--fine-tune``, networks are trained with the interaction stream alone
and with all streams, from scratch, from the self-supervised weights, and from those that learned a
potential's sensors, beside forests on Magpie columns and on these with predicted sensors.
Self-supervision has seen these structures, never a label; the sensors were those of crystals of
other formulas.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from ase.io import read
from matbench import RESULTS, describe_machine
from perovskites import read_perovskites
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trisk import TriForcesPretrainer, TriForcesRegressor, TriForcesSensors, load_matbench
from trisk.featurizers import (
    ElementFractionFeaturizer,
    MagpieFeaturizer,
    PowerSpectrumFeaturizer,
)

SIZES, SEEDS, N_TEST = (50, 100, 300, 1000), (0, 1, 2), 250
N_PEROVSKITES, MAX_ATOMS = 2500, 65
STREAMS = ("composition", "structure", "interaction")
#: What fine-tuning starts from. A tenth of the rate gains nothing for self-supervised weights.
STARTS = {
    "from scratch": {},
    "self-supervised": {"pretrained": "default", "pretrained_rate": 1.0},
    "sensors of a potential": {"pretrained": "sensors"},
}
ARMS = {
    f"{name}, {start}": {"streams": streams, **settings}
    for name, streams in (("interaction stream", STREAMS[-1:]), ("three streams", STREAMS))
    for start, settings in STARTS.items()
}
FOREST = "ExtraTrees, Magpie"


def tasks(folder):
    """Structures, targets to fit, how to turn them into the reported unit, and that unit."""
    phonons, frequencies = load_matbench("phonons")
    yield "phonons", list(phonons), np.log(frequencies.to_numpy()), np.exp, "cm⁻¹"
    cells, heats = read_perovskites(folder)
    rows = np.random.default_rng(0).permutation(len(heats))[:N_PEROVSKITES]
    yield "perovskites", [cells[r] for r in rows], heats[rows], np.array, "meV/atom"
    frames = [f for f in read(folder / "inp.extxyz.gz", ":") if len(f) <= MAX_ATOMS]
    energies = np.array([f.get_potential_energy() / len(f) for f in frames])
    cells = [AseAtomsAdaptor.get_structure(f) for f in frames]
    yield "InP", cells, 1e3 * energies, np.array, "meV/atom"


def untrained():
    """The network that pre-training starts from."""
    from trisk.testing import make_structures

    shape = {"max_epochs": 1, "learning_rate": 1e-12, "ema_decay": 0, "random_state": 0}
    return TriForcesPretrainer(**shape).fit(make_structures(8)[0])


def probes(structures, target, weights):
    """Ridge regressions by the columns that they see."""
    pretrained = TriForcesPretrainer.from_pretrained(weights).transform(structures)
    found = {"three streams, pre-trained": pretrained.to_numpy()}
    found["three streams, untrained"] = untrained().transform(structures).to_numpy()
    for stream in STREAMS:
        columns = [c for c in pretrained if c.startswith(stream)]
        found[f"{stream} stream, pre-trained"] = pretrained[columns].to_numpy()
    compositions = [structure.composition for structure in structures]
    fractions = ElementFractionFeaturizer().fit_transform(compositions).to_numpy()
    spectra = PowerSpectrumFeaturizer().fit_transform(structures).to_numpy()
    found["element fractions and power spectrum"] = np.hstack([fractions, spectra])
    found["predicted sensors"] = TriForcesSensors().fit_transform(structures).to_numpy()
    return {name: partial(probe, columns, target) for name, columns in found.items()}


def trained(structures, target):
    """Networks by what they start from, and forests by the columns that they see."""
    magpie = MagpieFeaturizer().fit_transform(structures).to_numpy()
    sensors = TriForcesSensors().fit_transform(structures).to_numpy()
    return {
        **{name: partial(fine_tune, structures, target, **arm) for name, arm in ARMS.items()},
        FOREST: partial(fit_forest, magpie, target),
        f"{FOREST} and predicted sensors": partial(
            fit_forest, np.hstack([magpie, sensors]), target
        ),
    }


def splits(n_rows, sizes):
    """Size, seed, rows to learn from and rows to test on."""
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(n_rows)
        for size in sizes:
            yield size, seed, order[N_TEST : N_TEST + size], order[:N_TEST]


def probe(columns, target, train, test, seed=None):
    """Ridge regression on some columns, which draws nothing."""
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15)))
    return ridge.fit(columns[train], target[train]).predict(columns[test])


def fit_forest(columns, target, train, test, seed):
    """A forest trained on the labels."""
    forest = ExtraTreesRegressor(300, random_state=seed)
    return forest.fit(columns[train], target[train]).predict(columns[test])


def fine_tune(structures, target, train, test, seed, **settings):
    """A network trained on the labels."""
    model = TriForcesRegressor(max_epochs=60, random_state=seed, **settings)
    model.fit([structures[row] for row in train], target[train])
    return model.predict([structures[row] for row in test])


def main():
    """Run and write a file after every result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("--weights", default="default", help="pre-trained weights")
    parser.add_argument("--fine-tune", action="store_true", help="train networks")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--tasks", nargs="*", default=("phonons", "perovskites", "InP"))
    parser.add_argument("--arms", nargs="*", help="of fine-tuning: those that contain a word")
    arguments = parser.parse_args()
    name = "pretraining_fine_tuning" if arguments.fine_tune else "pretraining_probes"
    path = RESULTS / f"{name}.json"
    report = json.loads(path.read_text()) if path.is_file() else {"tasks": {}}
    report |= {"machine": describe_machine(), "test_rows": N_TEST}
    for task, structures, target, to_unit, unit in tasks(arguments.data):
        if task not in arguments.tasks:
            continue
        if arguments.fine_tune:
            arms = trained(structures, target)
        else:
            arms = probes(structures, target, arguments.weights)
        if arguments.arms:
            arms = {k: v for k, v in arms.items() if any(word in k for word in arguments.arms)}
        scores = report["tasks"].setdefault(task, {"unit": unit, "mae": {}})
        # What is not run anew stays in the file.
        for arm in arms:
            of_sizes = scores["mae"].setdefault(arm, {})
            of_sizes.update({str(size): [] for size in arguments.sizes})
        for size, seed, train, test in splits(len(structures), arguments.sizes):
            for arm, predict in arms.items():
                predicted = predict(train, test, seed)
                error = mean_absolute_error(to_unit(target[test]), to_unit(predicted))
                of_arm = scores["mae"][arm][str(size)]
                of_arm.append(round(float(error), 3))
                print(task, size, seed, arm, of_arm[-1], unit, flush=True)
            path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

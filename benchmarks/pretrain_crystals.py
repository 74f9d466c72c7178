"""Pre-train the three streams on structures and write the weights that come with trisk.

    python benchmarks/pretrain_crystals.py ../shared/data --checkpoint /tmp/pretraining

The folder is the one that ``../shared/data/README.md`` describes. No energy, gap, frequency or
other label is read. After every epoch the weights are written, averaged over steps, so that a
run can be stopped at any; with ``--checkpoint``, the same command goes on where it stopped.
Some four minutes of one core for each epoch.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from perovskites import read_perovskites
from skorch.callbacks import Callback

from trisk import TriForcesPretrainer, load_matbench, load_prototypes
from trisk.pretraining import decorate_prototypes

WEIGHTS = (
    Path(__file__).parents[1] / "trisk/data/triforces_default.safetensors"
)
#: Crystals decorated, and frames of each kind of molecular dynamics and defects.
N_DECORATED, N_FRAMES = 14_000, 15
MAX_ATOMS = 64


def frames(path):
    """Some frames of each group of a file of configurations."""
    from ase.io import read

    found = [f for f in read(path, index=":", format="extxyz") if len(f) <= MAX_ATOMS]
    rng = np.random.default_rng(0)
    groups = np.array([frame.info["group"] for frame in found])
    rows = [rng.permutation(np.flatnonzero(groups == g))[:N_FRAMES] for g in np.unique(groups)]
    return [found[row] for row in np.concatenate(rows)]


def decorate(folder, n_decorated):
    """Prototypes, phonon structures, and both with the elements of other formulas."""
    import pandas as pd

    os.environ.setdefault("MATMINER_DATA", str((folder / "matminer").resolve()))
    prototypes = [s for s in load_prototypes()[0] if len(s) <= MAX_ATOMS]
    phonons = list(load_matbench("phonons")[0])
    formulas = pd.read_csv(folder / "mp_formulas_e_form.csv.gz")["formula"].to_numpy()
    return prototypes, phonons, decorate_prototypes(formulas, prototypes + phonons, n_decorated)


def collect(folder, n_decorated=N_DECORATED):
    """All structures, by where they come from."""
    prototypes, phonons, made = decorate(folder, n_decorated)
    found = {
        "perovskites": read_perovskites(folder)[0],
        "phonons": phonons,
        "jdft2d": list(load_matbench("jdft2d")[0]),
        "prototypes": prototypes,
        "decorated prototypes": made,
        "InP": frames(folder / "inp.extxyz.gz"),
    }
    for metal in ("Ge", "Li", "Mo", "Si"):
        found[metal] = frames(folder / f"mlearn_{metal}_training.extxyz.gz")
    return found


class Snapshots(Callback):
    """Write the averaged weights after every epoch."""

    def __init__(self, pretrainer, path):
        self.pretrainer, self.path = pretrainer, path

    def on_epoch_end(self, net, **kwargs):
        shown = TriForcesPretrainer(**self.pretrainer.get_params())
        shown.set_params(callbacks=None, checkpoint=None, verbose=0)
        shown.nets_ = [net]
        with dict(net.callbacks_)["averaging"].averaged():
            shown.save(self.path)
        print(shown.history_.iloc[-1].round(4).to_dict(), flush=True)


def train(found, weights, checkpoint, epochs, **further):
    """Train on all structures; write the weights after every epoch."""
    structures = [structure for values in found.values() for structure in values]
    print(f"{len(structures)} structures, {sum(map(len, structures))} atoms", flush=True)
    pretrainer = TriForcesPretrainer(
        max_epochs=epochs, batch_size=32, checkpoint=checkpoint, random_state=0, **further
    )
    pretrainer.set_params(callbacks=[Snapshots(pretrainer, weights)])
    pretrainer.fit(structures)


def main():
    """Collect structures and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="file to write")
    parser.add_argument("--checkpoint", type=Path, help="file from which to go on")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    found = collect(arguments.data)
    print({name: len(values) for name, values in found.items()}, flush=True)
    train(found, arguments.weights, arguments.checkpoint, arguments.epochs)


if __name__ == "__main__":
    main()

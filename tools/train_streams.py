"""Pre-train the three streams on structures without labels: what the weights that ship began with.

    python -m tools.train_streams --weights /tmp/streams.trisk --checkpoint /tmp/streams

Reads structures from the data folder of the benchmarks; no energy, gap, frequency or other label is
read. With ``--checkpoint`` the same command goes on where it was stopped. Some four minutes of one
core for each epoch.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import data
from tools.prototypes import decorate_prototypes
from trisk import TriForcesPretrainer, load_prototypes

#: Crystals decorated, frames of each kind of molecular dynamics and defects, and atoms at most.
N_DECORATED, N_FRAMES, MAX_ATOMS = 14_000, 15, 64


def frames(name):
    """Some frames of each group of a file of configurations."""
    found = [frame for frame in data.read_frames(name) if len(frame) <= MAX_ATOMS]
    groups = np.array([frame.info["group"] for frame in found])
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(groups == g))[:N_FRAMES] for g in np.unique(groups)]
    return [found[row] for row in np.concatenate(rows)]


def decorate(n_decorated=N_DECORATED):
    """Prototypes, phonon structures, and both with the elements of other formulas."""
    prototypes = [s for s in load_prototypes()[0] if len(s) <= MAX_ATOMS]
    phonons = list(data.matbench("phonons")[0])
    formulas = pd.read_csv(data.DATA / "mp_formulas_e_form.csv.gz")["formula"].to_numpy()
    return prototypes, phonons, decorate_prototypes(formulas, prototypes + phonons, n_decorated)


def collect():
    """All structures, by where they come from."""
    prototypes, phonons, made = decorate()
    return {
        "perovskites": data.cubic_perovskites()[0],
        "phonons": phonons,
        "jdft2d": list(data.matbench("jdft2d")[0]),
        "prototypes": prototypes,
        "decorated prototypes": made,
        "InP": frames("inp"),
        **{metal: frames(f"mlearn_{metal}_training") for metal in ("Ge", "Li", "Mo", "Si")},
    }


def main():
    """Collect structures, train, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="file to write")
    parser.add_argument("--checkpoint", type=Path, help="file from which to go on")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    found = collect()
    print({name: len(values) for name, values in found.items()}, flush=True)
    pretrainer = TriForcesPretrainer(
        max_epochs=arguments.epochs,
        batch_size=32,
        checkpoint=arguments.checkpoint,
        random_state=0,
        verbose=1,
    )
    pretrainer.fit([structure for values in found.values() for structure in values])
    pretrainer.set_params(checkpoint=None, verbose=0).save(arguments.weights)


if __name__ == "__main__":
    main()

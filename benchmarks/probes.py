"""What each stream of an embedding tells of a crystal, by linear probes: a matrix with controls.

    python benchmarks/probes.py --weights default

Crystals: Matbench's phonon task, and formulas of the Materials Project on prototypes, distorted
(labelled_crystals.py). Numbers, as logarithms, are predicted by ridge regression, classes by a
ridge classifier with balanced weights, both on standardised columns with a penalty chosen inside
each training fold. Five folds; all crystals of one formula lie in one fold. Scores: R² for numbers,
and for classes balanced accuracy, rescaled so that 0 is chance and 1 is perfect. Atoms are counted
in the primitive cell of the undistorted prototype; packing is the share of the volume in covalent
spheres; the majority elements, prototypes and families are those with at least 40 crystals.

Controls: the same network without training, element fractions, averaged power spectra with and
without scaling to one volume, and, for the pre-trained streams, targets shuffled between formulas.
Writes benchmarks/results/probes.json and probes.png.
"""

import argparse
import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import labelled_crystals
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ase.data import covalent_radii
from pymatgen.core import Composition
from retrieval import STREAMS, embeddings, fingerprint, untrained
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trisk import TriForcesPretrainer
from trisk.structures.neighbors import find_neighbors

HERE = Path(__file__).resolve().parent
FEWEST = 40
ALPHAS = np.logspace(-1, 5, 7)
#: Properties by what they are of, as the columns of the matrix.
NUMBERS = ("atoms per cell", "volume per atom", "nearest neighbour", "packing")
CLASSES = ("majority element", "chemical family", "crystal system", "prototype")
OF_COMPOSITION = ("majority element", "chemical family")
PEERS = ("fractions", "spectrum", "scaled spectrum")


def properties(crystals):
    """Table of targets; missing where a class is rare."""
    rows = []
    for structure in crystals["structure"]:
        numbers = np.array(structure.atomic_numbers)
        pairs = find_neighbors(
            structure.cart_coords, structure.lattice.matrix[None], np.ones((1, 3), bool),
            np.array([0, len(numbers)]), 12.0, n_neighbors=1,
        )  # fmt: skip
        nearest = np.full(len(numbers), np.inf)
        np.minimum.at(nearest, pairs.centers, pairs.lengths)
        spheres = 4 / 3 * np.pi * covalent_radii[numbers] ** 3
        composition = structure.composition
        most = max(composition, key=lambda e: (composition[e], e.Z))
        rows.append(
            {
                "volume per atom": np.log(structure.volume / len(numbers)),
                "nearest neighbour": np.log(nearest.mean()),
                "packing": np.log(spheres.sum() / structure.volume),
                "majority element": most.symbol,
                "chemical family": labelled_crystals.family(Composition(composition)),
            }
        )
    table = pd.DataFrame(rows)
    table["atoms per cell"] = np.log(crystals["primitive_atoms"])
    table["crystal system"] = crystals["crystal_system"]
    table["prototype"] = crystals["prototype"]
    for name in CLASSES:
        common = table.groupby(name)[name].transform("size") >= FEWEST
        table[name] = table[name].where(common)
    return table


def probed():
    """Crystals and their properties."""
    parts = [labelled_crystals.phonons(), labelled_crystals.decorated()]
    crystals = pd.concat(parts, ignore_index=True)
    return crystals, properties(crystals)


def probe(columns, target, groups, classify):
    """Cross-validated score of a linear model."""
    if classify:
        model = make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS, class_weight="balanced"))
    else:
        model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    predicted = np.empty_like(target)
    for training, test in GroupKFold(5, shuffle=True, random_state=0).split(columns, groups=groups):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Ill-conditioned|Singular")
            model.fit(columns[training], target[training])
        predicted[test] = model.predict(columns[test])
    if not classify:
        return float(r2_score(target, predicted))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes")
        return float(balanced_accuracy_score(target, predicted, adjusted=True))


def shuffled(target, groups, rng):
    """Targets of whole formulas, handed to other formulas."""
    codes, formulas = pd.factorize(groups)
    first = pd.Series(target).groupby(codes).first().to_numpy()
    return first[rng.permutation(len(formulas))][codes]


def score_block(columns, targets, groups, rng=None):
    """Score of every property; with a generator, of properties shuffled between formulas."""
    scores = {}
    for quantity in (*NUMBERS, *CLASSES):
        known = targets[quantity].notna().to_numpy()
        target, group = targets[quantity][known].to_numpy(), groups[known]
        target = target if rng is None else shuffled(target, group, rng)
        scores[quantity] = probe(columns[known], target, group, quantity in CLASSES)
    return scores


def select(table, block):
    """Columns of a block, by the start of their names."""
    return table[[c for c in table if c.rpartition(" ")[0] == block]].to_numpy()


def matrix(targets, groups, tables):
    """Scores by row and property."""
    rng = np.random.default_rng(0)
    rows = {f"pre-trained {s}": ("pre-trained", s, None) for s in STREAMS}
    rows |= {f"untrained {s}": ("untrained", s, None) for s in STREAMS}
    rows |= {name: ("features", name, None) for name in PEERS}
    rows |= {f"shuffled labels, {s}": ("pre-trained", s, rng) for s in STREAMS}
    scores = {}
    for name, (kind, block, shuffler) in rows.items():
        scores[name] = score_block(select(tables[kind], block), targets, groups, shuffler)
        print(f"{name:32}" + "".join(f"{v:8.2f}" for v in scores[name].values()), flush=True)
    return scores


def draw(scores, path):
    """Heat maps, one above the other, of streams and of controls."""
    names = {"fractions": "element fractions", "spectrum": "power spectrum",
             "scaled spectrum": "power spectrum at one volume"}  # fmt: skip
    order = [*OF_COMPOSITION, *(q for q in (*NUMBERS, *CLASSES) if q not in OF_COMPOSITION)]
    values = np.array([[row[quantity] for quantity in order] for row in scores.values()])
    figure, ax = plt.subplots(figsize=(8.6, 0.36 * len(values) + 1.9), layout="constrained")
    image = ax.imshow(np.clip(values, 0, 1), cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        shown = f"{max(value, -9.99):.2f}"
        ax.text(j, i, shown, ha="center", va="center", fontsize=9,
                color="white" if value < 0.6 else "black")  # fmt: skip
    ax.set_xticks(range(len(order)), [q.replace(" ", "\n", 1) for q in order], fontsize=9)
    ax.set_yticks(range(len(values)), [names.get(n, n) for n in scores], fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for boundary in range(3, len(values), 3):
        ax.axhline(boundary - 0.5, color="white", lw=3)
    ax.axvline(len(OF_COMPOSITION) - 0.5, color="white", lw=3)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label="R² or balanced accuracy above chance", shrink=0.8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="default", help="default, or file of a pre-trainer")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "probes.json")
    arguments = parser.parse_args()

    pretrained = TriForcesPretrainer.from_pretrained(arguments.weights)
    crystals, targets = probed()
    structures = list(crystals["structure"])
    pretrainers = {"pre-trained": pretrained, "untrained": untrained(pretrained, structures)}
    tables = embeddings(structures, pretrainers, at_one_volume=False)
    print(f"{len(crystals)} crystals, {crystals['formula'].nunique()} formulas; classes: "
          + ", ".join(f"{name} {targets[name].nunique()}" for name in CLASSES))  # fmt: skip
    print(f"{'':32}" + "".join(f"{name[:7]:>8}" for name in (*NUMBERS, *CLASSES)))
    report = {
        "weights": fingerprint(pretrained),
        "crystals": len(crystals),
        "formulas": int(crystals["formula"].nunique()),
        "classes": {name: int(targets[name].nunique()) for name in CLASSES},
        "scores": matrix(targets, crystals["formula"].to_numpy(), tables),
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    draw(report["scores"], arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()

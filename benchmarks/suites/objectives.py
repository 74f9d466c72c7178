"""What objectives of pre-training are worth to frozen embeddings, by structures seen.

Streams of the default size are trained on crystals of up to twenty atoms of the pool, without the
formulas of phonons, jdft2d and perovskites, in batches of 32 at one learning rate. Ridge
regressions of their embeddings learn from few rows of the first training fold and are tested on
its others, in five draws; a test fold is never asked. Structures count as often as they are seen.
"""

import copy
from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks import data
from benchmarks.runner import Model, Suite, Task

SEEN = (1_000, 10_000, 30_000, 100_000, 160_000)
MAX_ATOMS, BATCH, N_PEROVSKITES, N_DRAWS = 20, 32, 1500, 5
LABELS = {"phonons": (100, 800), "jdft2d": (100, 300), "perovskites": (100, 800)}
SPLITS = {f"{n} structures": 1 for n in (0, *SEEN)}
TASKS = {name: Task("cm⁻¹" if name == "phonons" else "meV/atom", SPLITS) for name in LABELS}


@cache
def pool():
    """Structures of the pool, and formation energy, energy above the hull and gap."""
    from pymatgen.core import Composition, Element

    from trisk.structures.graphs import unbonded

    arrays = dict(np.load(data.DATA / "crystals.npz"))
    counts = arrays["n_atoms"].astype(int)
    starts = np.cumsum(counts) - counts
    tasks = [data.matbench("phonons")[0], data.matbench("jdft2d")[0], data.perovskites()[0]]
    tested = {s.composition.reduced_formula for structures in tasks for s in structures}
    sites = [slice(start, start + n) for start, n in zip(starts, counts, strict=True)]
    kept = []
    for row in np.flatnonzero(counts <= MAX_ATOMS):
        numbers, amounts = np.unique(arrays["numbers"][sites[row]], return_counts=True)
        symbols = (Element.from_Z(number).symbol for number in numbers)
        formula = Composition(dict(zip(symbols, amounts.tolist(), strict=True))).reduced_formula
        if formula not in tested:
            kept.append(row)
    kept = np.random.default_rng(0).permutation(kept)
    lattices = arrays["lattice"].astype(float)
    numbers = np.concatenate([arrays["numbers"][sites[row]] for row in kept]).astype(int)
    positions = np.concatenate(
        [arrays["frac"][sites[row]].astype(float) @ lattices[row] for row in kept]
    )
    periodic = np.ones((len(kept), 3), dtype=bool)
    labels = np.stack([arrays[name] for name in ("e_form", "e_hull", "gap")], axis=1)[kept]
    structures = unbonded(counts[kept], numbers, positions, lattices[kept], periodic)
    return structures, labels.astype(float)


@cache
def shell():
    """A network of streams that takes the weights of others."""
    from ase.build import bulk

    from trisk import TriForcesRegressor

    crystals = [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7, 3.8)]
    network = TriForcesRegressor(max_epochs=1, random_state=1, learning_rate=1e-12)
    return network.fit(crystals, [1.0, 2.0, 3.0, 4.0])


@cache
def probed(task):
    """Graphs of rows of the first training fold, their targets, and whether to take logarithms."""
    X, y, folds = data.perovskites() if task == "perovskites" else data.matbench(task)
    rows = folds[0][0]
    if task == "perovskites":
        rows = np.random.default_rng(0).permutation(rows)[:N_PEROVSKITES]
    structures = [X.iloc[row] for row in rows]
    return shell()._connect(structures), np.asarray(y)[rows], task != "perovskites"


@cache
def weights(kind, **settings):
    """Weights of the streams by number of structures seen."""
    from skorch.callbacks import Callback

    from trisk import TriForcesPretrainer, TriForcesRegressor
    from trisk.estimators import TrainingOptions
    from trisk.estimators.triforces import load_pretrained

    if kind == "untrained":
        return {0: shell().net_.module_.encoder.state_dict()}
    if kind == "shipped":
        return {0: load_pretrained("default").net_.module_.encoder.state_dict()}
    found, most = {}, settings.pop("most")

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            self.seen = 0

        def on_batch_end(self, net, training=False, **kwargs):
            self.seen += BATCH * training
            for number in SEEN:
                if number <= self.seen and number not in found:
                    with net.averaged():
                        state = net.module_.encoder.state_dict()
                        found[number] = {name: value.clone() for name, value in state.items()}
            if self.seen >= most:
                raise KeyboardInterrupt

    common = {
        "learning_rate": 1e-3, "batch_size": BATCH, "max_epochs": 20, "random_state": 0,
        "training": TrainingOptions(schedule="constant"), "callbacks": [Watch()],
    }  # fmt: skip
    structures, labels = pool()
    try:
        if kind == "all":
            learn_together(structures, labels, common | settings)
        elif kind == "labels":
            known = np.flatnonzero(np.isfinite(labels).any(axis=1))
            TriForcesRegressor(**common).fit(structures.take(known), labels[known])
        else:
            TriForcesPretrainer(**common, **settings).fit(structures)
    except KeyboardInterrupt:
        return found


def learn_together(structures, labels, settings):
    """Pre-train with labels beside the objectives: those that a crystal has, from its two views.

    The library has no such estimator: what it would need is put in its place here.
    """
    from unittest.mock import patch

    import torch

    from trisk import TriForcesPretrainer
    from trisk.estimators import pretrainer
    from trisk.nn.heads import PretrainingNetwork

    class Views(pretrainer.ViewMaker):
        def __call__(self, graphs, rng, part=slice(None)):
            batch, targets = super().__call__(graphs, rng, part)
            return batch, targets | {"labels": torch.from_numpy(np.tile(graphs.context, (2, 1)))}

    class Network(PretrainingNetwork):
        def __init__(self, encoder, hidden_dim, **settings):
            super().__init__(encoder, hidden_dim, **settings)
            self.label_head = torch.nn.Linear(sum(encoder.widths.values()), labels.shape[1])
            encoder.register_forward_hook(self._keep)

        def _keep(self, module, inputs, embeddings):
            self.labels = self.label_head(torch.cat(list(embeddings.structures.values()), dim=1))

        def forward(self, batch):
            return super().forward(batch) | {"labels": self.labels}

    class Loss(pretrainer.PretrainingLoss):
        def terms(self, output, targets):
            errors = (output["labels"] - targets["labels"]).abs()
            known = torch.where(errors.isnan(), 0, errors).sum() / (~errors.isnan()).sum()
            return super().terms(output, targets) | {"labels": known}

        def total(self, terms):
            return (
                super().total({k: v for k, v in terms.items() if k != "labels"}) + terms["labels"]
            )

    class Pretrainer(TriForcesPretrainer):
        def _read_training(self, X):
            return X

    scaled = (labels - np.nanmean(labels, axis=0)) / np.nanstd(labels, axis=0)
    labelled = replace(structures, context=scaled.astype(np.float32))
    names = {"ViewMaker": Views, "PretrainingNetwork": Network, "PretrainingLoss": Loss}
    with patch.multiple(pretrainer, **names):
        Pretrainer(**settings).fit(labelled)


def score(embeddings, target, n_labels, of_logarithm):
    """Mean error of ridge regressions over the draws."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.log(target) if of_logarithm else target
    errors = []
    for draw in range(N_DRAWS):
        rows = np.random.default_rng(draw).permutation(len(target))
        train, test = rows[:n_labels], rows[n_labels:]
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
        found = model.fit(embeddings[train], known[train]).predict(embeddings[test])
        found = np.clip(found, known[train].min(), known[train].max())
        errors.append(np.abs((np.exp(found) if of_logarithm else found) - target[test]).mean())
    return float(np.mean(errors))


def measure(task, split, fold, model):
    """Embed with the weights that have seen so many structures, and probe."""
    seen = int(split.split()[0])
    parameters = MODELS[model].parameters_for(task)
    states = weights(**parameters)
    if seen not in states:
        return {}
    graphs, target, of_logarithm = probed(task)
    network = copy.deepcopy(shell())
    network.net_.module_.encoder.load_state_dict(states[seen])
    embeddings = np.asarray(network.transform(graphs))
    return {f"{n} labels": score(embeddings, target, n, of_logarithm) for n in LABELS[task]}


def trained(most, **settings):
    """Streams that train until they have seen so many structures."""
    return Model(weights, {"kind": "structures", "most": most, **settings})


NO_MASK, NO_NOISE = {"masking_weight": 0.0}, {"denoising_weight": 0.0}
NO_VIEWS = {"lejepa_weight": 0.0}
MODELS = {
    "untrained": Model(weights, {"kind": "untrained"}),
    "denoising, masking, LeJEPA": trained(160_000),
    "denoising, masking": trained(30_000, **NO_VIEWS),
    "denoising": trained(160_000, **NO_VIEWS, **NO_MASK, masked_share=None),
    "masking": trained(30_000, **NO_VIEWS, **NO_NOISE, noise=None, masking_weight=1.0),
    "LeJEPA": trained(30_000, **NO_MASK, **NO_NOISE, lejepa_weight=1.0),
    "formation energy, energy above the hull, gap": Model(
        weights, {"kind": "labels", "most": 160_000}
    ),
    "labels, denoising": Model(
        weights,
        {"kind": "all", "most": 30_000, **NO_VIEWS, **NO_MASK, "masked_share": None},
    ),
    "labels, denoising, masking, LeJEPA": Model(weights, {"kind": "all", "most": 30_000}),
    "weights that ship": Model(weights, {"kind": "shipped"}),
}

SUITE = Suite("objectives", TASKS, MODELS, measure)


def draw(path="docs/static/objectives.png"):
    """Error of frozen probes over that of an untrained network, against structures seen."""
    import matplotlib.pyplot as plt

    from benchmarks.report import find

    figure, panels = plt.subplots(1, len(LABELS), figsize=(10, 3.2), sharex=True, sharey=True)
    for panel, task in zip(panels, LABELS, strict=True):
        few = f"{LABELS[task][0]} labels"
        untrained = find("objectives", task, "untrained", few)[0].mean
        for model in MODELS:
            found = {
                n: find("objectives", task, model, few, split=f"{n} structures")[0] for n in SEEN
            }
            shares = {n: cell.mean / untrained for n, cell in found.items() if cell}
            if shares:
                panel.plot(list(shares), list(shares.values()), marker="o", label=model)
        panel.axhline(1, color="0.6", linestyle=":")
        panel.set(xscale="log", title=f"{task}, {few}", xlabel="structures seen")
    panels[0].set_ylabel("error over that of an untrained network")
    lines = panels[0].get_legend_handles_labels()
    figure.legend(*lines, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=3, frameon=False)
    figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    draw()

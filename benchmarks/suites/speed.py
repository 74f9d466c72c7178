"""How fast trisk is beside named peers in the same run: CPU seconds of one thread, both in turns.

A task is something that takes time, a model is the peer that does the same. A comparison gives a
function for trisk and one for the peer, how many units of work each does, and further metrics.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import clone

from benchmarks import data, plain
from benchmarks.measures import in_turns
from benchmarks.runner import Model, Suite, Task

N_FORMULAS, N_MEMBERS, N_SEEDS = 5000, 25, 5
N_EMBEDDINGS, N_COLUMNS, N_QUERIES, N_CLUSTERS = 1_000_000, 64, 1000, 20_000


def magpie(task):
    """Magpie statistics of formulas of the Materials Project."""
    import pandas as pd
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    from trisk import MagpieFeaturizer

    formulas = pd.read_csv(data.DATA / "mp_formulas_e_form.csv.gz")["formula"].drop_duplicates()
    formulas = formulas.sample(N_FORMULAS, random_state=0).tolist()
    matminer = ElementProperty.from_preset("magpie")

    def ours():
        return MagpieFeaturizer().fit_transform(formulas)

    def theirs(some=formulas[:500]):
        return [matminer.featurize(Composition(formula)) for formula in some]

    difference = np.abs(ours().to_numpy()[:500] - np.array(theirs(), dtype=float)).max()
    extras = {"largest difference": float(difference)}
    return ours, theirs, (1, 500 / N_FORMULAS), extras


def graphs(task):
    """Graphs with bonds, angles, dihedrals, sensors and composition; the peers give bonds alone."""
    from trisk import CrystalGraphFeaturizer

    structures = data.matbench("phonons")[0].tolist()
    return structures, lambda: CrystalGraphFeaturizer().fit_transform(structures)


def graphs_by_pymatgen(task):
    """The loop over pymatgen's neighbours that CGCNN's loader made common, on some crystals."""
    structures, ours = graphs(task)
    some = structures[::10]

    def theirs():
        for structure in some:
            for near in structure.get_all_neighbors(8.0):
                sorted(near, key=lambda neighbor: neighbor.nn_distance)[:12]

    return ours, theirs, (1, len(some) / len(structures)), {}


def graphs_by_matgl(task):
    """matgl's converter with its default cutoff of 5 Å."""
    from matgl.ext.pymatgen import Structure2Graph
    from pymatgen.core import Element

    structures, ours = graphs(task)
    converter = Structure2Graph(tuple(element.symbol for element in Element), cutoff=5.0)
    return ours, lambda: [converter.get_graph(s) for s in structures], (1, 1), {}


def spectra(task):
    """Averaged power spectra; as many radial functions and degrees, all elements alike."""
    from dscribe.descriptors import SOAP
    from pymatgen.io.ase import AseAtomsAdaptor

    from trisk import PowerSpectrumFeaturizer

    crystals = [AseAtomsAdaptor.get_atoms(s) for s in data.matbench("phonons")[0]]
    for crystal in crystals:
        crystal.numbers[:] = 1
    mine = PowerSpectrumFeaturizer(cutoff=6.0, n_radial=8, max_degree=4)
    soap = SOAP(species=["H"], r_cut=6.0, n_max=8, l_max=4, periodic=True, average="outer")
    return lambda: mine.fit_transform(crystals), lambda: soap.create(crystals), (1, 1), {}


def hybrid_step(task):
    """Training steps of the published network, 25 members in one batch, per step and member."""
    import trisk

    X, y, folds = data.matbench("steels")
    pipeline = trisk.composition_pipeline("published_steels", n_members=N_MEMBERS, fast=True)
    table = pipeline[:-1].fit_transform(X.iloc[folds[0][0]])
    network = pipeline[-1].set_params(max_epochs=2, random_state=0)
    n_steps = 2 * (len(table) // plain.BATCH_SIZE)
    units = n_steps * N_MEMBERS, n_steps
    target = y.iloc[folds[0][0]]
    return lambda: network.fit(table, target), lambda: plain.train_hybrid(n_steps), units, {}


def steels_protocol(task):
    """Five official folds from formulas on; the published 25 trainings, extrapolated."""
    import trisk

    X, y, folds = data.matbench("steels")
    recipe = trisk.composition_pipeline("steels", fast=True, random_state=0)
    steps = 50, len(folds) * N_SEEDS * plain.N_EPOCHS * (len(folds[0][0]) // plain.BATCH_SIZE)

    def ours():
        scoring = "neg_mean_absolute_error"
        return trisk.cross_validate(
            recipe, X, y, cv=trisk.matbench_folds("steels"), scoring=scoring
        )

    extras = {"MAE (MPa)": float(-ours()["test_score"].mean())}
    return ours, lambda: plain.train_hybrid(steps[0]), (1, steps[0] / steps[1]), extras


def potential(streams=("interaction",), epochs=20, **parameters):
    """Epochs of one step on energies and forces of 16 frames of silicon."""
    from trisk import TriForcesPotential

    frames = data.frames("Si")[0][:16]
    model = TriForcesPotential(batch_size=16, max_epochs=epochs, random_state=0)
    settings = {"network__streams": streams, "network__cutoff": 5.0, **parameters}
    model.set_params(**settings)
    return model, lambda: model.fit(frames)


def backbone(name, width, layers):
    """A backbone of another package in the same training."""

    def compare(task):
        shape = {"network__hidden_dim": width, "network__n_layers": layers}
        theirs = potential(epochs=5, network__backbone=name, **shape)[1]
        return potential()[1], theirs, (20, 5), {}

    return compare


def all_streams(task):
    """Energies and forces with all three streams, and with the backbone alone."""
    from ase.build import bulk

    atoms = bulk("Si", cubic=True).repeat(2 if "64" in task else 10)
    atoms.rattle(0.1, seed=0)
    models = []
    for streams in (("composition", "structure", "interaction"), ("interaction",)):
        model, fit = potential(streams, epochs=1)
        fit()
        models.append(model)
    return lambda: models[0].predict([atoms]), lambda: models[1].predict([atoms]), (1, 1), {}


def fitted():
    """HybridTRIADS with the members of the steels recipe, hardly trained, and a forest."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.pipeline import make_pipeline

    import trisk

    X, y, _ = data.matbench("steels")
    model = trisk.composition_pipeline("steels", fast=True, max_epochs=2, random_state=0)
    forest = make_pipeline(model[:-1], ExtraTreesRegressor(300, random_state=0))
    return model.fit(X, y), forest.fit(X, y), X.tolist()


def prediction(task):
    """Predictions from formulas."""
    model, forest, formulas = fitted()
    formulas = formulas[:1] if "one" in task else (formulas * 4)[:1000]
    return lambda: model.predict(formulas), lambda: forest.predict(formulas), (1, 1), {}


def python(code):
    """Run code in a new process."""
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])  # noqa: S603


def imports(task):
    """A new process that imports the package."""
    return lambda: python("import trisk"), lambda: python("import sklearn"), (1, 1), {}


def new_process(task):
    """A new process that loads a model and predicts a formula; a forest through joblib."""
    import joblib

    model, forest, _ = fitted()
    folder = tempfile.mkdtemp()
    model_file, forest_file = Path(folder, "model.trisk"), Path(folder, "forest.joblib")
    import trisk

    trisk.save(model, model_file)
    joblib.dump(forest, forest_file)
    end = f".load({str(model_file)!r}).predict(['Fe0.9C0.1'])"
    theirs = f"import joblib; joblib.load({str(forest_file)!r}).predict(['Fe0.9C0.1'])"
    return lambda: python(f"import trisk; trisk{end}"), lambda: python(theirs), (1, 1), {}


def members(task):
    """Four networks on forty crystals in batches of four, as members and as fits of their own."""
    from trisk import TriForcesRegressor
    from trisk.testing import make_structures

    X, y, _ = make_structures(40)
    model = TriForcesRegressor(max_epochs=4, batch_size=4, verbose=0)

    def fit(n_members, seed=0):
        return clone(model).set_params(n_members=n_members, random_state=seed).fit(X, y)

    return lambda: fit(4), lambda: [fit(1, seed) for seed in range(4)], (4, 4), {}


def of_crystals(task):
    """Predictions for a thousand crystals by models that are hardly trained, and by a forest."""
    from sklearn.pipeline import make_pipeline

    import trisk
    from benchmarks.peers import forest
    from trisk.featurizers import PotentialEmbedder

    X, y = data.matbench("phonons")[:2]
    X, trees = X.tolist()[:1000], partial(forest, "ExtraTrees", n_estimators=300)
    once = {"max_epochs": 1, "calibrate": False}
    model = {
        "structure_pipeline": partial(trisk.structure_pipeline, **once),
        "TriForces": partial(trisk.TriForcesRegressor, **once),
        "trees on CHGNet": lambda: make_pipeline(PotentialEmbedder("chgnet"), trees()),
        "trees on TriForcesSensors": lambda: make_pipeline(trisk.TriForcesSensors(), trees()),
    }[task.rpartition(" by ")[2]]()
    models = [model, make_pipeline(trisk.MagpieFeaturizer(), trees())]
    for each in models:
        each.fit(X[:100], y[:100])
    return *(partial(each.predict, X) for each in models), (1, 1), {}


def nearest(task):
    """Ten nearest of a thousand queries among a million clustered rows, by Faiss and exactly."""
    from trisk import StructureRetriever

    rng = np.random.default_rng(0)
    spread = 1 / np.sqrt(np.arange(1, N_COLUMNS + 1, dtype=np.float32))
    centers = rng.normal(size=(N_CLUSTERS, N_COLUMNS)).astype(np.float32) * spread
    share = rng.lognormal(sigma=1.0, size=N_CLUSTERS)
    clusters = rng.choice(N_CLUSTERS, N_EMBEDDINGS + N_QUERIES, p=share / share.sum())
    rows = rng.standard_normal((len(clusters), N_COLUMNS), dtype=np.float32) * 0.5 * spread
    queries, rows = np.split(rows + centers[clusters], [N_QUERIES])
    searches = []
    for index in ("faiss", "exact"):
        retriever = StructureRetriever(pretrainer=None, index=index, n_neighbors=10).fit(rows)
        searches.append(lambda r=retriever: r.kneighbors(queries, return_distance=False))
    shared = [len(set(a) & set(b)) for a, b in zip(*(s() for s in searches), strict=True)]
    return *searches, (N_QUERIES, N_QUERIES), {"recall": float(np.mean(shared)) / 10}


def peer(compare, *tasks, needs=()):
    """A peer on the tasks that it has part in."""
    return Model(compare, needs=needs, tasks=tasks)


STEP = "step on energies and forces of 16 frames"
BIG, SMALL = "energy and forces of 8,000 atoms", "energy and forces of 64 atoms"
PEERS = {
    "matminer": peer(magpie, "Magpie columns of 5,000 formulas"),
    "pymatgen": peer(graphs_by_pymatgen, "graphs of 1,265 crystals"),
    "matgl": peer(graphs_by_matgl, "graphs of 1,265 crystals", needs=("matgl",)),
    "DScribe": peer(spectra, "power spectra of 1,265 crystals", needs=("dscribe",)),
    "plain PyTorch": peer(hybrid_step, "step and member of the published HybridTRIADS"),
    "plain PyTorch, 25 trainings": peer(steels_protocol, "steels, five folds"),
    "MACE": peer(backbone("mace", 32, 2), STEP, needs=("mace",)),
    "Orb": peer(backbone("orb", 64, 3), STEP, needs=("orb_models",)),
    "eSEN": peer(backbone("esen", 32, 2), STEP, needs=("fairchem",)),
    "backbone alone": peer(all_streams, SMALL, BIG),
    "ExtraTrees": peer(prediction, "prediction of one formula", "prediction of 1,000 formulas"),
    "ExtraTrees, Magpie": peer(
        of_crystals,
        "predictions for 1,000 crystals by structure_pipeline",
        "predictions for 1,000 crystals by TriForces",
        "predictions for 1,000 crystals by trees on TriForcesSensors",
        "predictions for 1,000 crystals by trees on CHGNet",
        needs=("chgnet",),
    ),
    "forest, joblib": peer(new_process, "load and predict in a new process"),
    "scikit-learn": peer(imports, "import in a new process"),
    "one network after the other": peer(members, "four members of TriForces, an epoch"),
    "exact search": peer(nearest, "ten nearest of 1,000,000, a query", needs=("faiss",)),
}
TASKS = {task: Task("s", {"one thread": 1}) for made in PEERS.values() for task in made.tasks}


def measure(task, split, fold, model):
    """Seconds of a unit of work for trisk and the peer, and their ratio."""
    ours, theirs, units, extras = PEERS[model].build(task)
    ours(), theirs()  # what is done once only
    seconds = in_turns({"trisk": ours, "peer": theirs})
    per_unit = {n: s / u for (n, s), u in zip(seconds.items(), units, strict=True)}
    ratio = per_unit["peer"] / per_unit["trisk"]
    print(f"{task}: trisk is {ratio:.3g} times as fast as {model}", flush=True)
    return {**per_unit, "times as fast": ratio, **extras}


SUITE = Suite("speed", TASKS, PEERS, measure)

"""Few labelled crystals: networks from scratch and from pre-trained weights, forests, ridge.

Highest phonon frequencies, heats of formation of 2,500 perovskites, and energies of indium
phosphide's cells of up to 65 atoms. A fold is a draw: 250 structures to test on, and the labels
from the rest. Ridge regressions see frozen embeddings, their strength is chosen by leave-one-out.
"""

from functools import cache, partial

import numpy as np
import pandas as pd

from benchmarks import data
from benchmarks.measures import cpu_seconds, mae
from benchmarks.peers import forest
from benchmarks.runner import Model, Suite, Task
from benchmarks.suites import structures as with_structures

N_TEST, N_PEROVSKITES, MAX_ATOMS = 250, 2500, 65
SIZES = (50, 100, 300, 1000)
SPLITS = {f"{size} labels": 3 for size in SIZES}
TASKS = {
    "phonons": Task("cm⁻¹", SPLITS),
    "perovskites": Task("meV/atom", SPLITS),
    "InP": Task("meV/atom", SPLITS),
}
NEQUIX_BLOCKS = {
    "phonons": with_structures.WITH_NEQUIX,
    "perovskites": ["Magpie", "fractions", "sensors of Nequix"],
}


@cache
def load(task):
    """Structures and target; frequencies as logarithms."""
    if task == "phonons":
        X, y, _ = data.matbench("phonons")
        return list(X), np.log(y.to_numpy())
    if task == "perovskites":
        cells, heats = data.cubic_perovskites()
        rows = np.random.default_rng(0).permutation(len(heats))[:N_PEROVSKITES]
        return [cells[row] for row in rows], heats[rows]
    frames = [frame for frame in data.read_frames("inp") if len(frame) <= MAX_ATOMS]
    return frames, np.array([1e3 * f.get_potential_energy() / len(f) for f in frames])


@cache
def embedding(task, name):
    """A frozen table of a task's structures."""
    from sklearn.pipeline import FeatureUnion

    from trisk import (
        MagpieFeaturizer,
        PowerSpectrumFeaturizer,
        SpringModelFeaturizer,
        TriForcesSensors,
    )
    from trisk.featurizers import ElementFractionFeaturizer, PotentialEmbedder

    structures, _ = load(task)
    made = {
        "Magpie": MagpieFeaturizer,
        "predicted sensors": TriForcesSensors,
        "springs": SpringModelFeaturizer,
        "CHGNet": partial(PotentialEmbedder, "chgnet"),
        "element fractions and power spectrum": lambda: FeatureUnion(
            [("fractions", ElementFractionFeaturizer()), ("spectrum", PowerSpectrumFeaturizer())]
        ),
    }
    if name in made:
        return pd.DataFrame(made[name]().fit_transform(structures))
    return streams_of(name.partition(",")[0]).transform(structures)


def streams_of(kind):
    """The network that ships, or the one from which pre-training starts."""
    from trisk import TriForcesPretrainer
    from trisk.estimators import load_pretrained
    from trisk.testing import make_structures

    if kind == "pre-trained":
        return load_pretrained("default")
    start = {"max_epochs": 1, "learning_rate": 1e-12, "training__ema_decay": 0}
    return TriForcesPretrainer(random_state=0).set_params(**start).fit(make_structures(8)[0])


def network(task, seed, **parameters):
    """TriForces on some rows, its streams and starting weights given."""
    from trisk import TriForcesRegressor

    model = TriForcesRegressor(max_epochs=60, random_state=seed).set_params(**parameters)
    return pd.Series(load(task)[0]), model


def default_pipeline(task, seed):
    """What a user gets who names nothing; the target of phonons is a logarithm here."""
    return pd.Series(load(task)[0]), with_structures.default_pipeline(task, seed=seed)


def trees(task, seed, columns):
    """A forest on columns."""
    table = pd.concat([embedding(task, name) for name in columns], axis=1)
    return table, forest("ExtraTrees", n_estimators=300, random_state=seed)


@cache
def sensed(task):
    """Columns of structures beside what Nequix measures of them."""
    structures, _ = load(task)
    names = NEQUIX_BLOCKS[task]
    tables = [with_structures.block(name, task).fit_transform(structures) for name in names]
    return pd.concat(tables, axis=1)


def with_potential(task, seed):
    """Forest and support vectors in the mean, which correct what Nequix estimates."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import VotingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors = with_structures.support_vectors(C=3.0, epsilon=0.01)
    if task == "perovskites":
        vectors = TransformedTargetRegressor(vectors, transformer=StandardScaler())
    trees = forest("ExtraTrees", random_state=seed, max_features=0.33)
    reference = with_structures.PEAK if task == "phonons" else with_structures.FORMATION
    model = VotingRegressor([("forest", trees), ("vectors", vectors)])
    model = make_pipeline(*with_structures.corrected(model, reference))
    if task == "phonons":  # whose target is a logarithm here
        model = TransformedTargetRegressor(model, func=np.exp, inverse_func=np.log)
    return sensed(task), model


def ridge(task, seed, columns):
    """Ridge regression on standardised columns."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15)))
    return embedding(task, columns), model


def on_descriptors(task, seed):
    """Structures, and a Gaussian process on their descriptors."""
    return pd.Series(load(task)[0]), with_structures.on_descriptors()


def with_three_potentials(task, seed):
    """The mean of networks that correct what Nequix measures, and of a Gaussian process."""
    from sklearn.ensemble import VotingRegressor

    formed = {**with_structures.AS_FORMED, "max_epochs": 60, "random_state": seed}
    models = [
        ("graphs", with_structures.graph_triads(task, order=2, n_members=1, **formed)),
        ("streams", with_structures.triforces(task, context=True, **_SENSORS, **formed)),
        ("Gaussian process", with_structures.on_descriptors()),
    ]
    return pd.Series(load(task)[0]), VotingRegressor(models)


_ONE = {"network__streams": ["interaction"]}
_CHGNET = {"network__backbone": "chgnet"}
_SENSORS = {"pretrained": "default"}
MODELS = {
    "default pipeline": Model(default_pipeline),
    "TriForces, from scratch": Model(network),
    "TriForces, pre-trained on sensors": Model(network, _SENSORS),
    "TriForces on CHGNet, fine-tuned": Model(network, _CHGNET, ("chgnet",), ("perovskites",)),
    "Gaussian process, CHGNet and SevenNet": Model(
        on_descriptors, {}, ("chgnet", "sevenn"), ("perovskites",)
    ),
    "mean of GraphTRIADS, TriForces and a Gaussian process, with three potentials": Model(
        with_three_potentials, {}, ("nequix", "chgnet", "sevenn"), ("perovskites",)
    ),
    "TriForces, interaction stream, from scratch": Model(network, _ONE),
    "TriForces, interaction stream, pre-trained on sensors": Model(network, {**_ONE, **_SENSORS}),
    "ExtraTrees and SVR, sensors of Nequix, corrected": Model(
        with_potential, needs=("nequix",), tasks=("phonons", "perovskites")
    ),
    "ExtraTrees, Magpie": Model(trees, {"columns": ["Magpie"]}),
    "ExtraTrees, Magpie and predicted sensors": Model(
        trees, {"columns": ["Magpie", "predicted sensors"]}
    ),
    **{
        f"ridge, {name}": Model(ridge, {"columns": name})
        for name in (
            "pre-trained, all", "untrained, all", "element fractions and power spectrum",
            "predicted sensors",
        )
    },
    "ridge, CHGNet": Model(ridge, {"columns": "CHGNet"}, needs=("chgnet",)),
    "ExtraTrees, springs and CHGNet": Model(
        trees, {"columns": ["springs", "CHGNet"]}, needs=("chgnet",)
    ),
}  # fmt: skip


def measure(task, split, fold, model):
    """Train on a draw of labels and test on other structures."""
    structures, target = load(task)
    order = np.random.default_rng(fold).permutation(len(structures))
    test, train = order[:N_TEST], order[N_TEST : N_TEST + int(split.split()[0])]
    made = MODELS[model]
    columns, estimator = made.make(task, fold, **made.parameters_for(task))
    started = cpu_seconds()
    estimator.fit(columns.iloc[train], target[train])
    seconds = cpu_seconds() - started
    predicted = estimator.predict(columns.iloc[test])
    unit = np.exp if task == "phonons" else np.asarray
    return {"MAE": mae(unit(target[test]), unit(predicted)), "seconds": seconds}


SUITE = Suite("few_labels", TASKS, MODELS, measure)

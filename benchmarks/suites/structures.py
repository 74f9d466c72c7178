"""Properties of crystals: GraphTRIADS, TriForces and forests, with and without a potential."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.linear_model import RidgeCV

from benchmarks import data
from benchmarks.measures import fit_and_score
from benchmarks.peers import forest
from benchmarks.runner import Model, Suite, Task

TASKS = {
    "phonons": Task("cm⁻¹"),
    "jdft2d": Task("meV/atom"),
    "perovskites": Task("meV/atom", {"matbench, certain rows": 5}),
}
#: What a potential measures is kept here, as its force calls are costly.
CACHE = Path(__file__).parents[1] / ".cache"
#: Sensors of a potential; cells that are not stable have no frequencies that tell their energy.
SENSORS = {
    "phonons": ["energy", "stress", "forces", "gamma", "einstein", "phonon_dos"],
    "perovskites": ["energy", "stress", "forces", "formation"],
}
AREA = "Layer area per atom (A2)"
DOS_MAXIMUM = "Potential DOS maximum (1/cm)"
GAMMA_HIGHEST = "Potential gamma highest 1 (1/cm)"
HIGHEST_PAIR = "SpringModel highest pair frequency (1/cm)"
LAST_PEAK = "Potential DOS last peak at width 10 (1/cm)"
ESTIMATE, PEAK = "estimate (1/cm)", "estimate by the last peak (1/cm)"
FORMED = "Potential formation energy (eV/atom)"
FORMATION = "formation energy, elements shifted (meV/atom)"


def load(task):
    """Structures, target and folds."""
    return data.perovskites() if task == "perovskites" else data.matbench(task)


def block(name, task):
    """A featurizer of structures by name."""
    import trisk
    from trisk.featurizers import ElementFractionFeaturizer

    if name == "sensors":
        return trisk.PotentialFeaturizer(
            data.potential(), sensors=SENSORS[task], memory=CACHE, on_error="nan",
            potential_name="TensorNet-MatPES-PBE-v2025.1", supercell_length=7.0, mesh_length=30.0,
        )  # fmt: skip
    if name == "sensors of Nequix":
        return trisk.PotentialFeaturizer(
            data.Nequix, sensors=SENSORS[task], memory=CACHE, on_error="nan",
            potential_name="nequix-oam-1", batch_atoms=96, supercell_length=5.0,
            displacement=0.003, differences="forward",
        )  # fmt: skip
    if name == "stacking of Nequix":
        return trisk.PotentialFeaturizer(
            data.NequixEnergies, sensors=["stacking"], memory=CACHE, on_error="nan",
            potential_name="nequix-oam-1",
        )  # fmt: skip
    made = {
        "Magpie": trisk.MagpieFeaturizer,
        "fractions": ElementFractionFeaturizer,
        "springs": trisk.SpringModelFeaturizer,
        "layers": trisk.LayerFeaturizer,
        "predicted sensors": trisk.TriForcesSensors,
    }[name]
    return made(on_error="nan") if name == "springs" else made()


def table_of(columns):
    """Columns of a table, or those of whole structures beside their graphs."""
    if hasattr(columns, "columns"):
        return columns
    return pd.DataFrame(np.asarray(columns.context, dtype=float), columns=columns.names["context"])


def with_column(columns, name, values):
    """A table or graphs with one column more."""
    if hasattr(columns, "columns"):
        return columns.assign(**{name: values})
    names = {**columns.names, "context": (*columns.names["context"], name)}
    context = np.hstack([columns.context, values[:, None]])
    return replace(columns, context=context, names=names)


def with_estimate(columns):
    """A table or graphs with an estimate of the highest frequency, and tables in units of it.

    It is the geometric mean of the potential's and the strongest spring's: the potential finds soft
    polar modes where the last peak is a longitudinal one, and springs know no such softness.
    """
    table = table_of(columns)
    estimate = pair = table[HIGHEST_PAIR].to_numpy()
    modes = [name for name in (DOS_MAXIMUM, GAMMA_HIGHEST) if name in table]
    if modes:
        estimate = np.sqrt(np.maximum(table[modes[0]], pair / 2) * pair).to_numpy()
    if table is columns:
        columns = _in_units_of(table, estimate)
    return with_column(columns, ESTIMATE, estimate)


def with_peak(table):
    """A table in units of the last peak of the potential's density of states."""
    estimate = np.maximum(table[LAST_PEAK], table[HIGHEST_PAIR] / 2).to_numpy()
    return with_column(_in_units_of(table, estimate), PEAK, estimate)


def _in_units_of(table, estimate):
    """A table, and its frequencies over an estimate."""
    frequencies = table[[name for name in table if name.endswith("(1/cm)")]]
    return table.join(frequencies.div(estimate, axis=0).add_suffix(" over estimate"))


class FormationEnergies(TransformerMixin, BaseEstimator):
    """Adds the potential's formation energy with elements shifted as training rows say."""

    def fit(self, X, y):
        energies, fractions = self._read(X)
        self.shifts_ = RidgeCV(np.logspace(-4, 2, 13)).fit(fractions, y - energies)
        return self

    def transform(self, X):
        energies, fractions = self._read(X)
        return with_column(X, FORMATION, energies + self.shifts_.predict(fractions))

    @staticmethod
    def _read(X):
        table = table_of(X)
        fractions = table[[name for name in table if name.startswith("ElementFraction ")]]
        return 1e3 * table[FORMED].to_numpy(), fractions.to_numpy()


def of_logarithm(model):
    """A model of the logarithm of a positive target."""
    from sklearn.compose import TransformedTargetRegressor

    return TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)


def corrected(model, reference, log=True):
    """Steps that learn what a reference is off, by a factor or for energies by a difference."""
    from sklearn.preprocessing import FunctionTransformer

    from trisk import DeltaRegressor

    if reference == FORMATION:
        return [FormationEnergies(), DeltaRegressor(model, reference=reference, kind="difference")]
    estimates = {ESTIMATE: with_estimate, PEAK: with_peak}
    steps = [FunctionTransformer(estimates[reference])] if reference in estimates else []
    return [*steps, DeltaRegressor(of_logarithm(model) if log else model, reference=reference)]


def table_model(task, model, blocks, reference=None, **parameters):
    """A model of columns, which learns what a reference is off if there is one."""
    from sklearn.pipeline import FeatureUnion, make_pipeline

    features = FeatureUnion([(n, block(n, task)) for n in blocks], verbose_feature_names_out=False)
    learner = {"SVR": support_vectors, "HybridTRIADS": hybrid_triads}.get(model)
    learner = learner(**parameters) if learner else forest(model, **parameters)
    steps = corrected(learner, reference) if reference else [learner]
    return make_pipeline(features.set_output(transform="pandas"), *steps)


def support_vectors(**parameters):
    """Support vectors on standardised columns and their logarithms, softly clipped."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVR

    logarithms, clip = FunctionTransformer(_with_logarithms), FunctionTransformer(_soft_clip)
    return make_pipeline(logarithms, StandardScaler(), clip, SVR(gamma="auto", **parameters))


def _with_logarithms(table):
    values = np.asarray(table, dtype=float)
    return np.hstack([values, np.sign(values) * np.log1p(np.abs(values))])


def _soft_clip(values):
    return values / np.sqrt(1 + (values / 3) ** 2)


def hybrid_triads(**parameters):
    """The network of tables."""
    from trisk import HybridTRIADSRegressor

    return HybridTRIADSRegressor(random_state=0).set_params(**parameters)


def graph_triads(task, order, structure=(), composition=("magpie", "mat2vec"), reference=None,
                 **parameters):  # fmt: skip
    """GraphTRIADS on crystal graphs."""
    from sklearn.pipeline import make_pipeline

    from trisk import CrystalGraphFeaturizer, GraphTRIADSRegressor

    context = [block(name, task) for name in structure] or None
    graphs = CrystalGraphFeaturizer(order=order, composition=composition, structure=context)
    network = GraphTRIADSRegressor(random_state=0).set_params(network__order=order, **parameters)
    steps = corrected(network, reference, log=False) if reference else [network]
    return make_pipeline(graphs, *steps)


def triforces(task, structure=(), reference=None, **parameters):
    """TriForces on structures, with columns of the whole structure before the head if wanted."""
    from sklearn.pipeline import make_pipeline

    from trisk import CrystalGraphFeaturizer, TriForcesRegressor

    network = TriForcesRegressor(random_state=0).set_params(**parameters)
    network = of_logarithm(network) if task == "phonons" and not reference else network
    if not structure:
        return network
    context = [block(name, task) for name in structure]
    composition = ("magpie",) if reference else None
    graphs = CrystalGraphFeaturizer(order=1, composition=composition, structure=context)
    return make_pipeline(
        graphs, *(corrected(network, reference, log=False) if reference else [network])
    )


class GaussianProcess(RegressorMixin, BaseEstimator):
    """A Gaussian process whose kernel at most 1,000 of the rows choose."""

    def fit(self, X, y):
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        kernel = ConstantKernel(1, (1e-3, 1e5)) * Matern(20, (1, 1e4), nu=1.5) + WhiteKernel(0.01)
        y = np.asarray(y)
        rows = np.random.default_rng(0).permutation(len(y))[:1000]
        chosen = GaussianProcessRegressor(kernel, normalize_y=True).fit(X[rows], y[rows]).kernel_
        model = GaussianProcessRegressor(chosen, optimizer=None, normalize_y=True)
        self.model_ = model.fit(X, y)
        return self

    def predict(self, X):
        return self.model_.predict(X)


def on_descriptors(task=None):
    """A Gaussian process on what two potentials know of the mean atom."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import StandardScaler

    from trisk.featurizers import PotentialEmbedder

    potentials = [PotentialEmbedder(p, memory=CACHE) for p in ("chgnet", "7net-l3i5")]
    descriptors = make_union(*potentials).set_output(transform="pandas")
    means = make_column_transformer((StandardScaler(), make_column_selector(" mean ")))
    return make_pipeline(descriptors, means, GaussianProcess())


def default_pipeline(task, *, seed=0, calibrate=False):
    """What a user gets who names nothing; calibration takes time and changes no prediction."""
    import trisk

    return trisk.structure_pipeline(random_state=seed, calibrate=calibrate)


def mean(task, models, weights=None):
    """The mean of models of this suite."""
    from sklearn.ensemble import VotingRegressor

    made = [(f"model {k}", MODELS[name].build(task)) for k, name in enumerate(models)]
    return VotingRegressor(made, weights=weights)


#: Of one network on each task, chosen on validation rows of the first training fold.
GRAPHS = {
    "phonons": {"order": 2, "link": "log", "n_members": 1, "max_epochs": 25},
    "jdft2d": {"order": 2, "n_members": 1, "max_epochs": 25},
    "perovskites": {"order": 2, "n_members": 1, "max_epochs": 40},
}
LAYERS = {
    "composition": ["magpie"], "structure": ["springs", "layers"], "reference": AREA, "link": "log",
}  # fmt: skip
EPOCHS = {"phonons": 60, "jdft2d": 25, "perovskites": "auto"}
SMALL = {"network__cutoff": 5.0, "network__n_layers": 2}
PHONONS, FOLDS = ("phonons",), ("phonons", "perovskites")
FROM_SENSORS, TREES = {"pretrained": "default"}, {"n_estimators": 300}
WITH_SPRINGS = {"structure": ["springs"], "context": True}
SENSED = {"structure": ["springs", "sensors"], "reference": ESTIMATE}
BOTH, ALL = ["Magpie", "springs"], ["Magpie", "springs", "sensors"]
WITH_NEQUIX = [*BOTH, "sensors of Nequix"]
AS_FORMED = {"structure": ["fractions", "sensors of Nequix"], "reference": FORMATION}
SENSORS_CORRECTED = "Magpie, springs and sensors of a potential, corrected"
LAYER_TREES = "ExtraTrees, Magpie, springs, layers, per area"
STACKED_TREES = "ExtraTrees, Magpie, springs, layers and stacking of Nequix, per area"
ON_DESCRIPTORS = "Gaussian process, CHGNet and SevenNet"
PER_AREA = {"reference": AREA, "max_features": 0.33, **TREES}


def needs(settings):
    """Packages that settings ask for."""
    columns = settings.get("structure") or settings.get("blocks") or ()
    packages = {"sensors": "matgl", "sensors of Nequix": "nequix", "stacking of Nequix": "nequix"}
    return tuple(packages[name] for name in packages if name in columns)


def graphs(more=None, tasks=None, **settings):
    """GraphTRIADS with settings of the task, these, and those of `more` that depend on it."""

    def parameters(task):
        return {**GRAPHS[task], **settings, **(more or {}).get(task, {})}

    return Model(graph_triads, parameters, needs(settings), tasks)


def streams(tasks=FOLDS, **settings):
    """TriForces with the epochs of the task and these settings."""
    return Model(
        triforces, lambda task: {"max_epochs": EPOCHS[task], **settings}, needs(settings), tasks
    )


def table(model, blocks, tasks=None, **settings):
    """A model of columns."""
    settings = {"model": model, "blocks": blocks, **settings}
    return Model(table_model, settings, needs(settings), tasks)


def estimated(model, blocks, reference=ESTIMATE, **settings):
    """A model of columns of phonons that corrects the estimate."""
    return table(model, blocks, PHONONS, reference=reference, **settings)


def mean_of(*models, tasks=PHONONS, **settings):
    """The mean of models of this suite."""
    found = {"potential": "matgl", "Nequix": "nequix", "CHGNet": "chgnet", "SevenNet": "sevenn"}
    packages = [package for word, package in found.items() if word in " ".join(models)]
    return Model(mean, {"models": list(models), **settings}, packages, tasks)


MODELS = {
    "default pipeline": Model(default_pipeline),
    "GraphTRIADS": graphs({"jdft2d": LAYERS}),
    "GraphTRIADS, without layers": graphs(tasks=("jdft2d",)),
    "GraphTRIADS, distances only": graphs(order=1, composition=None, network__physics=False),
    "GraphTRIADS, springs and predicted sensors": graphs(
        tasks=FOLDS, structure=["springs", "predicted sensors"]
    ),
    "GraphTRIADS, sensors of a potential, corrected": graphs(
        tasks=PHONONS, composition=["magpie"], **SENSED
    ),
    "GraphTRIADS, sensors of Nequix, corrected": graphs(
        {"perovskites": AS_FORMED}, ("perovskites",)
    ),
    "TriForces, sensors of Nequix, corrected": streams(
        ("perovskites",), **FROM_SENSORS, context=True, **AS_FORMED, max_epochs=40
    ),
    "TriForces, small": streams(**SMALL),
    "TriForces": streams(),
    "TriForces, with springs": streams(**WITH_SPRINGS),
    "TriForces, pre-trained on sensors": streams(**FROM_SENSORS),
    "TriForces, pre-trained on sensors, with springs": streams(**FROM_SENSORS, **WITH_SPRINGS),
    "TriForces, pre-trained on sensors, with springs, three members": streams(
        PHONONS, **FROM_SENSORS, **WITH_SPRINGS, n_members=3
    ),
    "TriForces, sensors of a potential, corrected": streams(
        PHONONS, **SMALL, context=True, **SENSED
    ),
    "mean of GraphTRIADS and TriForces, with springs": mean_of(
        "GraphTRIADS", "TriForces, with springs"
    ),
    "mean of GraphTRIADS and TriForces, with springs and predicted sensors": mean_of(
        "GraphTRIADS, springs and predicted sensors",
        "TriForces, pre-trained on sensors, with springs",
    ),
    "mean of GraphTRIADS and TriForces, sensors of Nequix, corrected": mean_of(
        "GraphTRIADS, sensors of Nequix, corrected",
        "TriForces, sensors of Nequix, corrected",
        tasks=("perovskites",),
    ),
    ON_DESCRIPTORS: Model(on_descriptors, {}, ("chgnet", "sevenn"), ("perovskites",)),
    # The weights were chosen on inner rows of the first fold.
    "mean of GraphTRIADS, TriForces and a Gaussian process, with three potentials": mean_of(
        "GraphTRIADS, sensors of Nequix, corrected",
        "TriForces, sensors of Nequix, corrected",
        ON_DESCRIPTORS,
        tasks=("perovskites",),
        weights=[2, 2, 1],
    ),
    "mean of GraphTRIADS and ExtraTrees, per area": mean_of(
        "GraphTRIADS", LAYER_TREES, tasks=("jdft2d",)
    ),
    "ExtraTrees, Magpie": table("ExtraTrees", ["Magpie"], **TREES),
    "RandomForest, Magpie": table("RandomForest", ["Magpie"], **TREES),
    "ExtraTrees, Magpie and predicted sensors": table(
        "ExtraTrees", ["Magpie", "predicted sensors"], FOLDS, **TREES
    ),
    LAYER_TREES: table("ExtraTrees", [*BOTH, "layers"], ("jdft2d",), **PER_AREA),
    STACKED_TREES: table(
        "ExtraTrees", [*BOTH, "layers", "stacking of Nequix"], ("jdft2d",), **PER_AREA
    ),
    "ExtraTrees, Magpie and springs, corrected": estimated("ExtraTrees", BOTH, n_estimators=100),
    "SVR, Magpie and springs, corrected": estimated("SVR", BOTH, C=3.0, epsilon=0.01),
    "ExtraTrees, sensors of a potential": table(
        "ExtraTrees", ["sensors"], FOLDS, n_estimators=100
    ),
    "ExtraTrees, Magpie and sensors of a potential": table(
        "ExtraTrees", ["Magpie", "sensors"], FOLDS, n_estimators=100
    ),
    f"ExtraTrees, {SENSORS_CORRECTED}": estimated("ExtraTrees", ALL, n_estimators=100),
    f"SVR, {SENSORS_CORRECTED}": estimated("SVR", ALL, C=3.0, epsilon=0.01),
    f"HybridTRIADS, {SENSORS_CORRECTED}": estimated("HybridTRIADS", ALL, n_members=4),
    "mean of ExtraTrees, SVR and HybridTRIADS with sensors of a potential": mean_of(
        *(f"{name}, {SENSORS_CORRECTED}" for name in ("ExtraTrees", "SVR", "HybridTRIADS"))
    ),
    "ExtraTrees, Magpie, springs and sensors of Nequix, corrected": estimated(
        "ExtraTrees", WITH_NEQUIX, PEAK, n_estimators=300, max_features=0.33
    ),
    "SVR, Magpie, springs and sensors of Nequix, corrected": estimated(
        "SVR", WITH_NEQUIX, PEAK, C=3.0, epsilon=0.01
    ),
    "mean of ExtraTrees and SVR with sensors of Nequix": mean_of(
        "ExtraTrees, Magpie, springs and sensors of Nequix, corrected",
        "SVR, Magpie, springs and sensors of Nequix, corrected",
    ),
    "ExtraTrees, Magpie, fractions and sensors of a potential, corrected": table(
        "ExtraTrees", ["Magpie", "fractions", "sensors"], ("perovskites",), n_estimators=100,
        reference=FORMATION,
    ),
}  # fmt: skip


def measure(task, split, fold, model):
    """Fit on the fold's training rows and score the others."""
    X, y, folds = load(task)
    return fit_and_score(MODELS[model].build(task), X, y, *folds[fold])


SUITE = Suite("structures", TASKS, MODELS, measure)

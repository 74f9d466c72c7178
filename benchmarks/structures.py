"""Official Matbench folds with structures: GraphTRIADS beside a plain network and forests.

    python benchmarks/structures.py phonons
    python benchmarks/structures.py phonons --models GraphTRIADS --folds 0 1
    python benchmarks/structures.py phonons --ablation --folds 0
    python benchmarks/structures.py phonons --validation --models GraphTRIADS
    python benchmarks/structures.py phonons --potential FOLDER --memory CACHE
    python benchmarks/structures.py perovskites --potential FOLDER --memory CACHE

In every fold all models see the same training rows; the plain network is GraphTRIADS without
angles, dihedrals, physics sensors and composition, of the same widths. The layers of jdft2d are
learned per area: the target over the area per atom. TriForces of its default shape is trained from
scratch and from the weights that come with trisk: self-supervised ones, which have seen these
structures, but no target, and those that learned a potential's sensors of other crystals; with
springs, its head also sees the columns of the spring model, alone and as the mean of three networks
(``--models`` names them). GraphTRIADS with predicted sensors sees what the latter predict, and the
mean of both networks is a row of its own. Results go to ``results/structures_<task>.json``; rows
are kept in ``unfinished/``, so that a run that was stopped goes on and folds may run side by side.
``--validation`` judges on training rows of the first fold instead, which is how models are chosen.
``--ablation`` adds one sensor after the other, with a single network per fold. ``--potential`` adds
rows with the weights that ``tensornet.py`` reads: GraphTRIADS with force constants of sites and
bonds in place of the empirical ones, and both networks with the potential's sensors of the whole
structure as context, which learn what its estimate is off, as in ``sensors.py``; CACHE keeps what
is measured. Needs the Matbench files: the variable ``MATMINER_DATA`` names their folder.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
from crystal_tasks import TASKS, load_task, official_name
from matbench import RESULTS, KeptRows, describe_machine
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

import trisk
from trisk.estimators import (
    DeltaRegressor,
    GraphTRIADSRegressor,
    TriForcesRegressor,
    TriForcesSensors,
)
from trisk.featurizers import (
    CrystalGraphFeaturizer,
    LayerFeaturizer,
    MagpieFeaturizer,
    SpringModelFeaturizer,
)

UNFINISHED = RESULTS.parent / "unfinished"
STREAMS = "TriForces"
LARGER = "TriForces, default shape"
SELF_SUPERVISED = f"{LARGER}, self-supervised"
OF_SENSORS = f"{LARGER}, pre-trained on sensors"
WITH_SPRINGS = "{}, with springs"
OF_THREE = "mean of three: {}"
TRISK, PLAIN = "GraphTRIADS", "distances only, same widths"
UNCORRECTED = "GraphTRIADS, without layers"
LAYER_TREES = "ExtraTrees, Magpie, springs, layers, per area"
PREDICTED = "ExtraTrees, Magpie and predicted sensors"
SENSORS_PREDICTED = f"{TRISK}, springs and predicted sensors"
#: Pairs of models whose mean is a row of its own, chosen as below; the phonons' second pair is the
#: one without anything that was learned before.
MEANS = {
    "phonons": [
        (SENSORS_PREDICTED, WITH_SPRINGS.format(OF_SENSORS)),
        (TRISK, WITH_SPRINGS.format(LARGER)),
    ],
    "jdft2d": [(TRISK, LAYER_TREES)],
}
FORCE_CONSTANTS = "GraphTRIADS, force constants of {}"
SENSED = "{}, sensors of {}, corrected"
AREA = "Layer area per atom (A2)"
#: Chosen on inner validation splits of the first fold's training rows (the perovskites' are not
#: tuned); few epochs and one member, so that a fold takes minutes on one core.
SETTINGS = {
    "phonons": {
        "order": 2,
        "link": "log",
        "n_members": 1,
        "max_epochs": 25,
        "random_state": 0,
    },
    "jdft2d": {"order": 2, "n_members": 1, "max_epochs": 25, "random_state": 0},
    "perovskites": {"order": 2, "n_members": 1, "max_epochs": 6, "random_state": 0},
}
#: Of TriForces; epochs of the phonons chosen as above.
STREAM_SETTINGS = {"cutoff": 5.0, "n_layers": 2, "random_state": 0}
STREAM_EPOCHS = {"phonons": 60, "jdft2d": 25, "perovskites": 6}
#: The shape that weights exist for.
DEFAULT_SHAPE = {"cutoff": 6.0, "n_layers": 3}


def layer_models(network):
    """Models of what holds layers together, per area; chosen by validation inside folds."""
    geometry = [SpringModelFeaturizer(), LayerFeaturizer()]
    graphs = CrystalGraphFeaturizer(
        order=network["order"], composition=("magpie",), structure=geometry
    )
    blocks = [("Magpie", MagpieFeaturizer()), *zip(("springs", "layers"), geometry, strict=True)]
    columns = FeatureUnion(blocks, verbose_feature_names_out=False).set_output(transform="pandas")
    trees = ExtraTreesRegressor(n_estimators=300, max_features=0.33, random_state=0)
    return {
        TRISK: make_pipeline(
            graphs, DeltaRegressor(GraphTRIADSRegressor(link="log", **network), reference=AREA)
        ),
        LAYER_TREES: make_pipeline(columns, DeltaRegressor(of_logarithm(trees), reference=AREA)),
        UNCORRECTED: make_pipeline(
            CrystalGraphFeaturizer(order=network["order"]), GraphTRIADSRegressor(**network)
        ),
    }


def streams(task, verbose, **settings):
    """TriForces from scratch, of logarithms where the target is a frequency."""
    settings = {**STREAM_SETTINGS, "max_epochs": STREAM_EPOCHS[task], **settings}
    network = TriForcesRegressor(verbose=verbose, **settings)
    return of_logarithm(network) if task == "phonons" else network


def of_logarithm(regressor):
    """A regressor of the logarithm of a positive target."""
    return TransformedTargetRegressor(regressor, func=np.log, inverse_func=np.exp)


def models(task, verbose):
    """Models by name; all take structures."""
    network = {**SETTINGS[task], "verbose": verbose}
    order = network["order"]
    forest = {"n_estimators": 300, "random_state": 0}
    plain = GraphTRIADSRegressor(**{**network, "order": 1, "physics": False})
    graphs = CrystalGraphFeaturizer(order=order)
    bare = CrystalGraphFeaturizer(order=1, composition=None)
    springs = clone(bare).set_params(structure=SpringModelFeaturizer())
    sensed_graphs = CrystalGraphFeaturizer(
        order=order, structure=[SpringModelFeaturizer(), TriForcesSensors()]
    )
    larger = partial(streams, task, verbose, **DEFAULT_SHAPE)
    own = {
        TRISK: make_pipeline(graphs, GraphTRIADSRegressor(**network)),
        SENSORS_PREDICTED: make_pipeline(sensed_graphs, GraphTRIADSRegressor(**network)),
        STREAMS: make_pipeline(bare, streams(task, verbose)),
        LARGER: make_pipeline(bare, larger()),
        SELF_SUPERVISED: make_pipeline(bare, larger(pretrained="default")),
        OF_SENSORS: make_pipeline(bare, larger(pretrained="sensors")),
        WITH_SPRINGS.format(LARGER): make_pipeline(springs, larger(context=True)),
        WITH_SPRINGS.format(OF_SENSORS): make_pipeline(
            springs, larger(context=True, pretrained="sensors")
        ),
        OF_THREE.format(WITH_SPRINGS.format(OF_SENSORS)): make_pipeline(
            springs, larger(context=True, pretrained="sensors", n_members=3)
        ),
    }
    return {
        **(layer_models(network) if task == "jdft2d" else own),
        PLAIN: make_pipeline(bare, plain),
        "ExtraTrees, Magpie": make_pipeline(MagpieFeaturizer(), ExtraTreesRegressor(**forest)),
        PREDICTED: make_pipeline(
            make_union(MagpieFeaturizer(), TriForcesSensors()), ExtraTreesRegressor(**forest)
        ),
        "RandomForest, Magpie": make_pipeline(MagpieFeaturizer(), RandomForestRegressor(**forest)),
    }


def sensed(task, folder, memory, verbose):
    """Networks with what a potential says of the structure, and of its bonds and sites."""
    from reference_energies import FORMATION, ReferenceEnergies
    from sensor_tables import ESTIMATE, POTENTIAL, load_potential, potential_sensors, with_estimate

    potential = potential_sensors(task, load_potential(folder), memory, dos=task == "phonons")
    network = {**SETTINGS[task], "verbose": verbose}
    order = network["order"]
    of_structures = [potential] if task == "perovskites" else [SpringModelFeaturizer(), potential]
    graphs = CrystalGraphFeaturizer(order=order, composition=("magpie",), structure=of_structures)
    if task == "perovskites":
        steps, reference, kind = [ReferenceEnergies()], FORMATION, "difference"
    else:
        steps, reference, kind = [FunctionTransformer(with_estimate)], ESTIMATE, "ratio"
    networks = {
        TRISK: GraphTRIADSRegressor(**network),
        STREAMS: streams(task, verbose, context=True),
    }
    rows = {
        SENSED.format(name, POTENTIAL): make_pipeline(
            graphs, *steps, DeltaRegressor(regressor, reference=reference, kind=kind)
        )
        for name, regressor in networks.items()
    }
    if task == "phonons":
        of_bonds = CrystalGraphFeaturizer(order=order, potential=potential)
        rows[FORCE_CONSTANTS.format(POTENTIAL)] = make_pipeline(
            of_bonds, GraphTRIADSRegressor(**network)
        )
    return rows


def ablation(task, verbose):
    """The same network with one kind of input more from line to line."""
    inputs = [
        (order, physics, composition)
        for composition in (None, ("magpie", "mat2vec"))
        for physics in (False, True)
        for order in (1, 2, 3)
        if composition or order == 1
    ]
    table = {}
    for order, physics, composition in inputs:
        added = ["physics"] * physics + ["composition"] * bool(composition)
        settings = {**SETTINGS[task], "order": order, "physics": physics, "verbose": verbose}
        table[", ".join([f"order {order}", *added])] = make_pipeline(
            CrystalGraphFeaturizer(order=order, composition=composition),
            GraphTRIADSRegressor(**settings),
        )
    return table


def run_fold(model, X, y, train, test):
    """Fit on a fold's training rows and predict its test rows."""
    featurizer, estimator = model[:-1], model[-1]
    target = y.iloc[train].to_numpy()
    started = time.perf_counter()
    features = featurizer.fit_transform(X.iloc[train], target)
    featurized = time.perf_counter()
    cpu = time.process_time()
    estimator.fit(features, target)
    fitted = time.perf_counter()
    cpu = time.process_time() - cpu
    features = featurizer.transform(X.iloc[test])
    predicted = estimator.predict(features)
    result = {
        "mae": float(np.abs(predicted - y.iloc[test]).mean()),
        "featurize_seconds": featurized - started,
        "fit_seconds": fitted - featurized,
        "fit_cpu_seconds": cpu,
        "prediction": np.round(predicted, 3).tolist(),
    }
    if isinstance(estimator, GraphTRIADSRegressor):
        result["staged_mae"] = [
            float(np.abs(p - y.iloc[test]).mean()) for p in estimator.staged_predict(features)
        ]
    if isinstance(estimator, DeltaRegressor):
        estimator = estimator.regressor_
    if isinstance(estimator, GraphTRIADSRegressor):
        epochs = len(estimator.net_.history)
        result["epochs"] = epochs
        result["structures_per_cpu_second"] = len(train) * epochs * estimator.n_members / cpu
        result["mean_cycles"] = float(np.nanmean(estimator.count_cycles(features)))
    return result


def add_means(task, results, y, folds):
    """The means of a task's pairs of models, as rows of their own, where both have run."""
    done = results["models"]
    for names in MEANS.get(task, ()):
        for number, (_, test) in enumerate(folds):
            parts = [done.get(name, {}).get(str(number)) for name in names]
            if not all(parts):
                continue
            predicted = np.mean([part["prediction"] for part in parts], axis=0)
            done.setdefault(f"mean of two: {'; '.join(names)}", {})[str(number)] = {
                "mae": float(np.abs(predicted - y.iloc[test]).mean()),
                "fit_cpu_seconds": sum(part["fit_cpu_seconds"] for part in parts),
                "prediction": np.round(predicted, 3).tolist(),
            }


def print_table(results):
    """One line per model: mean, fold standard deviation, folds."""
    print(f"\n{results['task']} ({results['n_samples']} structures), MAE, {results['unit']}")
    print(f"{'model':75s} {'mean':>8s} {'std':>7s}  {'folds':40s} {'fit s/fold':>10s}")
    rows = [
        (name, [f["mae"] for f in folds.values()], [f["fit_cpu_seconds"] for f in folds.values()])
        for name, folds in results["models"].items()
    ]
    for name, errors, seconds in rows:
        shown = " ".join(f"{e:.2f}" for e in errors)
        print(
            f"{name:75s} {np.mean(errors):8.2f} {np.std(errors):7.2f}  {shown:40s} "
            f"{np.mean(seconds):10.1f}"
        )


def write_parity(results, y, folds):
    """Parity plot of the best forest and GraphTRIADS over all test folds."""
    import matplotlib as mpl

    mpl.use("Agg")
    display = None
    for name in ("ExtraTrees, Magpie", TRISK):
        done = results["models"].get(name, {})
        if len(done) < len(folds):
            return
        rows = np.concatenate([test for _, test in folds])
        fold = np.concatenate([np.full(len(test), i) for i, (_, test) in enumerate(folds)])
        values = np.concatenate([done[str(i)]["prediction"] for i in range(len(folds))])
        display = trisk.ParityDisplay.from_predictions(
            y.iloc[rows], values, folds=fold, name=name, ax=display.ax_ if display else None
        )
    path = RESULTS / f"structures_{results['task'].removeprefix('matbench_')}.png"
    display.figure_.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})


def validation_splits(rows, n_draws=2, n_judged=250):
    """Rows to train on and rows to judge on, both of one fold's training rows."""
    for draw in range(n_draws):
        shuffled = np.random.default_rng(draw).permutation(rows)
        yield shuffled[n_judged:], shuffled[:n_judged]


def run_folds(stem, table, data, numbers, fresh):
    """Rows of all models by name and fold; what was computed before is taken from the disk."""
    X, y, folds = data
    rows = {name: {} for name in table}
    for number in numbers:
        kept = KeptRows(UNFINISHED / f"{stem}_fold_{number}.joblib", fresh)
        for name, model in table.items():
            compute = partial(run_fold, model, X, y, *folds[number])
            rows[name][str(number)] = row = kept.get(name, model, compute)
            print(f"{name}, fold {number}: {row['mae']:.2f}", flush=True)
    return rows


def merge(path, results, rows):
    """Rows put among those that the file holds, which other processes may have written."""
    if path.exists():
        results["models"] = json.loads(path.read_text())["models"]
    for name, folds in rows.items():
        merged = results["models"].get(name, {}) | folds
        results["models"][name] = dict(sorted(merged.items()))
    return results


def main():
    """Run the folds and models named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--models", nargs="+", help="names of models; default: all")
    parser.add_argument("--folds", nargs="+", type=int, help="their numbers; default: all")
    parser.add_argument("--ablation", action="store_true", help="sensors one by one")
    parser.add_argument("--validation", action="store_true", help="see no test row")
    parser.add_argument("--potential", type=Path, help="folder of the weights of a potential")
    parser.add_argument("--memory", type=Path, help="folder that keeps its force constants")
    parser.add_argument("--fresh", action="store_true", help="do not go on with an earlier run")
    parser.add_argument("--verbose", action="store_true", help="progress bars")
    arguments = parser.parse_args()
    X, y, folds = load_task(arguments.task)
    if arguments.validation:
        folds = list(validation_splits(folds[0][0]))
    verbose = int(arguments.verbose)
    if arguments.potential:
        table = sensed(arguments.task, arguments.potential, arguments.memory, verbose)
    else:
        table = (ablation if arguments.ablation else models)(arguments.task, verbose)
    table = {n: m for n, m in table.items() if not arguments.models or n in arguments.models}
    kind = [name for name in ("ablation", "validation") if getattr(arguments, name)]
    stem = "_".join(["structures", arguments.task, *kind])
    numbers = range(len(folds)) if arguments.folds is None else arguments.folds
    rows = run_folds(stem, table, (X, y, folds), numbers, arguments.fresh)
    results = {
        "task": official_name(arguments.task),
        "n_samples": len(y),
        "unit": y.attrs.get("unit"),
        "machine": describe_machine(),
        "settings": {
            TRISK: SETTINGS[arguments.task],
            STREAMS: STREAM_SETTINGS | {"max_epochs": STREAM_EPOCHS[arguments.task]},
        },
        "models": {},
    }
    path = RESULTS / f"{stem}.json"
    results = merge(path, results, rows)
    add_means(arguments.task, results, y, folds)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print_table(results)
    if not kind:
        write_parity(results, y, folds)


if __name__ == "__main__":
    main()

"""Sensors of a universal potential on official Matbench folds, beside composition alone.

    python benchmarks/sensors.py phonons --potential FOLDER --memory CACHE
    python benchmarks/sensors.py phonons --potential FOLDER --memory CACHE --inner
    python benchmarks/sensors.py perovskites --potential FOLDER --memory CACHE
    python benchmarks/sensors.py cost --potential FOLDER

FOLDER holds the weights that ``tensornet.py`` reads (TensorNet, trained on MatPES PBE energies,
forces and stresses). The first call measures every structure with
:class:`trisk.PotentialFeaturizer` and keeps the measurements in CACHE. All models see the same
training rows. Rows that use a potential stand apart: its training set holds DFT data that a model
trained on the fold alone has not seen. ``--inner`` compares recipes by validation inside the
training folds, which is how those of the table were chosen; ``cost`` times the sensors;
``--without-networks`` leaves out the rows that take minutes, and ``--dos`` adds the phonon density
of states to the sensors. The perovskites are measured without vibrations, and corrected are their
formation energies: the potential's energy minus energies of the elements that are fitted to the
training rows. Rows are kept in ``unfinished/``, and a run that was stopped goes on. Needs the
Matbench files: ``MATMINER_DATA`` names their folder.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
from crystal_tasks import TASKS, load_task, official_name
from matbench import RESULTS, KeptRows, describe_machine
from reference_energies import FORMATION, ReferenceEnergies
from sensor_tables import (
    ESTIMATE,
    POTENTIAL,
    SENSORS,
    SETTINGS,
    STATIC,
    TRAINED_ON,
    load_potential,
    tables,
)
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

import trisk
from trisk import DeltaRegressor, HybridTRIADSRegressor, PotentialFeaturizer
from trisk.model_selection import fit_folds


def corrected(model):
    """A model of the logarithm of the target over the estimate."""
    ratio = TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)
    return DeltaRegressor(ratio, reference=ESTIMATE)


def referenced(model):
    """A model of what the potential's formation energy is off."""
    difference = DeltaRegressor(model, reference=FORMATION, kind="difference")
    return make_pipeline(ReferenceEnergies(), difference)


def extra_trees():
    """Untuned trees."""
    return ExtraTreesRegressor(n_estimators=100, random_state=0, n_jobs=-1)


def hybrid_triads():
    """trisk's network, a small ensemble."""
    return HybridTRIADSRegressor(n_members=4, random_state=0)


def _soft_clip(values):
    return values / np.sqrt(1 + (values / 3) ** 2)


def support_vectors(C=3.0, width=1.0, scale=1.0):
    """Support vectors on standardised columns and their logarithms."""
    steps = [
        ("logarithms", FunctionTransformer(_with_logarithms)),
        ("standardise", StandardScaler()),
        ("clip", FunctionTransformer(_soft_clip)),
        ("svr", ScaledSVR(C=C, width=width, scale=scale)),
    ]
    return Pipeline(steps)


class ScaledSVR(RegressorMixin, BaseEstimator):
    """SVR that knows the scale of the target and the number of columns.

    ``width`` is the kernel's γ times the number of columns.
    """

    def __init__(self, C=3.0, width=1.0, scale=1.0):
        self.C = C
        self.width = width
        self.scale = scale

    def fit(self, X, y):
        """Fit the support vectors."""
        gamma = self.width / X.shape[1]
        self.svr_ = SVR(C=self.C * self.scale, gamma=gamma, epsilon=0.01 * self.scale).fit(X, y)
        return self

    def predict(self, X):
        """Predict the target."""
        return self.svr_.predict(X)


def _with_logarithms(frame):
    values = np.asarray(frame, dtype=float)
    return np.hstack([values, np.sign(values) * np.log1p(np.abs(values))])


def recipes(task, networks):
    """The rows of the table, chosen by ``--inner``: columns and model by name."""
    everything = "Magpie, springs, sensors"
    rows = {}
    for columns in ("Magpie", "sensors", "Magpie, sensors"):
        rows[f"ExtraTrees: {columns}"] = columns, extra_trees()
        if networks:
            rows[f"HybridTRIADS: {columns}"] = columns, hybrid_triads()
    if task == "perovskites":
        columns = "Magpie, fractions, sensors"
        rows["potential alone: sensors, corrected"] = columns, referenced(DummyRegressor())
        rows[f"ExtraTrees: {columns}, corrected"] = columns, referenced(extra_trees())
        if networks:
            rows[f"HybridTRIADS: {columns}, corrected"] = columns, referenced(hybrid_triads())
        return rows
    finish, ending = (corrected, ", corrected") if task == "phonons" else (clone, "")
    for columns in ("Magpie, springs", everything):
        vectors = support_vectors(scale=1 if task == "phonons" else 100)
        rows[f"ExtraTrees: {columns}{ending}"] = columns, finish(extra_trees())
        rows[f"SVR: {columns}{ending}"] = columns, finish(vectors)
    if networks:
        rows[f"HybridTRIADS: {everything}{ending}"] = everything, finish(hybrid_triads())
    return rows


def cross_predict(model, X, y, folds):
    """Predictions of every fold's held-out rows."""
    if isinstance(model, HybridTRIADSRegressor):
        fitted, _ = fit_folds(model, X, y, cv=folds)
    else:
        fitted = [clone(model).fit(X.iloc[a], y.iloc[a]) for a, _ in folds]
    return [m.predict(X.iloc[held_out]) for m, (_, held_out) in zip(fitted, folds, strict=True)]


def scores_of(predictions, y, folds):
    """Mean absolute error of every fold."""
    return [
        float(np.abs(y.iloc[held_out] - p).mean())
        for p, (_, held_out) in zip(predictions, folds, strict=True)
    ]


def mean_of(names, predictions):
    """Mean of some rows, fold by fold."""
    return [np.mean(parts, axis=0) for parts in zip(*(predictions[n] for n in names), strict=True)]


def timed(function, *args):
    """What a function returns, and its seconds."""
    started = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - started


def run_task(task, potential, memory, *, dos, networks, fresh=False):
    """Fit all rows of the table on the official folds and write what came out."""
    X, y, folds = load_task(task)
    frames, seconds = tables(task, X, potential, memory, dos)
    stem = f"sensors_{task}{'_dos' if dos else ''}"
    kept = KeptRows(RESULTS.parent / "unfinished" / f"{stem}.joblib", fresh)
    predictions, scores = {}, {}
    for name, (columns, model) in recipes(task, networks).items():
        run = partial(timed, cross_predict, model, frames[columns], y, folds)
        predictions[name], seconds[name] = kept.get(name, model, run)
        scores[name] = scores_of(predictions[name], y, folds)
        print(f"{name:55s} {np.mean(scores[name]):8.2f}", flush=True)
    everything = f"Magpie, {'fractions' if task == 'perovskites' else 'springs'}, sensors"
    best = name
    for columns in ("Magpie, springs", everything):
        names = [name for name in predictions if name.partition(": ")[2].startswith(columns)]
        names = [n for n in names if ("sensors" in n) == ("sensors" in columns)]
        if len(names) < 2:
            continue
        models = " and ".join(name.partition(": ")[0] for name in names)
        best = f"mean of {models}: {names[0].partition(': ')[2]}"
        predictions[best] = mean_of(names, predictions)
        scores[best] = scores_of(predictions[best], y, folds)
    results = {
        "task": official_name(task),
        "n_samples": len(y),
        "unit": y.attrs["unit"],
        "potential": {
            "name": POTENTIAL,
            "trained_on": TRAINED_ON,
            "dos": dos,
            "sensors": SENSORS[task],
            **SETTINGS,
        },
        "machine": describe_machine(),
        "mae": scores,
        "seconds": seconds,
    }
    print_table(results)
    (RESULTS / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    write_parity(RESULTS / f"{stem}.png", y, folds, predictions, best)


def print_table(results):
    """Rows without a potential, then rows with it."""
    print(
        f"\n{results['task']} ({results['n_samples']} rows), mean absolute error, {results['unit']}"
    )
    for with_potential in (False, True):
        title = f"with sensors of {POTENTIAL}, trained on {TRAINED_ON}"
        print(f"\n  {title if with_potential else 'without a potential'}")
        rows = {n: v for n, v in results["mae"].items() if ("sensors" in n) == with_potential}
        for name, values in sorted(rows.items(), key=lambda item: np.mean(item[1])):
            folds = " ".join(f"{v:.2f}" for v in values)
            print(f"  {np.mean(values):7.2f} ± {np.std(values):5.2f}  {folds}  {name}")


def write_parity(path, y, folds, predictions, best):
    """Parity plot of composition alone and of the best row that uses sensors."""
    import matplotlib as mpl

    mpl.use("Agg")
    display = None
    rows = np.concatenate([held_out for _, held_out in folds])
    fold = np.repeat(np.arange(len(folds)), [len(held_out) for _, held_out in folds])
    names = {"ExtraTrees: Magpie": "composition", best: "with sensors"}
    for row, name in names.items():
        display = trisk.ParityDisplay.from_predictions(
            y.iloc[rows],
            np.concatenate(predictions[row]),
            folds=fold,
            name=name,
            ax=display.ax_ if display else None,
        )
    display.figure_.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})


def candidates(task, networks):
    """Columns and models that ``--inner`` compares."""
    if task == "perovskites":
        return recipes(task, networks)
    found = {}
    for columns in ("Magpie, sensors", "Magpie, springs", "Magpie, springs, sensors"):
        models = {"ExtraTrees": (extra_trees(), 1)}
        for C, width in ((1, 1), (3, 0.5), (3, 1), (3, 2), (10, 0.5)):
            models[f"SVR C={C} width={width}"] = (support_vectors(C, width), 100)
        if networks:
            models["HybridTRIADS"] = (hybrid_triads(), 1)
        for name, (model, scale) in models.items():
            if task == "phonons" and "springs" in columns:
                found[f"{name}: {columns}, corrected"] = columns, corrected(clone(model))
            if scale != 1:
                model.set_params(svr__scale=scale)
            found[f"{name}: {columns}"] = columns, model
    return found


def validate(task, potential, memory, *, dos, networks):
    """Compare candidates by validation inside the official training folds."""
    X, y, official = load_task(task)
    frames, _ = tables(task, X, potential, memory, dos)
    folds = []
    for train, _ in official:
        inner, held_out = next(KFold(5, shuffle=True, random_state=0).split(train))
        folds.append((train[inner], train[held_out]))
    scores = {}
    for name, (columns, model) in candidates(task, networks).items():
        scores[name] = scores_of(cross_predict(model, frames[columns], y, folds), y, folds)
        print(f"{name:60s} {np.mean(scores[name]):8.2f} ± {np.std(scores[name]):.2f}", flush=True)
    report = {"task": f"matbench_{task}", "machine": describe_machine(), "validation_mae": scores}
    path = RESULTS / f"inner_sensors_{task}{'_dos' if dos else ''}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


def measure_cost(potential, n_structures=40):
    """Seconds per structure against its atoms, by what is measured."""
    X, _ = trisk.load_matbench("phonons")
    sizes = X.map(len)
    PotentialFeaturizer(potential, sensors=STATIC).fit_transform(X[:2])  # compile first
    groups = {
        "energy, stress, forces": STATIC,
        "+ gamma, einstein": SENSORS["phonons"],
        "+ elasticity": [*SENSORS["phonons"], "elasticity"],
        "+ phonon_dos": [*SENSORS["phonons"], "phonon_dos"],
    }
    rows = []
    for low, high in ((2, 3), (4, 6), (7, 9), (10, 14), (15, 48)):
        within = X[(sizes >= low) & (sizes <= high)]
        some = within.sample(min(n_structures // 5, len(within)), random_state=0)
        row = {"atoms": f"{low}-{high}", "structures": len(some)}
        for name, sensors in groups.items():
            featurizer = PotentialFeaturizer(potential, sensors=sensors, **SETTINGS)
            started = time.perf_counter()
            featurizer.fit_transform(some)
            row[name] = (time.perf_counter() - started) / len(some)
        rows.append(row)
        print(
            ", ".join(
                f"{k}: {v:.3g}" if isinstance(v, float) else f"{k}: {v}" for k, v in row.items()
            ),
            flush=True,
        )
    report = {"machine": describe_machine(), "seconds_per_structure": rows}
    (RESULTS / "sensors_cost.json").write_text(json.dumps(report, indent=1) + "\n")


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=[*TASKS, "cost"])
    parser.add_argument("--potential", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--memory", type=Path, help="folder that keeps the measurements")
    parser.add_argument("--inner", action="store_true", help="compare recipes inside folds")
    parser.add_argument("--dos", action="store_true", help="phonon density of states too")
    parser.add_argument("--fresh", action="store_true", help="do not go on with an earlier run")
    parser.add_argument("--without-networks", action="store_true", help="forests and SVR alone")
    arguments = parser.parse_args()
    potential = load_potential(arguments.potential)
    if arguments.what == "cost":
        measure_cost(potential)
        return
    settings = {"dos": arguments.dos, "networks": not arguments.without_networks}
    if arguments.inner:
        validate(arguments.what, potential, arguments.memory, **settings)
    else:
        run_task(arguments.what, potential, arguments.memory, fresh=arguments.fresh, **settings)


if __name__ == "__main__":
    main()

"""Sensors of a universal potential on official Matbench folds, beside composition alone.

    python benchmarks/sensors.py phonons --potential FOLDER --memory CACHE
    python benchmarks/sensors.py phonons --potential FOLDER --memory CACHE --inner
    python benchmarks/sensors.py cost --potential FOLDER

FOLDER holds the weights that ``tensornet.py`` reads (TensorNet, trained on MatPES PBE energies,
forces and stresses). The first call measures every structure with
:class:`trisk.PotentialFeaturizer` and keeps the measurements in CACHE. All models see the same
training rows. Rows that use a potential stand apart: its training set holds DFT data that a model
trained on the fold alone has not seen. ``--inner`` compares recipes by validation inside the
training folds, which is how those of the table were chosen; ``cost`` times the sensors. Needs the
Matbench files: ``MATMINER_DATA`` names their folder.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matbench import RESULTS, describe_machine
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

import trisk
from trisk import HybridTRIADSRegressor, MagpieFeaturizer, PotentialFeaturizer
from trisk.featurizers import verify_potential
from trisk.model_selection import fit_folds

POTENTIAL = "TensorNet-MatPES-PBE-v2025.1"
TRAINED_ON = "MatPES PBE (energies, forces, stresses)"
STATIC = ["energy", "stress", "forces"]
VIBRATIONS = ["gamma", "einstein"]
SENSORS = {
    "phonons": [*STATIC, *VIBRATIONS, "phonon_dos"],
    "jdft2d": [*STATIC, *VIBRATIONS],
}
SETTINGS = {"supercell_length": 7.0, "mesh_length": 30.0, "batch_atoms": 128}
ESTIMATE = "Potential DOS maximum (1/cm)"
SOFTEST = 20  # cm⁻¹; keeps quotients from running away where the potential finds no restoring force


@dataclass(frozen=True)
class Recipe:
    """Columns, what is learned, and the model.

    ``target`` is "direct", or "minus" or "over": the target less, or divided by, the potential's
    own estimate.
    """

    columns: str
    model: object
    target: str = "direct"


def load_potential(folder):
    """The potential, once two known energies show that its weights are read rightly."""
    from ase.build import bulk
    from tensornet import TensorNet

    potential = TensorNet(folder)
    references = [("NaCl", 5.64, -3.356), ("MgO", 4.21, -5.864)]
    verify_potential(potential, [(bulk(f, "rocksalt", a=a), e) for f, a, e in references])
    return potential


def tables(X, task, potential, memory):
    """Feature tables by name, and the seconds that each took."""
    featurizer = PotentialFeaturizer(
        potential,
        sensors=SENSORS[task],
        memory=memory,
        potential_name=POTENTIAL,
        on_error="nan",
        verbose=1,
        **SETTINGS,
    )
    started = time.perf_counter()
    sensors = featurizer.fit_transform(X)
    seconds = {"sensors": time.perf_counter() - started}
    if len(featurizer.errors_):
        print(featurizer.errors_.to_string())
    started = time.perf_counter()
    magpie = MagpieFeaturizer().fit_transform(X)
    seconds["Magpie"] = time.perf_counter() - started
    sensors = with_quotients(sensors)
    found = {"Magpie": magpie, "sensors": sensors, "Magpie and sensors": sensors.join(magpie)}
    return found, seconds


def with_quotients(sensors):
    """The sensors, and frequencies in units of the potential's own estimate."""
    if ESTIMATE not in sensors:
        return sensors
    frequencies = [name for name in sensors if name.endswith("(1/cm)") and name != ESTIMATE]
    quotients = sensors[frequencies].div(sensors[ESTIMATE].clip(lower=SOFTEST), axis=0)
    return sensors.join(quotients.add_suffix(" over DOS maximum"))


def extra_trees():
    """Untuned trees."""
    return ExtraTreesRegressor(n_estimators=300, random_state=0, n_jobs=-1)


def hybrid_triads(**settings):
    """trisk's network."""
    return HybridTRIADSRegressor(**{"random_state": 0, **settings})


def _soft_clip(values):
    return values / np.sqrt(1 + (values / 3) ** 2)


def support_vectors(C=10.0, gamma=0.005):
    """Support vectors on standardised columns; frequencies enter with their logarithms too."""
    return make_pipeline(
        FunctionTransformer(_with_logarithms),
        StandardScaler(),
        FunctionTransformer(_soft_clip),
        SVR(C=100 * C, gamma=gamma, epsilon=1.0),
    )


def _with_logarithms(frame):
    values = np.asarray(frame, dtype=float)
    return np.hstack([values, np.sign(values) * np.log1p(np.abs(values))])


def recipes(task):
    """The rows of the table, chosen by ``--inner``."""
    both = "Magpie and sensors"
    rows = {
        "ExtraTrees, Magpie": Recipe("Magpie", extra_trees()),
        "HybridTRIADS, Magpie": Recipe("Magpie", hybrid_triads()),
        "ExtraTrees, sensors": Recipe("sensors", extra_trees()),
        "HybridTRIADS, sensors": Recipe("sensors", hybrid_triads()),
        "ExtraTrees, Magpie and sensors": Recipe(both, extra_trees()),
        "HybridTRIADS, Magpie and sensors": Recipe(both, hybrid_triads()),
    }
    if task == "phonons":
        rows |= {
            "ExtraTrees, Magpie and sensors, correction": Recipe(both, extra_trees(), "minus"),
            "HybridTRIADS, Magpie and sensors, correction": Recipe(both, hybrid_triads(), "minus"),
            "SVR, Magpie and sensors, correction": Recipe(both, support_vectors(), "minus"),
        }
    return rows


#: Mean of these rows, as a row of its own.
BLENDS = {
    "phonons": [
        "ExtraTrees, Magpie and sensors, correction",
        "HybridTRIADS, Magpie and sensors, correction",
        "SVR, Magpie and sensors, correction",
    ],
    "jdft2d": ["ExtraTrees, Magpie and sensors", "HybridTRIADS, Magpie and sensors"],
}


def cross_predict(recipe, frames, y, folds):
    """Predictions of every fold's held-out rows."""
    X, target = frames[recipe.columns], y.to_numpy()
    estimate = np.ones(len(y))
    if recipe.target != "direct":
        estimate = frames["sensors"][ESTIMATE].clip(lower=SOFTEST).to_numpy()
    learned = {
        "direct": target,
        "minus": target - estimate,
        "over": np.log(target / estimate),
    }[recipe.target]
    if isinstance(recipe.model, HybridTRIADSRegressor):
        fitted, _ = fit_folds(recipe.model, X, learned, cv=folds)
    else:
        fitted = [clone(recipe.model).fit(X.iloc[a], learned[a]) for a, _ in folds]
    predictions = []
    for model, (_, held_out) in zip(fitted, folds, strict=True):
        values = model.predict(X.iloc[held_out])
        if recipe.target == "minus":
            values = values + estimate[held_out]
        elif recipe.target == "over":
            values = np.exp(values) * estimate[held_out]
        predictions.append(values)
    return predictions


def scores_of(predictions, y, folds):
    """Mean absolute error of every fold."""
    return [
        float(np.abs(y.iloc[held_out] - p).mean())
        for p, (_, held_out) in zip(predictions, folds, strict=True)
    ]


def run_task(task, potential, memory):
    """Fit all rows of the table on the official folds and write what came out."""
    X, y = trisk.load_matbench(task)
    frames, seconds = tables(X, task, potential, memory)
    folds = list(trisk.matbench_folds(task).split(X, y))
    predictions, scores = {}, {}
    for name, recipe in recipes(task).items():
        started = time.perf_counter()
        predictions[name] = cross_predict(recipe, frames, y, folds)
        seconds[name] = time.perf_counter() - started
        scores[name] = scores_of(predictions[name], y, folds)
        print(f"{name:50s} {np.mean(scores[name]):8.2f}", flush=True)
    blend = "mean of " + "; ".join(BLENDS[task])
    predictions[blend] = [
        np.mean(parts, axis=0)
        for parts in zip(*(predictions[name] for name in BLENDS[task]), strict=True)
    ]
    scores[blend] = scores_of(predictions[blend], y, folds)
    results = {
        "task": f"matbench_{task}",
        "n_samples": len(y),
        "unit": y.attrs["unit"],
        "potential": {"name": POTENTIAL, "trained_on": TRAINED_ON, **SETTINGS},
        "machine": describe_machine(),
        "mae": scores,
        "seconds": seconds,
    }
    print_table(results)
    (RESULTS / f"sensors_{task}.json").write_text(json.dumps(results, indent=1) + "\n")
    write_parity(task, y, folds, predictions, blend)


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


def write_parity(task, y, folds, predictions, best):
    """Parity plot of composition alone and of the best row that uses sensors."""
    import matplotlib as mpl

    mpl.use("Agg")
    display = None
    rows = np.concatenate([held_out for _, held_out in folds])
    fold = np.repeat(np.arange(len(folds)), [len(held_out) for _, held_out in folds])
    names = {"ExtraTrees, Magpie": "without a potential", best: "with its sensors"}
    for row, name in names.items():
        display = trisk.ParityDisplay.from_predictions(
            y.iloc[rows],
            np.concatenate(predictions[row]),
            folds=fold,
            name=name,
            ax=display.ax_ if display else None,
        )
    path = RESULTS / f"sensors_{task}.png"
    display.figure_.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})


def candidates():
    """Recipes that ``--inner`` compares."""
    both = "Magpie and sensors"
    found = {}
    for target in ("direct", "minus", "over"):
        found[f"ExtraTrees, {target}"] = Recipe(both, extra_trees(), target)
        found[f"HybridTRIADS, {target}"] = Recipe(both, hybrid_triads(n_members=4), target)
    for C in (3.0, 10.0):
        for gamma in (0.002, 0.005, 0.015):
            model = support_vectors(C, gamma)
            found[f"SVR C={C:g} gamma={gamma:g}, minus"] = Recipe(both, model, "minus")
    return found


def validate(task, potential, memory):
    """Compare candidates by validation inside the official training folds."""
    X, y = trisk.load_matbench(task)
    frames, _ = tables(X, task, potential, memory)
    folds = []
    for train, _ in trisk.matbench_folds(task).split(X, y):
        inner, held_out = next(KFold(5, shuffle=True, random_state=0).split(train))
        folds.append((train[inner], train[held_out]))
    scores = {}
    for name, recipe in candidates().items():
        scores[name] = scores_of(cross_predict(recipe, frames, y, folds), y, folds)
        print(f"{name:50s} {np.mean(scores[name]):8.2f} ± {np.std(scores[name]):.2f}", flush=True)
    report = {"task": f"matbench_{task}", "machine": describe_machine(), "validation_mae": scores}
    path = RESULTS / f"inner_sensors_{task}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


def measure_cost(potential, n_structures=40):
    """Seconds per structure against its atoms, by what is measured."""
    X, _ = trisk.load_matbench("phonons")
    sizes = X.map(len)
    PotentialFeaturizer(potential, sensors=STATIC).fit_transform(X[:2])  # compile first
    groups = {
        "energy, stress, forces": STATIC,
        "+ gamma, einstein": [*STATIC, *VIBRATIONS],
        "+ elasticity": [*STATIC, *VIBRATIONS, "elasticity"],
        "+ phonon_dos": [*STATIC, *VIBRATIONS, "phonon_dos"],
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
    parser.add_argument("what", choices=[*SENSORS, "cost"])
    parser.add_argument("--potential", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--memory", type=Path, help="folder that keeps the measurements")
    parser.add_argument("--inner", action="store_true", help="compare recipes inside folds")
    arguments = parser.parse_args()
    potential = load_potential(arguments.potential)
    if arguments.what == "cost":
        measure_cost(potential)
    elif arguments.inner:
        validate(arguments.what, potential, arguments.memory)
    else:
        run_task(arguments.what, potential, arguments.memory)


if __name__ == "__main__":
    main()

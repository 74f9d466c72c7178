"""``trisk bench``: a preset on the official folds of a Matbench task, beside a forest."""

from pathlib import Path

import numpy as np

from trisk.cli import _files
from trisk.cli._files import CommandError
from trisk.cli._fit import check_device, make_pipeline, print_scores


def run(options):
    """Score the preset, print the result and write what was asked for."""
    if options.record and not options.record.endswith(".json.gz"):
        raise CommandError(f"--record {options.record!r} must end in .json.gz.")
    _files.check_writable(options.record)
    X, y, preset = _load(options)
    classification = y.dtype == bool
    check_device(options.device)
    results = _validate(make_pipeline(options, preset, classification), X, y, options)
    print(f"{options.task}, {len(y)} rows, preset {preset!r}")
    names = ["roc_auc", "balanced_accuracy"] if classification else ["mae", "rmse", "r2"]
    unit = y.attrs.get("unit")
    _print("HybridTRIADS", results, names, unit)
    if not options.no_forest:
        _print("ExtraTrees, Magpie", _validate(_forest(classification), X, y, options), names, unit)
    if options.out:
        results.save(options.out)
        print(f"{options.out}: folds, predictions and plots")
    if options.record:
        _record(options, results, classification)


def _load(options):
    from trisk.datasets import load_matbench
    from trisk.pipelines import MATBENCH_PRESETS

    task = options.task.removeprefix("matbench_")
    try:
        X, y = load_matbench(task)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if X.name == "structure":
        X = X.map(lambda structure: structure.composition.formula).rename("composition")
    return X, y, options.preset or MATBENCH_PRESETS.get(task, "general")


def _forest(classification):
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.pipeline import make_pipeline

    from trisk.featurizers import MagpieFeaturizer

    trees = ExtraTreesClassifier if classification else ExtraTreesRegressor
    forest = trees(n_estimators=300, random_state=0, n_jobs=-1)
    return make_pipeline(MagpieFeaturizer(missing="mean"), forest)


def _validate(model, X, y, options):
    from trisk.model_selection import nested_cross_validate

    return nested_cross_validate(model, X, y, verbose=int(not options.quiet))


def _print(name, results, names, unit):
    scores = {n: results.folds[n].tolist() for n in names}
    print_scores(scores, unit, f"{name}, five official folds")
    print(f"  {'seconds a fold':18s} {results.folds['fit_seconds'].mean():.1f}")


def _record(options, results, classification):
    from trisk.model_selection import write_matbench_file

    column = "probability True" if classification else "y_pred"
    folds = [np.asarray(rows[column]) for _, rows in results.predictions.groupby("fold")]
    try:
        write_matbench_file({options.task: folds}, Path(options.record))
    except ImportError as error:
        raise CommandError(str(error)) from error
    print(f"{options.record}: accepted by the matbench package")

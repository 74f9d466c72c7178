"""``trisk fit``: from a table to a validated model in a folder."""

import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from trisk.cli import _files
from trisk.cli._files import CommandError

#: Scores in the order in which they are told.
SCORES = ("mae", "rmse", "r2", "roc_auc", "balanced_accuracy", "log_loss")
_PACKAGES = ("trisk", "torch", "scikit-learn", "numpy")


def run(options):
    """Validate, tune and fit, as the options ask for, and write the folder."""
    folder = Path(options.out)
    if _files.holds_model(folder) and not options.overwrite:
        raise CommandError(
            f"{options.out!r} holds a model already. Pass --overwrite to replace it."
        )
    X, y, classification = _read(options)
    check_device(options.device)
    estimator = make_pipeline(options, options.preset, classification, quiet=bool(options.trials))
    started = datetime.now(UTC)
    with _files.replacing(folder, resumable=bool(options.trials)) as work:
        scores = _validate(options, estimator, X, y, work)
        model = _fit(options, estimator, X, y, work)
        facts = {
            "formula": options.formula,
            "target": options.target,
            "unit": options.unit,
            "classification": classification,
            "classes": np.asarray(model.classes_).tolist() if classification else None,
            "preset": options.preset,
            "table": Path(options.table).name,
            "n_rows": len(y),
            "validation": _describe_validation(options),
            "scores": scores,
            "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
            "made": f"{started:%Y-%m-%d %H:%M} UTC",
            "versions": {name: version(name) for name in _PACKAGES},
            "parameters": _parameters(model["model"]),
        }
        _files.write_model(work, model, facts)
    print(f"{folder / 'model.trisk'}: fitted on {len(y)} rows")


def _read(options):
    """Formulas and targets of usable rows, and whether the targets are classes."""
    table = _files.read_table(options.table)
    formulas = _files.column(table, options.formula, options.table)
    target = _files.column(table, options.target, options.table)
    target, classification = _files.read_target(target, classification=options.classification)
    problems = _files.target_problems(target, classification)
    problems |= _files.formula_problems(formulas)
    _files.handle_problems(problems, len(table), skip=options.skip_bad_rows)
    kept = [row for row in range(len(table)) if row not in problems]
    X, y = formulas.iloc[kept], target.iloc[kept]
    y = y.infer_objects() if classification else y.astype(float)
    y.attrs = {"quantity": options.target, "unit": options.unit}
    if y.nunique() < 2:
        raise CommandError(f"All rows have the same {options.target!r}: {y.iloc[0]}.")
    return X, y, classification


def make_pipeline(options, preset, classification, *, quiet=False):
    """The preset's pipeline, with what the command line gives."""
    from trisk.featurizers.composition.presets import PRESETS
    from trisk.pipelines import composition_pipeline

    if preset not in PRESETS:
        raise CommandError(f"There is no preset {preset!r}; there are {sorted(PRESETS)}.")
    given = {"n_members": options.members, "max_epochs": options.epochs}
    return composition_pipeline(
        preset,
        classification=classification,
        random_state=options.seed,
        device=options.device,
        verbose=int(not options.quiet and not quiet),
        **{name: value for name, value in given.items() if value is not None},
    )


def check_device(name):
    """Raise where torch cannot put a number on a device."""
    import torch

    try:
        if name != "auto":
            torch.zeros(1, device=name).item()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CommandError(f"--device {name!r} cannot be used: {reason}") from error


def _outer(options, n_rows):
    """Folds of the validation."""
    from trisk.model_selection import leave_cluster_out

    if options.leave_out == "element":
        return leave_cluster_out("element", min_test_size=max(2, n_rows // 50))
    if options.leave_out:
        return leave_cluster_out(options.leave_out, n_splits=5, random_state=options.seed)
    return options.cv


def _describe_validation(options):
    if options.leave_out:
        return f"test rows of another {options.leave_out.replace('_', ' ')} than training rows"
    return f"{options.cv} shuffled folds" if options.cv else None


def _validate(options, estimator, X, y, folder):
    """Cross-validate if asked to; print and write the scores."""
    if not (options.cv or options.leave_out):
        return None
    from trisk.model_selection import nested_cross_validate

    search = {"n_trials": options.trials, **_study(options, folder)} if options.trials else None
    settings = {"outer": _outer(options, len(y)), "search": search}
    try:
        results = nested_cross_validate(estimator, X, y, verbose=int(not options.quiet), **settings)
    except ValueError as error:
        raise CommandError(f"Validation is not possible: {error}") from error
    results.predictions.insert(0, "formula", X.loc[results.predictions.index])
    results.save(folder)
    scores = {c: results.folds[c].tolist() for c in SCORES if c in results.folds}
    print_scores(scores, options.unit, _describe_validation(options))
    return scores


def print_scores(scores, unit, folds):
    """Print mean and standard deviation over folds."""
    print(f"{folds}, mean ± standard deviation:")
    for name, values in scores.items():
        of_unit = f" {unit}" if unit and name in ("mae", "rmse") else ""
        print(f"  {name:18s} {np.mean(values):.4g} ± {np.std(values):.2g}{of_unit}")


def _study(options, folder):
    """A search that the same command resumes after an interruption."""
    return {"storage": str(folder / "study.db"), "random_state": options.seed}


def _fit(options, estimator, X, y, folder):
    if not options.trials:
        return estimator.fit(X, y)
    from sklearn.base import is_classifier

    from trisk.model_selection import optuna_search

    settings = {
        "n_trials": options.trials,
        "scoring": "roc_auc_ovr" if is_classifier(estimator) else "neg_mean_absolute_error",
        "study_name": "all rows",
        "verbose": int(not options.quiet),
        **_study(options, folder),
    }
    try:
        search = optuna_search(estimator, X, y, **settings)
    except ValueError as error:
        raise CommandError(f"The search is not possible: {error}") from error
    search.trials_dataframe().to_csv(folder / "trials.csv")
    chosen = ", ".join(f"{name}={value}" for name, value in search.best_params_.items())
    print(f"chosen: {chosen}", file=sys.stderr)
    return search.best_estimator_


def _parameters(model):
    return {
        name: value
        for name, value in model.get_params().items()
        if value is None or isinstance(value, bool | int | float | str)
    }

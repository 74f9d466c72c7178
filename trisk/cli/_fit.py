"""``trisk fit``: from a table to a validated model in a folder."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from trisk.cli import _tables
from trisk.cli._errors import CommandError
from trisk.cli._models import holds_model, write_model

#: Scores in the order in which they are told.
SCORES = ("mae", "rmse", "r2", "roc_auc", "balanced_accuracy", "log_loss")


def run(options):
    """Validate, tune and fit, as the options ask for, and write the folder.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Raises
    ------
    CommandError
        If the table or the folder cannot be used.
    """
    folder = Path(options.out)
    if holds_model(folder) and not options.overwrite:
        raise CommandError(
            f"{options.out!r} holds a model already. Pass --overwrite to replace it."
        )
    X, y = _read(options)
    classification = y.dtype.kind not in "fiu" or options.classification
    estimator = _make(options, classification)
    folder.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC)
    scores = _validate(options, estimator, X, y, folder)
    model = _fit(options, estimator, X, y, folder)
    facts = {
        "formula": options.formula,
        "target": options.target,
        "unit": options.unit,
        "classification": classification,
        "classes": np.asarray(model.classes_).tolist() if classification else None,
        "recipe": options.recipe,
        "table": Path(options.table).name,
        "n_rows": len(y),
        "validation": _describe_validation(options),
        "scores": scores,
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "made": f"{started:%Y-%m-%d %H:%M} UTC",
        "versions": _versions(),
        "parameters": _parameters(model["model"]),
    }
    write_model(folder, model, facts)
    print(f"{folder / 'model.trisk'}: fitted on {len(y)} rows")


def _read(options):
    table = _tables.read_table(options.table)
    formulas = _tables.column(table, options.formula, options.table)
    target = _tables.column(table, options.target, options.table)
    words = {str(value).lower() for value in target.dropna()}
    if words <= {"true", "false"}:
        target = target.map(lambda v: v if pd.isna(v) else str(v).lower() == "true")
    classification = options.classification or _holds_words(target)
    problems = _tables.target_problems(target, classification)
    problems |= _tables.formula_problems(formulas)
    _tables.handle_problems(problems, len(table), skip=options.skip_bad_rows)
    kept = [row for row in range(len(table)) if row not in problems]
    X, y = formulas.iloc[kept].astype(str), target.iloc[kept]
    y = y.infer_objects() if classification else y.astype(float)
    y.attrs = {"quantity": options.target, "unit": options.unit}
    if y.nunique() < 2:
        raise CommandError(f"All rows have the same {options.target!r}: {y.iloc[0]}.")
    return X, y


def _holds_words(target):
    """Whether a column is of classes: more than half of its values are no numbers."""
    values = target.dropna()
    return (
        pd.to_numeric(values, errors="coerce").isna().mean() > 0.5
        or values.map(lambda value: isinstance(value, bool)).all()
    )


def _make(options, classification):
    from trisk.pipelines import RECIPES, composition_pipeline

    if options.recipe not in RECIPES:
        raise CommandError(f"There is no recipe {options.recipe!r}; there are {sorted(RECIPES)}.")
    return composition_pipeline(
        options.recipe,
        classification=classification,
        random_state=options.seed,
        device=options.device,
        verbose=int(not options.quiet and not options.trials),
        **training_settings(options),
    )


def training_settings(options):
    """Parameters of the estimator that the command line gives.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Returns
    -------
    settings : dict
        Those that were given.
    """
    given = {"n_members": options.members, "max_epochs": options.epochs}
    return {name: value for name, value in given.items() if value is not None}


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

    search = None
    if options.trials:
        search = {"n_trials": options.trials, **_study(options, folder)}
    try:
        results = nested_cross_validate(
            estimator,
            X,
            y,
            outer=_outer(options, len(y)),
            search=search,
            verbose=int(not options.quiet),
        )
    except ValueError as error:
        raise CommandError(f"Validation is not possible: {error}") from error
    results.predictions.insert(0, "formula", X.loc[results.predictions.index])
    results.save(folder)
    scores = {c: results.folds[c].tolist() for c in SCORES if c in results.folds}
    print_scores(scores, options.unit, _describe_validation(options))
    return scores


def print_scores(scores, unit, folds):
    """Print mean and standard deviation over folds.

    Parameters
    ----------
    scores : dict of str to list of float
        Scores of every fold, by name.
    unit : str or None
        Unit of the target.
    folds : str
        What the folds are.
    """
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
    from trisk.model_selection import optuna_search

    scoring = "neg_mean_absolute_error" if y.dtype.kind in "fiu" else "roc_auc_ovr"
    if options.classification:
        scoring = "roc_auc_ovr"
    try:
        search = optuna_search(
            estimator,
            X,
            y,
            n_trials=options.trials,
            scoring=scoring,
            study_name="all rows",
            verbose=int(not options.quiet),
            **_study(options, folder),
        )
    except ValueError as error:
        raise CommandError(f"The search is not possible: {error}") from error
    search.trials_dataframe().to_csv(folder / "trials.csv")
    print(
        "chosen: " + ", ".join(f"{k}={v}" for k, v in search.best_params_.items()),
        file=sys.stderr,
    )
    return search.best_estimator_


def _versions():
    from importlib.metadata import version

    return {name: version(name) for name in ("trisk", "torch", "scikit-learn", "numpy")}


def _parameters(model):
    return {
        name: value
        for name, value in model.get_params(deep=False).items()
        if value is None or isinstance(value, bool | int | float | str)
    }

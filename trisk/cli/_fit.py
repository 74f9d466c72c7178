"""``trisk fit``: from a table to a validated model in a folder."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trisk.cli import _files
from trisk.cli._files import CommandError
from trisk.cli._report import SCORE_NAMES
from trisk.structures.elements import ATOMIC_NUMBERS

_PACKAGES = ("trisk", "torch", "scikit-learn", "numpy")


def run(options):
    """Validate, tune and fit, as the options ask for, and write the folder."""
    folder = Path(options.out)
    if _files.holds_model(folder) and not options.overwrite:
        raise CommandError(
            f"{options.out!r} holds a model already. Pass --overwrite to replace it."
        )
    data = read(options)
    check_device(options.device)
    estimator = make_pipeline(options, data)
    started = datetime.now(UTC)
    with _files.replacing(folder, resumable=bool(options.trials)) as work:
        scores, forest, validation = _validate(options, estimator, data, work)
        model = _fit(options, estimator, data, work)
        facts = {
            "material": data.material,
            "structures": data.structures,
            "process": data.process,
            "target": data.y.attrs["quantity"],
            "unit": data.y.attrs["unit"],
            "classification": data.classification,
            "classes": np.asarray(model.classes_).tolist() if data.classification else None,
            "preset": None if data.structures else options.preset,
            "table": Path(options.table).name,
            "n_rows": len(data.y),
            "validation": validation,
            "scores": scores,
            "forest": forest,
            "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
            "made": f"{started:%Y-%m-%d %H:%M} UTC",
            "versions": {name: version(name) for name in _PACKAGES},
            "parameters": _parameters(getattr(model, "steps", [("", model)])[-1][1]),
        }
        _files.write_model(work, model, facts)
    print(f"{folder / 'model.trisk'}: fitted on {len(data.y)} rows")


@dataclass(frozen=True)
class Data:
    """What a model is fitted to, and what it was made of.

    ``material`` is the column of formulas or structures, ``names`` what stands in it, ``process``
    the kind of each further column.
    """

    X: Any
    y: pd.Series
    classification: bool
    material: str
    names: pd.Series
    structures: bool
    process: dict[str, str]


def read(options):
    """Usable rows of the table that a command line names."""
    path, folder = options.table, Path(options.table).parent
    if Path(path).is_dir():
        if options.targets is None:
            raise CommandError(f"{path!r} is a folder: pass --targets with a table of its files.")
        path, folder = options.targets, Path(path)
    elif options.targets is not None:
        raise CommandError(f"--targets goes with a folder of structures, and {path!r} is none.")
    table = _files.read_table(path)
    structures = options.structure is not None or path == options.targets
    if structures:
        material = options.structure or str(table.columns[0])
    else:
        material = options.formula or _find_formulas(table, path)
    names = _files.material_column(table, material, path)
    others = {material, *options.process, *(ATOMIC_NUMBERS if material not in table else ())}
    name = options.target or _find_target(table, others, path)
    if taken := {material, name}.intersection(options.process):
        raise CommandError(f"--process {' '.join(taken)}: it is the material or the target.")
    target = _files.column(table, name, path)
    asked = options.classification
    if asked is None and options.preset.endswith(("glass", "metallicity")) and not structures:
        print(f"--preset {options.preset} is a classification (--regression: numbers)")
        asked = True
    target, classification = _files.read_target(target, classification=asked)
    process, kinds, problems = _files.read_process(table, options.process, path)
    problems |= _files.target_problems(target, classification)
    if structures:
        crystals, unusable = _files.read_crystals(names, folder)
    else:
        unusable = _files.formula_problems(names)
    problems |= unusable
    _files.handle_problems(problems, table.index, skip=options.skip_bad_rows)
    kept = [row for row in range(len(table)) if row not in problems]
    y = target.iloc[kept]
    y = y.infer_objects() if classification else y.astype(float)
    y.attrs = {"quantity": name, "unit": options.unit or _files.unit_in(name)}
    if y.nunique() < 2:
        raise CommandError(f"All rows have the same {name!r}: {y.iloc[0]}.")
    X = (crystals if structures else names).iloc[kept]
    if kinds:
        X = process.iloc[kept].assign(**{material: X})
    return Data(X, y, classification, material, names.iloc[kept], structures, kinds)


def _find_formulas(table, path):
    """The column that holds formulas, where no option says so."""
    from trisk.model_selection._materials import rows_of

    kind, name = rows_of(table.assign(**{"": "no formula"}))
    if kind == "structures":
        return _find_formulas(table.drop(columns=name), path)
    if name is None:
        raise CommandError(f"No column of {path!r} holds formulas: pass --formula or --structure.")
    print(f"formulas: column {name!r}", file=sys.stderr)
    return name


def _find_target(table, others, path):
    """The column that is left, where no option names the one to predict."""
    left = [name for name in table.columns if name not in others]
    if len(left) != 1:
        raise CommandError(f"Which column of {path!r} is to be predicted? Pass --target: {left}.")
    print(f"target: column {left[0]!r}", file=sys.stderr)
    return left[0]


def make_pipeline(options, data):
    """The pipeline, with what the command line gives."""
    from trisk.featurizers.composition.presets import PRESETS
    from trisk.pipelines import composition_pipeline, structure_pipeline

    given = {"n_members": options.members, "max_epochs": options.epochs}
    settings = {
        "classification": data.classification,
        "fast": options.fast,
        "random_state": options.seed,
        "device": options.device,
        "verbose": int(not options.quiet and not getattr(options, "trials", None)),
        **{name: value for name, value in given.items() if value is not None},
    }
    for kind in ("positive", "bounded"):
        if getattr(options, kind, False):
            settings["target"] = kind
    if options.no_calibration:
        settings["calibrate"] = False
    if options.no_pretraining:
        settings["pretrained"] = False
    if data.structures:
        if options.preset != "auto" or options.no_stacking:
            raise CommandError("--preset and --no-stacking are for formulas.")
        if data.process:
            settings |= {"process": list(data.process), "structure": data.material}
        return structure_pipeline(**settings)
    if options.preset not in {*PRESETS, "auto"}:
        names = ["auto", *sorted(PRESETS)]
        raise CommandError(f"There is no preset {options.preset!r}; there are {names}.")
    if options.no_stacking:
        settings["stack_with"] = None
    if data.process:
        settings |= {"process": list(data.process), "formula": data.material}
    return composition_pipeline(options.preset, **settings)


def check_device(name):
    """Raise where torch cannot put a number on a device."""
    import torch

    try:
        if name != "auto":
            torch.zeros(1, device=name).item()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CommandError(f"--device {name!r} cannot be used: {reason}") from error


def _outer(options, data):
    """Folds of the validation, and what to say of them."""
    from trisk.model_selection import LeaveClusterOut
    from trisk.model_selection._materials import grouped_folds

    materials = data.X[data.material] if data.process else data.X
    if options.cv:
        about = {"classification": data.classification, "random_state": options.seed}
        return grouped_folds(materials, data.y, options.cv, **about)
    settings: dict[str, Any] = {"n_splits": 5, "random_state": options.seed}
    if options.leave_out == "element":
        settings = {"min_test_size": max(2, len(data.y) // 50)}
    if data.process:
        settings["materials"] = materials.tolist()
    what = options.leave_out.replace("_", " ")
    folds = LeaveClusterOut(options.leave_out, **settings)
    return folds, f"test rows of another {what} than training rows"


def _validate(options, estimator, data, folder):
    """Cross-validate if asked to, a forest too; print and give scores of both."""
    if not (options.cv or options.leave_out):
        return None, None, None
    from trisk.model_selection import nested_cross_validate
    from trisk.model_selection._compare import default_models

    search = {"n_trials": options.trials, **_study(options, folder)} if options.trials else None
    try:
        outer, described = _outer(options, data)
        settings = {"outer": outer, "verbose": int(not options.quiet)}
        results = nested_cross_validate(estimator, data.X, data.y, search=search, **settings)
        about = {"classification": data.classification, "random_state": options.seed}
        forest = default_models(data.X, **about)["ExtraTrees"]
        beside = nested_cross_validate(forest, data.X, data.y, outer=outer, verbose=0)
    except ValueError as error:
        raise CommandError(f"Validation is not possible: {error}") from error
    results.predictions.insert(0, "formula", data.names.loc[results.predictions.index])
    results.save(folder)
    scores, of_forest = (
        {
            c: found.folds[c].tolist()
            for c in SCORE_NAMES
            if c in found.folds and found.folds[c].notna().all()  # R² of one row is not defined
        }
        for found in (results, beside)
    )
    print(f"{described}, mean ± standard deviation:")
    for name, values in scores.items():
        unit = data.y.attrs["unit"] if name in ("mae", "rmse") else None
        shown = shown_score(values) + (f" {unit}" if unit else "")
        print(f"  {name:18s} {shown}  (forest {shown_score(of_forest[name])})")
    return scores, of_forest, described


def shown_score(values):
    """Mean and standard deviation, to three digits or the second one of the deviation."""
    mean, deviation = np.mean(values), np.std(values)
    return f"{_files.rounded([mean], [deviation or 1e-3 * abs(mean)])[0]:.6g} ± {deviation:.2g}"


def _study(options, folder):
    """A search that the same command resumes after an interruption."""
    return {"storage": str(folder / "study.db"), "random_state": options.seed}


def _fit(options, estimator, data, folder):
    if not options.trials:
        return estimator.fit(data.X, data.y)
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
        search = optuna_search(estimator, data.X, data.y, **settings)
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

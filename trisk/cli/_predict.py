"""``trisk predict``: a model's predictions beside the rows of a table."""

import sys
from pathlib import Path

import numpy as np

from trisk.cli import _files
from trisk.cli._files import CommandError


def run(options):
    """Predict and write the table with further columns."""
    _files.check_writable(options.out)
    facts = _files.read_facts(options.model)
    table = _files.read_table(options.table)
    is_folder = Path(options.table).is_dir()
    name = options.material or ("file" if is_folder else facts["material"])
    materials = _files.material_column(table, name, options.table)
    if facts["structures"]:
        folder = options.table if is_folder else Path(options.table).parent
        X, problems = _files.read_crystals(materials, folder)
    else:
        X, problems = materials, _files.formula_problems(materials)
    kinds = facts["process"]
    process, _, wrong = _files.read_process(table, kinds, options.table, kinds)
    problems |= wrong
    _files.handle_problems(problems, table.index, skip=options.skip_bad_rows)
    good = np.array([row not in problems for row in range(len(table))])
    X = X[good]
    if kinds:
        X = process[good].assign(**{facts["material"]: X})
    columns = _predict(_files.read_model(options.model), X, facts)
    if taken := [name for name in columns if name in table]:
        names = " and ".join(map(repr, taken))
        raise CommandError(f"{options.table!r} has {names} already: rename what is there.")
    for name, values in columns.items():
        table.loc[good, name] = values
    table.to_csv(options.out or sys.stdout, index=False)
    if options.out:
        print(f"{options.out}: {good.sum()} rows predicted", file=sys.stderr)


def _predict(model, X, facts):
    """Columns of predictions and of what tells how sure they are."""
    target = facts["target"]
    if facts["classification"]:
        probabilities = model.predict_proba(X)
        best = np.asarray(model.classes_)[probabilities.argmax(axis=1)]
        shown = np.round(probabilities, 4)
        by_class = {f"probability {c}": shown[:, k] for k, c in enumerate(model.classes_)}
        return {f"predicted {target}": best, **by_class}
    last = getattr(model, "steps", [("", model)])[-1][1]
    if not getattr(last, "_has_spread", False):
        return {f"predicted {target}": _files.rounded(model.predict(X))}
    mean, spread = model.predict(X, return_std=True)
    what = "standard deviation" if last.get_params().get("calibrate") else "spread of members"
    return {
        f"predicted {target}": _files.rounded(mean, spread),
        what: _files.rounded(spread, spread),
    }

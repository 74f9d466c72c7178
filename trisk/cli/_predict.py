"""``trisk predict``: a model's predictions beside the rows of a table."""

import sys

import numpy as np

from trisk.cli import _files
from trisk.cli._files import CommandError


def run(options):
    """Predict and write the table with further columns."""
    _files.check_writable(options.out)
    facts = _files.read_facts(options.model)
    table = _files.read_table(options.table)
    formulas = _files.column(table, options.formula or facts["formula"], options.table)
    problems = _files.formula_problems(formulas)
    _files.handle_problems(problems, len(table), skip=options.skip_bad_rows)
    good = np.array([row not in problems for row in range(len(table))])
    columns = _predict(_files.read_model(options.model), formulas[good], facts)
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
        by_class = {f"probability {c}": probabilities[:, k] for k, c in enumerate(model.classes_)}
        return {f"predicted {target}": best, **by_class}
    mean, spread = model.predict(X, return_std=True)
    return {f"predicted {target}": mean, "spread of members": spread}

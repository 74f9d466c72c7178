"""``trisk predict``: a model's predictions beside the rows of a table."""

import sys

import numpy as np

from trisk.cli import _tables
from trisk.cli._models import read_facts, read_model


def run(options):
    """Predict and write the table with further columns.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Raises
    ------
    CommandError
        If the table or the model cannot be used.
    """
    facts = read_facts(options.model)
    table = _tables.read_table(options.table)
    formulas = _tables.column(table, options.formula or facts["formula"], options.table)
    problems = _tables.formula_problems(formulas)
    _tables.handle_problems(problems, len(table), skip=options.skip_bad_rows)
    good = np.array([row not in problems for row in range(len(table))])
    model = read_model(options.model)
    for name, values in predict_columns(model, formulas[good].astype(str), facts).items():
        table.loc[good, name] = values
    table.to_csv(options.out or sys.stdout, index=False)
    if options.out:
        print(f"{options.out}: {good.sum()} rows predicted", file=sys.stderr)


def predict_columns(model, X, facts):
    """Predictions and what tells how sure they are.

    Parameters
    ----------
    model : estimator
        Fitted pipeline.
    X : Series of shape (n_rows,)
        Formulas.
    facts : dict
        Facts about the model.

    Returns
    -------
    columns : dict of str to ndarray of shape (n_rows,)
        By name.
    """
    target = facts["target"]
    if facts["classification"]:
        probabilities = model.predict_proba(X)
        best = np.asarray(model.classes_)[probabilities.argmax(axis=1)]
        by_class = {f"probability {c}": probabilities[:, k] for k, c in enumerate(model.classes_)}
        return {f"predicted {target}": best, **by_class}
    mean, spread = model.predict(X, return_std=True)
    return {f"predicted {target}": mean, "spread of members": spread}

"""Reads a user's table and finds the rows that cannot be used."""

import difflib
import math
import sys
from pathlib import Path

import pandas as pd

from trisk.cli._errors import CommandError

_SHOWN = 5


def read_table(path):
    """Read a CSV file.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    table : DataFrame of shape (n_rows, n_columns)
        Its rows.

    Raises
    ------
    CommandError
        If it cannot be read, or holds no rows.
    """
    if not Path(path).is_file():
        raise CommandError(f"There is no file {path!r}.")
    try:
        # "NA" may be meant as sodium (Na) typed in capitals: only an empty cell is missing.
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise CommandError(f"{path!r} cannot be read as a CSV table: {error}") from error
    if table.empty:
        raise CommandError(f"{path!r} holds no rows.")
    return table


def column(table, name, path):
    """Pick a column by name.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The table.
    name : str
        The column.
    path : str
        The table's file, for the message.

    Returns
    -------
    values : Series of shape (n_rows,)
        The column.

    Raises
    ------
    CommandError
        If there is no such column.
    """
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, map(str, table.columns), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    columns = ", ".join(map(repr, table.columns))
    raise CommandError(f"{path!r} has no column {name!r}.{hint} Its columns are {columns}.")


def formula_problems(formulas):
    """Find the formulas that cannot be read.

    Parameters
    ----------
    formulas : Series of shape (n_rows,)
        The column of formulas.

    Returns
    -------
    problems : dict of int to str
        What is wrong, by position.
    """
    from trisk.featurizers.composition._compositions import parse_compositions

    missing = formulas.isna().to_numpy()
    _, errors = parse_compositions(formulas.where(~missing, "").astype(str), "nan")
    problems = {e.row: f"{formulas.iloc[e.row]!r} is no formula: {e.cause}" for e in errors}
    return problems | {int(row): "has no formula" for row in missing.nonzero()[0]}


def target_problems(target, classification):
    """Find the targets that cannot be used.

    Parameters
    ----------
    target : Series of shape (n_rows,)
        The column to predict.
    classification : bool
        Whether it holds classes.

    Returns
    -------
    problems : dict of int to str
        What is wrong, by position.
    """
    problems = {}
    for row, value in enumerate(target):
        if pd.isna(value):
            problems[row] = f"has no {target.name!r}"
        elif not classification and not _is_number(value):
            problems[row] = f"{value!r} in {target.name!r} is no finite number"
    return problems


def _is_number(value):
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def handle_problems(problems, n_rows, *, skip):
    """Stop at unusable rows, or say which are skipped.

    Parameters
    ----------
    problems : dict of int to str
        What is wrong, by position.
    n_rows : int
        Rows of the table.
    skip : bool
        Whether to go on without them.

    Raises
    ------
    CommandError
        If there are some and they are not to be skipped, or no other rows.
    """
    if not problems:
        return
    # The header is line 1 of the file.
    lines = [f"line {row + 2}: {problems[row]}" for row in sorted(problems)[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    text = f"{len(problems)} of {n_rows} rows cannot be used:\n  " + "\n  ".join(lines)
    if not skip:
        raise CommandError(f"{text}\nMend them, or pass --skip-bad-rows.")
    if len(problems) == n_rows:
        raise CommandError(text)
    print(f"skipped: {text}", file=sys.stderr)

"""What commands read and write: tables of users, and folders that hold a model."""

import codecs
import difflib
import io
import json
import re
import shutil
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_SHOWN = 5
_MODEL, _FACTS = "model.trisk", "model.json"
#: What ``model.json`` holds, and as what; ``material`` is the column of formulas or structures.
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("material", "target", "table", "made"), str),
    **dict.fromkeys(("unit", "preset", "validation"), (str, type(None))),
    **dict.fromkeys(("structures", "classification"), bool),
    **dict.fromkeys(("process", "versions", "parameters"), dict),
    **dict.fromkeys(("scores", "forest"), (dict, type(None))),
    "classes": (list, type(None)),
    "n_rows": int,
    "seconds": (int, float),
}
#: Further files that commands put into the folder of a model.
_BESIDE = {"folds.csv", "predictions.csv", "trials.csv", "parity.png", "calibration.png"}

_DIGITS = r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?(?: *%| +\D+)?"
_DECIMAL_COMMA = r" *[+-]?\d+,\d+(?:[eE][+-]?\d+)? *"
_THOUSANDS = r" *[+-]?[1-9]\d{0,2},\d{3} *"
_UNIT = r".*\[(?P<unit>[^\[\]]+)\] *"


class CommandError(Exception):
    """What a command tells its user instead of a traceback: what is wrong and what to do."""


def read_table(path):
    """Read a CSV or Excel file as text, so that what a command passes on stays as it was.

    The index are lines of the file. Names of a folder's structure files are its only column.
    """
    if Path(path).is_dir():
        from trisk.structures.readers import is_source

        names = sorted(p.name for p in Path(path).iterdir() if p.is_file() and is_source(p.name))
        if not names:
            raise CommandError(f"The folder {str(path)!r} holds no CIF, POSCAR, XYZ or JSON files.")
        return pd.DataFrame({"file": names}, index=range(1, len(names) + 1))
    if not Path(path).is_file():
        raise CommandError(f"There is no file {path!r}.")
    # "NA" may be meant as sodium (Na) typed in capitals: only an empty cell is missing.
    settings: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": [""]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            if Path(path).suffix == ".xlsx":
                table = pd.read_excel(path, **settings)
            else:
                table = _read_any_csv(path, settings | {"index_col": False})
    except ImportError as error:
        raise CommandError(
            f"{path!r} needs the package openpyxl (pip install openpyxl); or save it as CSV."
        ) from error
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise CommandError(f"{path!r} cannot be read as a table: {error}") from error
    table.index += 2  # the header is line 1
    table = table.dropna(how="all")
    if table.empty:
        raise CommandError(f"{path!r} holds no rows.")
    return table


def _read_any_csv(path, settings):
    """The separator is the one that makes most columns; text that is no Unicode is Latin-1."""
    raw = Path(path).read_bytes()
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = io.StringIO(text, newline="")
    first = next((k for k, line in enumerate(lines) if line.strip()), 0)

    def parse(separator, **more):
        lines.seek(0)
        given = {"skip_blank_lines": False, "skiprows": first, **settings, **more}
        return pd.read_csv(lines, sep=separator, **given)

    # A comma comes last, as it may stand inside a name beside another separator.
    heads = {s: parse(s, header=None, nrows=1) for s in "\t;,"}
    separator = max(heads, key=lambda s: heads[s].shape[1])
    table = parse(separator)
    names = heads[separator].iloc[0]
    table.attrs["repeated"] = names[names.duplicated()].tolist()
    more = table.apply(lambda values: values.str.count("\n")).sum(axis=1)  # lines in cells
    table.index += first + more.cumsum().shift(fill_value=0).to_numpy(dtype=int)
    return table


def material_column(table, name, path):
    """A column of materials; at% and wt% stand for one column per element."""
    from trisk.featurizers import formulas_from_amounts

    if name not in ("at%", "wt%") or name in table:
        return column(table, name, path)
    try:
        return formulas_from_amounts(table, name)
    except ValueError as error:
        raise CommandError(f"{path!r}: {error}") from error


def column(table, name, path):
    """A column by name, or an error that lists the columns."""
    if name in table.attrs.get("repeated", ()):
        raise CommandError(f"{path!r} has several columns {name!r}: give each a name of its own.")
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, map(str, table.columns), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    columns = ", ".join(map(repr, table.columns))
    raise CommandError(f"{path!r} has no column {name!r}.{hint} Its columns are {columns}.")


def unit_in(name):
    """Unit that a name such as "yield strength [MPa]" ends in, or None."""
    found = re.fullmatch(_UNIT, name)
    return found and found["unit"]


def read_target(target, *, classification):
    """The column to predict, and whether it holds classes.

    Those are booleans, words, zeros and ones, or what is asked for; with False it holds numbers.
    Values that are no numbers stay text where most are.
    """
    values = target.dropna()
    if set(values.str.lower()) <= {"true", "false"} and classification is not False:
        return target.map(lambda v: v if pd.isna(v) else v.lower() == "true"), True
    target = _with_decimal_points(target)
    numbers = pd.to_numeric(target, errors="coerce")
    complete = numbers.notna().equals(target.notna())
    if classification is None and complete and set(numbers.dropna()) == {0, 1}:
        note = f"{target.name!r} holds zeros and ones: they are classes (--regression: numbers)."
        print(note, file=sys.stderr)
        classification = True
    if classification:
        return (numbers if complete else target), True
    words = target[target.notna() & numbers.isna()]
    if len(words) <= len(values) / 2 or classification is False:
        return target, False
    looks = words[words.str.fullmatch(_DIGITS)]
    if len(looks) > len(words) / 2:
        raise CommandError(
            f"Column {target.name!r} holds {looks.iloc[0]!r} and the like, which are no numbers to "
            "trisk: write digits and a decimal point only, or pass --classification."
        )
    if values.nunique() > len(values) / 2:
        raise CommandError(
            f"Column {target.name!r} holds {values.nunique()} different texts in {len(values)} "
            f"rows, such as {words.iloc[0]!r}: neither numbers nor classes. Write numbers "
            "without units, or pass --classification."
        )
    return target, True


def _with_decimal_points(target):
    """Turn decimal commas into points, where they cannot separate thousands."""
    with_comma = target[target.str.fullmatch(_DECIMAL_COMMA, na=False)]
    if with_comma.empty or target.str.contains(r"\d\.\d", na=False).any():
        return target
    if with_comma.str.fullmatch(_THOUSANDS).all():
        raise CommandError(
            f"Column {target.name!r} holds {with_comma.iloc[0]!r} and the like, whose comma may "
            "separate decimals or thousands: write a decimal point, or no comma."
        )
    return target.where(~target.index.isin(with_comma.index), target.str.replace(",", "."))


def read_process(table, names, path, kinds=None):
    """Columns of the process, which are "number" and which "text", and problems by position."""
    columns, found = {}, {}
    problems: dict[int, str] = {}
    for name in names:
        values = _with_decimal_points(column(table, name, path))
        numbers = pd.to_numeric(values, errors="coerce")
        places = np.flatnonzero(values.notna() & numbers.isna())
        wrong = values.iloc[places]
        kind = (kinds or {}).get(name) or ("text" if len(wrong) > values.count() / 2 else "number")
        if kind == "number":
            for place, text in zip(places.tolist(), wrong, strict=True):
                problems[place] = f"{text!r} in {name!r} is no number; leave unknown ones empty"
        if kinds is None and kind == "text" and values.nunique() > len(values) / 2:
            raise CommandError(
                f"Column {name!r} holds {values.nunique()} different texts in {len(values)} rows, "
                f"such as {wrong.iloc[0]!r}: write numbers without units."
            )
        columns[name], found[name] = numbers if kind == "number" else values, kind
    return pd.DataFrame(columns, index=table.index), found, problems


def read_crystals(values, folder):
    """Paths or texts of CIFs in a column, as the reader takes them, and problems by position."""
    from trisk.structures import read_structures

    given = [value if isinstance(value, str) else "" for value in values]
    paths = [t if "\n" in t or t[:1] in ("", "{") else str(_find(Path(folder) / t)) for t in given]
    _, errors = read_structures(paths, on_error="nan")
    problems = {error.row: f"{given[error.row][:60]!r}: {error.cause}" for error in errors}
    missing = values.isna().to_numpy().nonzero()[0]
    sources = pd.Series(paths, index=values.index, dtype=object)
    return sources, problems | {int(row): "has no structure" for row in missing}


def _find(path):
    """A file whose name may lack its suffix."""
    with_suffix = path.with_name(f"{path.name}.cif")
    return with_suffix if not path.is_file() and with_suffix.is_file() else path


def rounded(values, spread=None):
    """Each number to the second digit of its spread, or without one to six digits."""
    with np.errstate(divide="ignore"):
        scale = np.log10(np.abs(values if spread is None else spread))
    digits = (5 if spread is None else 1) - np.floor(scale)
    pairs = zip(np.asarray(values, dtype=float), digits, strict=True)
    return np.array([round(v, max(0, int(d))) if np.isfinite(d) else v for v, d in pairs])


def formula_problems(formulas):
    """What is wrong with formulas that cannot be read, by position."""
    from trisk.featurizers.composition.formulas import parse_compositions

    missing = formulas.isna().to_numpy()
    _, errors = parse_compositions(formulas.where(~missing, "").astype(str))
    problems = {e.row: f"{formulas.iloc[e.row]!r} is no formula: {e.cause}" for e in errors}
    return problems | {int(row): "has no formula" for row in missing.nonzero()[0]}


def target_problems(target, classification):
    """What is wrong with targets that cannot be used, by position."""
    problems, numbers = {}, pd.to_numeric(target, errors="coerce")
    for row, (value, number) in enumerate(zip(target, numbers, strict=True)):
        if pd.isna(value):
            problems[row] = f"has no {target.name!r}"
        elif not classification and not np.isfinite(number):
            problems[row] = f"{value!r} in {target.name!r} is no finite number"
    return problems


def handle_problems(problems, lines_of_file, *, skip):
    """Stop at unusable rows, or say which are skipped."""
    if not problems:
        return
    lines = [f"line {lines_of_file[row]}: {problems[row]}" for row in sorted(problems)[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    text = f"{len(problems)} of {len(lines_of_file)} rows cannot be used:\n  " + "\n  ".join(lines)
    if not skip:
        raise CommandError(f"{text}\nCorrect them, or pass --skip-bad-rows.")
    if len(problems) == len(lines_of_file):
        raise CommandError(text)
    print(f"skipped: {text}", file=sys.stderr)


def check_writable(path):
    """Raise before the work where a file or folder could not be written after it."""
    if path and not Path(path).absolute().parent.is_dir():
        raise CommandError(f"There is no folder to write {str(path)!r} in.")


def holds_model(folder):
    """Whether a folder, which need not exist, holds a model."""
    return (folder / _FACTS).is_file()


def write_model(folder, model, facts):
    """Write a fitted model and the facts about it."""
    from trisk.persistence import save

    save(model, folder / _MODEL)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (folder / _FACTS).write_text(text + "\n", encoding="utf-8")


def read_facts(folder):
    """The facts about a model, as they were written."""
    path = Path(folder) / _FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{str(folder)!r} holds no model. 'trisk fit … --out {folder}' makes one."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{str(path)!r} cannot be read: {error}") from error
    given = facts if isinstance(facts, dict) else {}
    for name, kind in _KINDS.items():
        if name not in given or not isinstance(given[name], kind):
            raise CommandError(f"{str(path)!r} is damaged: it does not say what {name!r} is.")
    return given


def read_model(folder):
    """Load a model from its folder."""
    from trisk.persistence import load

    try:
        return load(Path(folder) / _MODEL)
    except FileNotFoundError as error:
        raise CommandError(str(error)) from error


@contextmanager
def replacing(folder, *, resumable):
    """A folder whose files replace those of an earlier model only once all of them are written.

    A resumable one keeps ``study.db`` for the next command where this one fails.
    """
    work = folder / ".unfinished"
    work.mkdir(parents=True, exist_ok=True)
    for path in work.iterdir():
        if not (resumable and path.name.startswith("study.db")):
            path.unlink()
    try:
        yield work
    except BaseException:
        if not resumable:
            shutil.rmtree(work, ignore_errors=True)
        raise
    written = {path.name for path in work.iterdir() if not path.name.startswith("study.db")}
    for name in sorted(written, key=lambda name: name not in (_MODEL, _FACTS)):
        (work / name).replace(folder / name)
    for name in {*_BESIDE, "report.html"} - written:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)

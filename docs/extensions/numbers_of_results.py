"""Numbers in pages are read from the tables of ``docs/results.md``, so that both agree.

A page writes ``{{ score("compositions", "HybridTRIADS", "steels, MPa") }}``: table, row, column.
"""

import functools
import re
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results.md"


@functools.cache
def read_tables():
    """Tables by name; rows by their first cell, and by the first two with a comma between."""
    text, tables = RESULTS.read_text(encoding="utf-8"), {}
    for name, table in re.findall(r"<!-- table: (\S+) -->\n(.*?)<!-- end -->", text, re.DOTALL):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if cells:
            header, _, *rows = cells
            tables[name] = table = {}
            for row in rows:
                table[row[0]] = table[f"{row[0]}, {row[1]}"] = dict(zip(header, row, strict=True))
    return tables


class Score:
    """Looks up one number as text; an object, since Sphinx stores no functions."""

    def __call__(self, table, row, column, *, spread=True, missing=None):
        """Give the number; without `spread`, only what stands before "±" or a bracket.

        A number that is not there is an error, or `missing` where that is given.
        """
        rows = read_tables().get(table)
        if rows is None or row not in rows or column not in rows[row]:
            if missing is not None:
                return missing
            known = sorted(rows or read_tables())
            raise LookupError(f"docs/results.md has no {table!r}, {row!r}, {column!r}; has {known}")
        number = rows[row][column].strip("*")
        return number.replace(" ± ", "\N{NBSP}±\N{NBSP}") if spread else number.partition(" ")[0]


score = Score()


def setup(app):
    """Let pages use the function."""
    app.config.myst_substitutions = {"score": score}
    app.connect("env-before-read-docs", _read_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read_again(app, env, docnames):
    """Pages that show numbers are read again whenever the results have changed."""
    changed = RESULTS.stat().st_mtime
    if getattr(env, "results_changed", None) == changed:
        return
    env.results_changed = changed
    for docname in env.found_docs:
        if docname not in docnames and "score(" in Path(env.doc2path(docname)).read_text("utf-8"):
            docnames.append(docname)

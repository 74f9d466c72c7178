"""Tables and numbers of results, between the marks of README.md, docs/ and the cards of weights.

A page holds ``<!-- table: NAME -->`` and ``<!-- end -->``; what stands between is written anew.
Rows of networks that have changed since name the commit that they were measured with. A single
number has ``<!-- score: "TABLE", "ROW", "COLUMN" -->`` before it, of a table in docs/results.md;
``mean`` in place of ``score`` leaves out what is behind the first number. Pages are read as files
too, so they hold what is written, and the marks show nowhere; none may begin a line of a paragraph.
"""

import ast
import re
from collections import defaultdict
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks import runner, store
from benchmarks.suites.molecules import TARGETS as QM9_TARGETS
from benchmarks.suites.objectives import LABELS, SPLITS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results.md"
MARKS = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NUMBERS = re.compile(r"(<!-- (score|mean): (.*?) -->).*?(<!-- end -->)")
METRICS = {"expt_is_metal": "ROC-AUC", "glass": "ROC-AUC"}
TITLES = {
    "steels": "steels, MPa",
    "expt_gap": "experimental gap, eV",
    "expt_is_metal": "metal or not, AUC",
    "glass": "metallic glass, AUC",
    "jdft2d": "exfoliation energy, meV/atom",
    "demo": "the 390 gaps of the demo, eV",
    "phonons": "phonons, cm⁻¹",
    "perovskites": "perovskites, meV/atom",
    "InP": "InP, meV/atom",
}
OURS = ("HybridTRIADS, default pipeline", "HybridTRIADS", "HybridTRIADS + trees")
# README shows what the present code gives; rows of older networks are in docs/results.md alone.
README_COMPOSITIONS = (
    "HybridTRIADS, default pipeline",
    "ExtraTrees, element fractions",
    "ExtraTrees, Magpie",
    "RandomForest, Magpie",
    "ExtraTrees, preset's columns",
    "LightGBM",
    "CatBoost",
)
README_STRUCTURES = (
    "default pipeline",
    "mean of ExtraTrees and SVR with sensors of Nequix",
    "ExtraTrees, Magpie, springs, layers and stacking of Nequix, per area",
    "mean of GraphTRIADS, TriForces and a Gaussian process, with three potentials",
    "ExtraTrees, Magpie and springs, corrected",
    "ExtraTrees, Magpie, springs, layers, per area",
    "ExtraTrees, Magpie",
)
CHOICE_STRUCTURES = (
    "default pipeline",
    "GraphTRIADS",
    "TriForces",
    "TriForces, pre-trained on sensors",
    *README_STRUCTURES[1:],
)
#: Where a model starts from, and a task of the suite of speed that times its predictions.
CHOICE_LABELS = {
    "ExtraTrees and SVR, sensors of Nequix, corrected": ("sensors", None),
    "ExtraTrees, springs and CHGNet": ("foundation weights", "trees on CHGNet"),
    "ridge, CHGNet": ("foundation weights", "trees on CHGNet"),
    "default pipeline": ("shipped weights", "structure_pipeline"),
    "TriForces, pre-trained on sensors": ("shipped weights", "TriForces"),
    "ExtraTrees, Magpie and predicted sensors": ("shipped weights", "trees on TriForcesSensors"),
    "TriForces, from scratch": ("scratch", "TriForces"),
    "ExtraTrees, Magpie": ("scratch", "structure_pipeline"),
}


class Cell(list):
    """Rows of one metric of a model on a split of a task, in order of folds."""

    @property
    def values(self):
        return np.array([row["value"] for row in self])

    @property
    def mean(self):
        return self.values.mean()

    @property
    def seconds(self):
        return np.mean([row["seconds"] or np.nan for row in self])


@cache
def cells(name):
    """Of a suite: (task, split, model, metric) → the results of its present parameters."""
    suite, found = runner.load(name), defaultdict(Cell)
    for row in store.read(name):
        model, task = suite.models.get(row["model"]), row["task"]
        if model is None or (
            task in suite.tasks and model.parameters_for(task) != row["parameters"]
        ):
            continue
        found[row["task"], row["split"], row["model"], row["metric"]].append(row)
    return dict(found)


def find(suite, task, model, *metrics, split=None):
    """Cells of a model by metric, None where there is none; of any split if none is named."""
    known = [(n, c) for (t, s, m, n), c in cells(suite).items()
             if (t, m) == (task, model) and split in (None, s)]  # fmt: skip
    return [next((c for n, c in known if n == metric), None) for metric in metrics or ["MAE"]]


def number(value, of=None):
    """Two decimals where the scale is 5 or more, else four; a spread has the scale of its mean."""
    return f"{value:.{2 if abs(value if of is None else of) >= 5 else 4}f}"


def spread(cell, n_folds=5):
    """Mean and standard deviation over folds, and how many there are if not all."""
    shown = number(cell.mean)
    if len(cell) > 1:
        shown += f" ± {number(cell.values.std(), cell.mean)}"
    return shown if len(cell) == n_folds else f"{shown} ({len(cell)} of {n_folds} folds)"


def seconds(cell):
    """Mean of the seconds of a fold."""
    return "–" if np.isnan(cell.seconds) else f"{cell.seconds:.1f}"


def measured_with(found):
    """The newest commit of rows that an older network gave, and whether there are earlier ones."""
    older = sorted((r["date"], r["commit"]) for cell in found for r in cell if store.is_older(r))
    if not older:
        return "–"
    return f"`{older[-1][1]}`" + " or earlier" * (len({commit for _, commit in older}) > 1)


def markdown(head, rows):
    """Lines of a table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*head, *lines] if lines else ["Not measured yet."]


def grid(first, columns, lines, show, older=True):
    """A table of labels and lists of cells; `show` writes the cells of one entry.

    The last column names the commits of older networks, where there are any; without `older` such
    rows are left out.
    """
    rows = []
    for labels, entries in lines:
        if found := [cell for entry in entries for cell in entry if cell]:
            shown = [show(*entry) if all(entry) else "–" for entry in entries]
            commit = measured_with(found)
            if older or commit == "–":
                rows.append([*labels, *shown, commit])
    head = [*first, *columns, "measured with"]
    if all(row[-1] == "–" for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return markdown(head, rows)


def compositions(show=spread, models=None):
    """Models in rows, tasks in columns; the best score of each column is bold."""
    tasks, suite = list(TITLES)[:6], "compositions"
    lines = {
        (m,): [find(suite, t, m, METRICS.get(t, "MAE")) for t in tasks]
        for m in models or runner.load(suite).models
    }
    best = set()
    for task, column in zip(tasks, zip(*lines.values(), strict=True), strict=True):
        complete = [cell for (cell,) in column if cell and len(cell) == 5]
        choose = max if task in METRICS else min
        best.add(id(choose(complete, key=lambda cell: cell.mean, default=None)))

    def written(cell):
        return f"**{show(cell)}**" if show is spread and id(cell) in best else show(cell)

    return grid(["model"], [TITLES[task] for task in tasks], lines.items(), written)


def differences():
    """trisk's rows minus the best model of others, fold by fold."""
    models, rows = runner.load("compositions").models, []
    others = [name for name in models if not re.search("HybridTRIADS|pre-trained|encoder", name)]
    for task in list(TITLES)[:5]:
        found = {m: find("compositions", task, m, METRICS.get(task, "MAE"))[0] for m in models}
        choose = max if task in METRICS else min
        best = choose((m for m in others if found[m]), key=lambda m: found[m].mean)
        shown = []
        for cell in (found[name] for name in OURS):
            gap = cell and cell.values - found[best].values
            numbers = [number(v, cell.mean) for v in (gap.mean(), gap.std())] if cell else ["–"]
            shown.append(" ± ".join(numbers))
        rows.append([TITLES[task], best, *shown])
    return markdown(["task", "best model of others", *OURS], rows)


def formation_energies():
    """Errors and seconds by number of rows."""
    suite, task = runner.load("compositions"), "formation energy"
    splits = suite.tasks[task].splits
    lines = [((m,), [find("compositions", task, m, split=s) for s in splits]) for m in suite.models]
    show = lambda cell: f"{cell.mean:.3f}, {cell.seconds:.0f} s"  # noqa: E731
    return grid(["MAE, eV/atom, and seconds"], splits, lines, show)


def seen(model):
    """What a model of structures has seen beside the training fold."""
    if re.search("of a potential|Nequix|CHGNet|three potentials", model):
        return "a potential's energies and forces"
    if re.search("default|predicted sensors|pre-trained on sensors", model):
        return "a potential's sensors of crystals of other formulas"
    return "–"


def structures(task):
    """Models of one task, best first."""
    found = {m: find("structures", task, m)[0] for m in runner.load("structures").models}
    ordered = sorted((m for m in found if found[m]), key=lambda m: found[m].mean)
    rows = [
        [m, seen(m), spread(found[m]), seconds(found[m]), measured_with([found[m]])]
        for m in ordered
    ]
    head = ["model", "seen beside the fold", f"MAE, {TITLES[task]}", "seconds a fold"]
    return markdown([*head, "measured with"], rows)


def structures_short(models):
    """Some models, tasks in columns."""
    tasks = list(runner.load("structures").tasks)
    lines = [((m, seen(m)), [find("structures", t, m) for t in tasks]) for m in models]
    return grid(["model", "seen beside the fold"], [TITLES[task] for task in tasks], lines, spread)


def few_labels(task=None, models=None):
    """Models in rows, numbers of labels in columns; one task with all draws, or means of all."""
    suite = runner.load("few_labels")
    splits = list(next(iter(suite.tasks.values())).splits)
    lines = [
        ((model,) if task else (TITLES[name], model),
         [find("few_labels", name, model, split=split) for split in splits])
        for name in ([task] if task else suite.tasks)
        for model in models or suite.models
    ]  # fmt: skip

    def show(cell):
        ends = f" ({cell.values.min():.1f} to {cell.values.max():.1f})" if task else ""
        return f"{cell.mean:.1f}{ends}"

    return grid(["model"] if task else ["task", "model"], splits, lines, show)


def few_labels_choice():
    """Starts and models in rows; errors on phonons, and seconds to train and to predict."""
    splits, peer = list(runner.load("few_labels").tasks["phonons"].splits), "ExtraTrees, Magpie"
    rows = []
    for model, (start, name) in CHOICE_LABELS.items():
        found = [find("few_labels", "phonons", model, split=split)[0] for split in splits]
        errors = [f"{cell.mean:.1f}" if cell else "–" for cell in found]
        whose = "peer" if model == peer else "trisk"
        (time,) = find("speed", f"predictions for 1,000 crystals by {name}", peer, whose)
        rows.append([start, model, *errors, seconds(found[2]), f"{time.mean:.2g}" if time else "–"])
    return markdown(["start", "model", *splits, "training, s", "predictions, s"], rows)


def card(pattern):
    """Few labels for the card of some weights: the models that a pattern finds."""
    models = runner.load("few_labels").models
    return few_labels(models=[name for name in models if re.search(pattern, name)])


def potentials(universal=False):
    """Errors of potentials: training frames in rows, models with results in columns."""
    suite, metrics = runner.load("potentials"), ("energy", "forces", "stress")
    tasks = [task for task in suite.tasks if (task == "universal") == universal]
    models = [m for m in suite.models if any(find("potentials", t, m, "energy")[0] for t in tasks)]
    lines = [
        ((f"{t}, {s}",), [find("potentials", t, m, *metrics, split=s) for m in models])
        for t in tasks
        for s in suite.tasks[t].splits
    ]
    show = lambda *arm: " / ".join(f"{cell.mean:.1f}" for cell in arm)  # noqa: E731
    return grid(["training frames"], models, lines, show)


def matrix(task):
    """Metrics of a task of pre-training in columns, embeddings in rows."""
    metrics = list(dict.fromkeys(n for (t, _, _, n) in cells("pretraining") if t == task))
    models = runner.load("pretraining").models
    lines = [((m,), [[c] for c in find("pretraining", task, m, *metrics)]) for m in models]
    return grid(["embedding"], metrics, lines, lambda cell: f"{cell.mean:.3f}")


def molecules():
    """Four properties of molecules in columns, models by number of molecules in rows."""
    suite, found = runner.load("molecules"), partial(find, "molecules", "QM9")
    lines = [
        ((model, split.split()[0]), [[c] for c in found(model, *QM9_TARGETS, split=split)])
        for split in suite.tasks["QM9"].splits
        for model in suite.models
    ]
    return grid(["model", "molecules"], QM9_TARGETS, lines, lambda cell: f"{cell.mean:.0f}")


def objectives():
    """Errors of frozen probes by objective and structures seen."""
    suite = runner.load("objectives")
    about = suite.tasks.items()
    lines = [
        ((model, split.partition(" ")[0] if int(split.split()[0]) else "–"),
         [find("objectives", task, model, f"{n} labels", split=split)
          for task, _ in about for n in LABELS[task]])
        for model in suite.models for split in SPLITS
    ]  # fmt: skip
    head = [f"{TITLES[task].split(',')[0]}, {n} labels" for task, _ in about for n in LABELS[task]]
    return grid(["objective", "structures seen"], head, lines, lambda cell: f"{cell.mean:.1f}")


def uncertainty(kinds, metrics, show):
    """Coverage and width of intervals, or errors of probabilities, by kind."""
    lines = [
        ((TITLES[t.split(", ")[0]].removesuffix(", AUC") + " (by structure)" * ("," in t), m),
         [find("coverage", t, m, *(f"{metric}, {kind}" for metric in metrics)) for kind in kinds])
        for t, _, m, metric in cells("coverage")
        if metric == f"{metrics[0]}, {kinds[0]}"
    ]  # fmt: skip
    return grid(["task, unit of width", "model"], kinds, lines, show)


def share_and_width(share, width):
    folds = "" if len(share) == 5 else f"; {len(share)} of 5 folds"
    return f"{share.mean:.1%} (width {width.mean:.3g}{folds})"


def speed():
    """trisk's rate over that of each peer."""
    rows = []
    for task, split, peer, metric in cells("speed"):
        if metric != "times as fast":
            continue
        found = find("speed", task, peer, metric, "trisk", "peer", split=split)
        where = task if split == "one thread" else f"{task}, {split}"
        numbers = [f"{cell.mean:.{n}g}" for cell, n in zip(found, (3, 2, 2), strict=True)]
        rows.append([where, peer, *numbers, f"`{found[0][0]['commit']}`"])
    return markdown(["what", "peer", "times as fast", "trisk, s", "peer, s", "measured with"], rows)


def devices():
    """Wall-clock seconds by device."""
    rows = [
        [row["task"], row["model"], row["machine"], f"{row['value']:.1f}", f"`{row['commit']}`"]
        for row in store.read("cuda")
        if row["metric"] == "wall-clock seconds"
    ]
    return markdown(["training", "device", "machine", "seconds", "measured with"], rows)


TABLES = {
    "compositions": compositions,
    "compositions-short": partial(compositions, models=README_COMPOSITIONS),
    "compositions-seconds": partial(compositions, seconds),
    "compositions-differences": differences,
    "formation-energies": formation_energies,
    "structures-phonons": partial(structures, "phonons"),
    "structures-jdft2d": partial(structures, "jdft2d"),
    "structures-perovskites": partial(structures, "perovskites"),
    "structures-short": partial(structures_short, README_STRUCTURES),
    "structures-choice": partial(structures_short, CHOICE_STRUCTURES),
    "few-labels-phonons": partial(few_labels, "phonons"),
    "few-labels-perovskites": partial(few_labels, "perovskites"),
    "few-labels-InP": partial(few_labels, "InP"),
    "few-labels-choice": few_labels_choice,
    "card": partial(card, "^(?!ridge).*(scratch|sensors|Magpie$)"),
    "potentials": potentials,
    "potentials-universal": partial(potentials, universal=True),
    "probes": partial(matrix, "probes"),
    "retrieval-phonons": partial(matrix, "retrieval, phonons"),
    "retrieval-decorated": partial(matrix, "retrieval, decorated"),
    "retrieval-perovskites": partial(matrix, "retrieval, perovskites"),
    "objectives": objectives,
    "molecules": molecules,
    "coverage": partial(
        uncertainty,
        ("members' spread", "calibrated", "predict_interval"),
        ("coverage", "width"),
        share_and_width,
    ),
    "calibration": partial(
        uncertainty,
        ("members' probabilities", "calibrated"),
        ("calibration error",),
        lambda cell: f"{cell.mean:.3f}",
    ),
    "speed": speed,
    "devices": devices,
}


def pages():
    """Documents that hold tables or numbers, the results first."""
    docs = [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
    drawings = (ROOT / "docs" / "drawings").glob("*.svg")
    cards = (ROOT / "trisk").rglob("triforces_*.md")
    return [RESULTS, ROOT / "README.md", *sorted({*docs, *drawings, *cards} - {RESULTS})]


def read_tables(text):
    """Tables of a page by name; rows by their first cell, and by the first two with a comma."""
    tables = {}
    for _, name, table, _ in MARKS.findall(text):
        lines = [line.strip("|").split("|") for line in table.splitlines() if line[:1] == "|"]
        header, _, *rows = [[cell.strip() for cell in line] for line in lines] or [[], []]
        tables[name] = found = {}
        for row in rows:
            found[row[0]] = found[f"{row[0]}, {row[1]}"] = dict(zip(header, row, strict=True))
    return tables


def filled(text, tables):
    """A page with its tables, and its numbers of other tables, written anew."""

    def number(mark):
        table, row, column = ast.literal_eval(mark[3])
        if column not in tables[table].get(row, ()):
            raise LookupError(f"docs/results.md has no {mark[3]}; {table!r} has {[*tables[table]]}")
        found = tables[table][row][column].strip("*")
        return mark[1] + (found if mark[2] == "score" else found.partition(" ")[0]) + mark[4]

    text = MARKS.sub(lambda m: m[1] + "\n".join(TABLES[m[2]]()) + "\n" + m[4], text)
    return NUMBERS.sub(number, text)


def main(check=False):
    """Write all pages; with `check` only say which are not current."""
    status, tables = 0, {}
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = filled(before, tables)
        if page == RESULTS:
            tables = read_tables(after)
        if before == after:
            continue
        status |= check
        print(f"{page.relative_to(ROOT)} {'is not current' if check else 'written'}")
        if not check:
            page.write_text(after, encoding="utf-8")
    return status

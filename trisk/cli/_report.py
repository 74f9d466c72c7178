"""``trisk report``: everything that is known about a model on one page without links."""

import base64
import html
import io
import shlex
import string
from pathlib import Path

import pandas as pd

from trisk.cli._files import CommandError, check_writable, read_facts, read_model
from trisk.data import data_file

_WORST = 10
SCORE_NAMES = {
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "roc_auc": "area under the ROC curve",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log loss",
}
_CAPTIONS = {
    "parity": "Held-out predictions against measured values; the panel counts the residuals.",
    "calibration": "Whether spreads or probabilities can be believed: on the dashed line they can.",
    "confusion": "Held-out rows by measured and predicted class.",
    "roc": "Share of one class found against share of the other taken for it, by threshold.",
    "training": "Loss on the training rows while the final model was fitted.",
}


def run(options):
    """Write the page."""
    folder = Path(options.model)
    path = Path(options.out) if options.out else folder / "report.html"
    check_writable(path)
    path.write_text(render(folder), encoding="utf-8")
    print(path)


def render(folder):
    """HTML of the page for the model in a folder, with all pictures inside."""
    facts, model = read_facts(folder), read_model(folder)
    sections = [
        _summary(facts),
        _scores(facts),
        *_held_out(folder, facts),
        _training(model),
        _trials(folder),
        _parameters(facts),
        _use(folder, facts),
    ]
    template = data_file("report.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        title=html.escape(f"{facts['target']}: a trisk model"),
        body="\n".join(section for section in sections if section),
    )


def _read_csv(path, columns, dtype=None):
    """A table that ``trisk fit`` wrote, or None if there is none."""
    if not path.is_file():
        return None
    try:
        # A class may be called "None" or "NA": only an empty cell is missing.
        table = pd.read_csv(path, index_col=0, dtype=dtype, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise CommandError(f"{str(path)!r} is damaged: {error}") from error
    if absent := {*columns} - {*table}:
        raise CommandError(f"{str(path)!r} is damaged: it lacks {', '.join(sorted(absent))}.")
    return table


def _section(title, content):
    return f"<section><h2>{html.escape(title)}</h2>\n{content}\n</section>"


def _table(rows, header=None, *, numbers=True):
    """An HTML table of rows of texts."""

    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    head = f"<thead>{line(header, 'th')}</thead>" if header else ""
    body = "\n".join(line(row, "td") for row in rows)
    return f'<table class="{"numbers" if numbers else "facts"}">{head}<tbody>{body}</tbody></table>'


def _summary(facts):
    unit = f" in {facts['unit']}" if facts["unit"] else ""
    kind = "structures" if facts["structures"] else "formulas"
    rows = [
        ("predicts", facts["target"] + unit),
        ("from", f"{kind}, column “{facts['material']}”"),
        ("fitted on", f"{facts['n_rows']} rows of {facts['table']}"),
        ("preset", facts["preset"] or "of crystals"),
        ("made", f"{facts['made']}, in {facts['seconds']} s"),
        ("with", ", ".join(f"{name} {v}" for name, v in facts["versions"].items())),
    ]
    if facts["process"]:
        rows[1] = ("from", f"{rows[1][1]}, and {', '.join(facts['process'])}")
    if facts["classes"]:
        rows.insert(2, ("classes", ", ".join(map(str, facts["classes"]))))
    return _table(rows, numbers=False)


def _scores(facts):
    if not facts["scores"]:
        return _section("Scores", "<p>The model was fitted without validation (--cv).</p>")
    table, rows = pd.DataFrame(facts["scores"]), []
    forest = pd.DataFrame(facts["forest"] or {})
    header = ["", "mean", "standard deviation", *(f"fold {k}" for k in table.index)]
    for name in facts["scores"]:
        unit = f", {facts['unit']}" if facts["unit"] and name in ("mae", "rmse") else ""
        named = {SCORE_NAMES.get(name, name) + unit: table[name]}
        if name in forest:
            named["– of a forest"] = forest[name]
        for label, values in named.items():
            mean, *shown = (f"{v:.4g}" for v in [values.mean(), *values])
            rows.append([label, mean, f"{values.std(ddof=0):.2g}", *shown])
    note = f"<p>Rows left out in turn: {html.escape(str(facts['validation']))}.</p>"
    return _section("Scores", note + _table(rows, header))


def _held_out(folder, facts):
    """Plots of held-out predictions, and the rows that the model was most wrong about."""
    classification = facts["classification"]
    # Classes as they are written: "01" is not 1.
    dtype = dict.fromkeys(["y_true", "y_pred"], str if classification else float)
    columns = ["formula", "y_true", "y_pred", "fold"]
    if classification:
        columns += [f"probability {name}" for name in facts["classes"]]
    table = _read_csv(folder / "predictions.csv", columns, dtype)
    if table is None:
        return []
    from trisk.plotting import draw_predictions

    labels = {"quantity": facts["target"], "unit": facts["unit"]}
    displays = draw_predictions(table, classification=classification, **labels)
    figures = [_figure(name, display.figure_) for name, display in displays.items()]
    if classification:
        chance = [row.get(f"probability {row['y_true']}", 0.0) for _, row in table.iterrows()]
        doubt = 1 - pd.Series(chance, index=table.index)
    else:
        doubt = (table["y_pred"] - table["y_true"]).abs()
    rows = [
        [row["formula"], _short(row["y_true"]), _short(row["y_pred"]), line, row["fold"]]
        for line, row in table.iloc[doubt.reset_index(drop=True).nlargest(_WORST).index].iterrows()
    ]
    header = ["formula", "measured", "predicted", "line of the file", "fold"]
    note = "<p>Mistakes in the data are often found here.</p>"
    return [*figures, _section("Largest errors", note + _table(rows, header))]


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def _figure(name, drawn):
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
    plt.close(drawn)
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = html.escape(_CAPTIONS[name])
    image = f'<img alt="{caption}" src="data:image/png;base64,{picture}">'
    figure = f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return _section(name.capitalize(), figure)


def _training(model):
    from matplotlib import pyplot as plt

    from trisk.plotting._base import COLORS, plain_axes

    network = model if hasattr(model, "steps") else model.estimators_[0]
    history = network[-1].net_.history
    figure, ax = plt.subplots(figsize=(5.2, 3), layout="constrained")
    ax.plot([epoch["epoch"] for epoch in history], history[:, "train_loss"], color=COLORS[0])
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    plain_axes(ax)
    return _figure("training", figure)


def _trials(folder):
    trials = _read_csv(folder / "trials.csv", ["score", "state"])
    if trials is None:
        return ""
    best = trials.sort_values("score", ascending=False).head(_WORST)
    rows = [[number, *map(_short, row)] for number, *row in best.itertuples()]
    counts = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    note = f"<p>{len(trials)} trials: {html.escape(counts)}. The best:</p>"
    header = ["trial", *(c.removeprefix("model__") for c in best.columns)]
    return _section("Search", note + f'<div class="wide">{_table(rows, header)}</div>')


def _parameters(facts):
    table = _table(facts["parameters"].items(), numbers=False)
    return _section("Parameters", f"<details><summary>of the estimator</summary>{table}</details>")


def _use(folder, facts):
    command = html.escape(f"trisk predict {shlex.quote(str(folder))} new.csv --out predicted.csv")
    code = html.escape(
        f"import trisk\nmodel = trisk.load({str(folder / 'model.trisk')!r})\n"
        "model.predict(['Fe0.7Cr0.18Ni0.12'])"
    )
    if facts["structures"] or facts["process"]:
        code = code.rpartition("\n")[0]
    column = html.escape(facts["material"])
    return _section(
        "Use",
        f"<pre>{command}</pre><p>where new.csv has a column “{column}”, or in Python:</p>"
        f"<pre>{code}</pre>",
    )

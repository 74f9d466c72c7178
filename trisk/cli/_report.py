"""``trisk report``: everything that is known about a model on one page without links."""

import base64
import html
import io
import string
from pathlib import Path

import pandas as pd

from trisk.cli._errors import CommandError
from trisk.cli._models import read_facts, read_model
from trisk.data import data_file

_WORST = 10
_SCORE_NAMES = {
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
    "training": "Loss on the training rows while the final model was fitted.",
}


def run(options):
    """Write the page.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Raises
    ------
    CommandError
        If the folder holds no model or the page cannot be written.
    """
    folder = Path(options.model)
    page = render(folder)
    path = Path(options.out) if options.out else folder / "report.html"
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{str(path)!r} cannot be written: {error}") from error
    print(path)


def render(folder):
    """Make the page.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model.

    Returns
    -------
    page : str
        HTML with all pictures inside.
    """
    facts, model = read_facts(folder), read_model(folder)
    sections = [_summary(facts), _scores(facts)]
    table = _read_csv(folder / "predictions.csv") if facts["scores"] else None
    displays = {} if table is None else _draw(table, facts)
    sections += [_figure(name, display.figure_) for name, display in displays.items()]
    if table is not None:
        sections.append(_worst(table, facts))
    sections += [_training(model), _trials(folder), _parameters(facts), _use(folder, facts)]
    template = data_file("report.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        title=html.escape(f"{facts['target']}: a trisk model"),
        body="\n".join(section for section in sections if section),
    )


def _read_csv(path):
    return pd.read_csv(path, index_col=0) if path.is_file() else None


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
    rows = [
        ("predicts", facts["target"] + unit),
        ("from", f"formulas, column “{facts['formula']}”"),
        ("fitted on", f"{facts['n_rows']} rows of {facts['table']}"),
        ("recipe", facts["recipe"]),
        ("made", f"{facts['made']}, in {facts['seconds']} s"),
        ("with", ", ".join(f"{name} {v}" for name, v in facts["versions"].items())),
    ]
    if facts["classes"]:
        rows.insert(1, ("classes", ", ".join(map(str, facts["classes"]))))
    return _table(rows, numbers=False)


def _scores(facts):
    if not facts["scores"]:
        return _section("Scores", "<p>The model was fitted without validation (--cv).</p>")
    n_folds = len(next(iter(facts["scores"].values())))
    header = ["", "mean", "standard deviation", *(f"fold {k}" for k in range(n_folds))]
    rows = []
    for name, values in facts["scores"].items():
        unit = f", {facts['unit']}" if facts["unit"] and name in ("mae", "rmse") else ""
        series = pd.Series(values)
        shown = [f"{v:.4g}" for v in values]
        label = _SCORE_NAMES.get(name, name) + unit
        rows.append([label, f"{series.mean():.4g}", f"{series.std(ddof=0):.2g}", *shown])
    note = f"<p>Rows left out in turn: {html.escape(facts['validation'])}.</p>"
    return _section("Scores", note + _table(rows, header))


def _draw(table, facts):
    from trisk.plotting import draw_predictions

    return draw_predictions(
        table,
        classification=facts["classification"],
        quantity=facts["target"],
        unit=facts["unit"],
    )


def _figure(name, drawn):
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
    plt.close(drawn)
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = html.escape(_CAPTIONS[name])
    image = f'<img alt="{caption}" src="data:image/png;base64,{picture}">'
    return _section(
        name.capitalize(), f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    )


def _worst(table, facts):
    """Rows that the model was most wrong about: errors of the data are often among them."""
    if facts["classification"]:
        columns = {str(c): f"probability {c}" for c in facts["classes"]}
        chance = [row[columns[str(row["y_true"])]] for _, row in table.iterrows()]
        table = table.assign(doubt=1 - pd.Series(chance, index=table.index))
    else:
        table = table.assign(doubt=(table["y_pred"] - table["y_true"]).abs())
    rows = [
        [row["formula"], _short(row["y_true"]), _short(row["y_pred"]), index + 2, row["fold"]]
        for index, row in table.nlargest(_WORST, "doubt").iterrows()
    ]
    header = ["formula", "measured", "predicted", "line of the file", "fold"]
    note = "<p>Mistakes in the data are often found here.</p>"
    return _section("Largest errors", note + _table(rows, header))


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def _training(model):
    from trisk.plotting._style import COLORS, new_axes, plain_axes

    history = model[-1].net_.history
    ax = new_axes(None, (5.2, 3))
    ax.plot([epoch["epoch"] for epoch in history], history[:, "train_loss"], color=COLORS[0])
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    plain_axes(ax)
    return _figure("training", ax.figure)


def _trials(folder):
    trials = _read_csv(folder / "trials.csv")
    if trials is None:
        return ""
    best = trials.sort_values("score", ascending=False).head(_WORST)
    rows = [
        [number, *map(_short, row)] for number, row in zip(best.index, best.to_numpy(), strict=True)
    ]
    counts = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    note = f"<p>{len(trials)} trials: {counts}. The best:</p>"
    header = ["trial", *(c.removeprefix("model__") for c in best.columns)]
    return _section("Search", note + f'<div class="wide">{_table(rows, header)}</div>')


def _parameters(facts):
    rows = [(name, value) for name, value in facts["parameters"].items()]
    return _section(
        "Parameters",
        f"<details><summary>of the estimator</summary>{_table(rows, numbers=False)}</details>",
    )


def _use(folder, facts):
    name = html.escape(str(folder))
    return _section(
        "Use",
        f"<pre>trisk predict {name} new.csv --out predicted.csv</pre>"
        f"<p>where new.csv has a column “{html.escape(facts['formula'])}”, or in Python:</p>"
        f'<pre>import trisk\nmodel = trisk.load("{name}/model.trisk")\n'
        'model.predict(["Fe0.7Cr0.18Ni0.12"])</pre>',
    )

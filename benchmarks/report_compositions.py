"""Sections of the README about HybridTRIADS on formulas."""

import json

import numpy as np
from matbench import BOTH, COMPANION, FINE_TUNED, FORESTS, PRETRAINED, PRETRAINED_TREES, TRISK
from report_files import RESULTS, read

TITLES = {
    "steels": "steels, yield strength",
    "expt_gap": "experimental band gap",
    "expt_is_metal": "metal or not",
    "glass": "metallic glass",
    "jdft2d": "exfoliation energy, formulas only",
}


#: Columns of the table: title → model of ``matbench.py``.
MODELS = {
    "HybridTRIADS": TRISK,
    "HybridTRIADS + companion": BOTH.format(TRISK),
    "the companion alone": COMPANION.format(TRISK),
}


def results_of(task):
    """File of a task: of its recipe, or of the largest ensemble that ``--members`` named."""
    path = RESULTS / f"matbench_{task}.json"
    others = sorted(path.parent.glob(f"matbench_{task}_*_members.json"))
    return others[-1] if others and not path.exists() else path


def matbench_rows():
    """One Markdown row per task that was run: ours, the best forest of that run, difference."""
    for task, title in TITLES.items():
        path = results_of(task)
        if not path.exists():
            continue
        results = json.loads(path.read_text())
        metric = next(iter(results["scores"][TRISK]))
        sign = 1 if metric == "mae" else -1
        by_model = {n: np.array(s[metric]) for n, s in results["scores"].items()}
        best = min(FORESTS, key=lambda n: sign * by_model[n].mean())
        digits = 2 if by_model[best].mean() > 5 else 4
        score = "MAE, " + results["unit"] if metric == "mae" else "ROC-AUC of probabilities"
        values = [by_model.get(name) for name in (*MODELS.values(), best)]
        both = by_model.get(BOTH.format(TRISK))
        values.append(None if both is None else both - by_model[best])
        shown = [
            "–" if v is None else f"{v.mean():.{digits}f} ± {v.std():.{digits}f}" for v in values
        ]
        shown[-2] += f" ({best})"
        seconds = [results["seconds"].get(n) for n in (TRISK, BOTH.format(TRISK))]
        settings = results["settings"].get(TRISK, results["settings"])
        times = ", ".join("–" if time is None else f"{time:.0f}" for time in seconds)
        yield (
            f"| {title} ({results['n_samples']:,}) | {score} | {' | '.join(shown)} "
            f"| {settings['n_members']} | {times} |"
        )


def pretrained_rows():
    """One Markdown row per task: what pre-training changes, and how many formulas it knew."""
    overlap = read("pretraining_overlap")["tasks"]
    for task, title in TITLES.items():
        path = results_of(task)
        scores = json.loads(path.read_text())["scores"] if path.exists() else {}
        if PRETRAINED not in scores:
            continue
        metric = next(iter(scores[TRISK]))
        names = (TRISK, PRETRAINED, BOTH.format(PRETRAINED), PRETRAINED_TREES)
        scratch, ours, both, trees = (np.array(scores[n][metric]) for n in names)
        digits = 2 if ours.mean() > 5 else 4
        tuned = scores.get(BOTH.format(FINE_TUNED))
        tuned = None if tuned is None else np.array(tuned[metric])
        gain = None if tuned is None else tuned - scratch
        values = [
            "–" if v is None else f"{v.mean():.{digits}f} ± {v.std():.{digits}f}"
            for v in (scratch, ours, ours - scratch, tuned, gain, both, trees)
        ]
        counts = overlap[task]
        known = " ".join(
            f"{seen}/{rows}"
            for seen, rows in zip(counts["formation_energy_seen"], counts["rows"], strict=True)
        )
        yield f"| {title} | {' | '.join(values)} | {known} |"


def pretraining():
    """The pre-trained rows, if they were run."""
    rows = list(pretrained_rows())
    if not rows:
        return []
    return [
        "",
        (
            "The recipes of the README with the columns of the encoder that comes with trisk, "
            "pre-trained on calculated formation energies and band gaps (`pretrained=True`), in "
            "the same run; fine-tuned: the network from scratch with the encoder, trained on for "
            "the task, as its companion, whose weight held-out rows choose "
            '(`pretrained="fine-tuned"`, `--variants scratch pretrained fine-tuned`). '
            "No task's target was used; the last column counts the rows of each test fold whose "
            "formula, not its target, was among the training data "
            "(`python benchmarks/pretraining_overlap.py`):"
        ),
        "",
        (
            "| task | HybridTRIADS from scratch | pre-trained | difference, by fold "
            "| fine-tuned | difference to scratch, by fold | pre-trained + companion "
            "| ExtraTrees, Magpie and pre-trained columns "
            "| formulas seen, by test fold |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def coverage():
    """What ``interval_coverage.py`` measured, if it was run."""
    report = read("coverage")
    if report is None:
        return []
    kinds = list(dict.fromkeys(k for results in report.values() for k in results["coverage"]))
    rows = []
    for task in filter(report.get, TITLES):
        results = report[task]
        epochs = f"{results['members']} members, {results['epochs'] or 'all'} epochs"
        cells = [
            f"{np.mean(results['coverage'][k]):.1%} (width {np.mean(results['width'][k]):.3g})"
            if k in results["coverage"]
            else "–"
            for k in kinds
        ]
        rows.append(
            f"| {TITLES[task]}, {results['unit'] or 'labels'} | {epochs} | {' | '.join(cells)} |"
        )
    return [
        "",
        (
            "Coverage of nominal 90 % intervals on the official test folds, and their mean width, "
            "with companion (`python benchmarks/interval_coverage.py`; four fifths of each "
            "training fold train, the rest conforms through MAPIE; with fewer members and epochs "
            "than the recipe's where the table says so):"
        ),
        "",
        f"| task, unit of width | trained | {' | '.join(kinds)} |",
        f"|---|---|{'---|' * len(kinds)}",
        *rows,
    ]


def ablations():
    """What ``ablations.py`` measured, if it was run."""
    report = read("ablations")
    if report is None:
        return []
    tasks = [task for task in TITLES if task in report]
    changes = list(dict.fromkeys(c for task in tasks for c in report[task]["validation"]))
    rows = []
    for change in changes:
        cells = []
        for task in tasks:
            score = report[task]["validation"].get(change)
            digits = 1 if report[task]["unit"] in ("MPa", "meV/atom") else 4
            cells.append("–" if score is None else f"{score['mean']:.{digits}f}")
        rows.append(f"| {change} | {' | '.join(cells)} |")
    heads = [
        f"{TITLES[t]}, {report[t]['unit'] or 'AUC'} ({report[t]['splits']} × "
        f"{report[t]['training_rows']} rows{shortened(report[t])})"
        for t in tasks
    ]
    return [
        "",
        (
            "What each part is worth, on validation rows inside the training folds, without "
            "companion (`python benchmarks/ablations.py`, `--rows 600 --epochs 30` for the three "
            "large tasks; in brackets: inner splits and training rows of each, and epochs where "
            "fewer than the recipe's. With so few rows differences of a hundredth are noise):"
        ),
        "",
        f"| change to the recipe | {' | '.join(heads)} |",
        f"|---|{'---|' * len(tasks)}",
        *rows,
    ]


def implicit_members():
    """Members that share their weights beside members of their own."""
    report = read("implicit_members")
    if report is None:
        return []
    arms = list(dict.fromkeys(arm for scores in report["tasks"].values() for arm in scores))
    tasks = {task: next(iter(found.values()))["splits"] for task, found in report["tasks"].items()}
    rows = []
    for arm in arms:
        cells = []
        for task in tasks:
            score = report["tasks"][task].get(arm)
            digits = 4 if task in ("glass", "expt_is_metal") else 1
            cells.append(
                "–"
                if score is None
                else f"{score['mean']:.{digits}f} ± {score['std']:.{digits}f}, "
                f"{score['seconds']:.0f} s"
            )
        rows.append(f"| {arm} | {' | '.join(cells)} |")
    return [
        "",
        (
            "Members of an ensemble that share all matrices, as in TabM, beside members of their "
            "own, on validation rows inside the training folds "
            "(`python benchmarks/implicit_members.py`):"
        ),
        "",
        f"| | {' | '.join(f'{TITLES[t]} ({n} splits)' for t, n in tasks.items())} |",
        f"|---|{'---|' * len(tasks)}",
        *rows,
    ]


def shortened(results):
    """Epochs of a shorter training than the recipe's, as text."""
    return f", {results['epochs']} epochs" if results["epochs"] else ""


def threads():
    """What the seconds were measured on."""
    machine = read("matbench_steels")["machine"]
    plural = "s" if machine["torch_threads"] > 1 else ""
    return f"{machine['torch_threads']} thread{plural} of {machine['device']}"

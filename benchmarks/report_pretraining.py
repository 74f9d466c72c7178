"""Lines of ``docs/results.md`` on self-supervised pre-training, from the files in ``results/``."""

import numpy as np
from report_files import read

SIZES = ("50", "100", "300", "1000")
#: File of ``pretraining_transfer.py`` → how its models learn.
KINDS = {
    "pretraining_probes": "ridge regression on the frozen embedding",
    "pretraining_fine_tuning": "networks trained for 60 epochs, and forests (`--fine-tune`)",
}


#: Name of the README → arm of ``pretraining_transfer.py --fine-tune``.
FEW_LABELS = {
    'TriForces, `pretrained="sensors"`': "three streams, sensors of a potential",
    "TriForces from scratch": "three streams, from scratch",
    "ExtraTrees, Magpie and `TriForcesSensors`": "ExtraTrees, Magpie and predicted sensors",
    "ExtraTrees, Magpie": "ExtraTrees, Magpie",
}


def few_labels():
    """The README's short version of what few labels are good for."""
    report = read("pretraining_fine_tuning")
    if report is None:
        return []
    lines = []
    for task, scores in report["tasks"].items():
        for name, arm in FEW_LABELS.items():
            errors = scores["mae"].get(arm, {})
            lines.append(f"| {task}, {scores['unit']} | {name} | {_means(errors)} |")
    return [
        "",
        "**Few labels**: MAE on 250 other structures, mean of three draws of labels and test rows;",
        "networks train for 60 epochs in the default shape (`python",
        "benchmarks/pretraining_transfer.py ../shared/data --fine-tune`). What starts from sensors",
        "or predicts them has learned, beside the labels, from a potential's measurements of",
        "crystals of other formulas. The rate at which it is trained on was chosen on 1,012 phonon",
        "structures, to which four in five of the test rows of phonons belong; perovskites and InP",
        "had no say:",
        "",
        f"| task | model | {' | '.join(f'{int(size):,}' for size in SIZES)} |",
        f"|---|---|{'---|' * len(SIZES)}",
        *lines,
    ]


def transfer():
    """What pre-training is worth where labels are few."""
    lines = []
    for name, kind in KINDS.items():
        report = read(name)
        for task, scores in (report or {"tasks": {}})["tasks"].items():
            by_arm = scores["mae"]
            sizes = sorted({size for arm in by_arm.values() for size in arm}, key=int)
            lines += [
                "",
                (
                    f"{task}, {kind}: MAE in {scores['unit']}, mean over three draws of the labels "
                    "(lowest to highest)"
                ),
                "",
                f"| labels | {' | '.join(sizes)} |",
                f"|---|{'---|' * len(sizes)}",
                *(
                    f"| {arm} | {' | '.join(_spread(errors.get(size)) for size in sizes)} |"
                    for arm, errors in by_arm.items()
                ),
            ]
    if not lines:
        return []
    return [
        "",
        (
            "What the weights that come with trisk are worth where labels are few "
            "(`python benchmarks/pretraining_transfer.py ../shared/data`). The self-supervised "
            "ones have seen these structures, never a label; the sensors of a potential were "
            "those of crystals of other formulas. In the third draw of InP a cell of indium alone "
            "is tested, like no labelled one: there, ridge regression on the composition stream "
            "fails."
        ),
        *lines,
    ]


def _spread(errors):
    if not errors:
        return "–"
    return f"{np.mean(errors):.1f} ({min(errors):.1f} to {max(errors):.1f})"


def _means(errors):
    """Cells of a row: the mean for each number of labels."""
    return " | ".join(f"{np.mean(errors[s]):.1f}" if errors.get(s) else "–" for s in SIZES)


def card(names, left_out):
    """Scores for the card of some weights: a row for each task and arm but for those of others."""
    lines = [f"| MAE with so many labels | {' | '.join(SIZES)} |", f"|---|{'---|' * len(SIZES)}"]
    for name in names:
        kind = "frozen" if name == "pretraining_probes" else "trained on"
        for task, scores in (read(name) or {"tasks": {}})["tasks"].items():
            for arm, errors in scores["mae"].items():
                if left_out in arm:
                    continue
                lines.append(f"| {task}, {scores['unit']}, {kind}: {arm} | {_means(errors)} |")
    return "\n".join(lines)


def objectives():
    """What each objective of pre-training is for."""
    report = read("objective_ablation")
    if report is None:
        return []
    rows = report["rows"]
    sizes = {task: list(errors) for task, errors in next(iter(rows.values()))["errors"].items()}
    quantities = list(next(iter(next(iter(rows.values()))["probes"].values())))
    return [
        "",
        (
            f"Each objective alone, in pairs and all together: {report['structures']:,} "
            f"structures, {report['epochs']} epochs, one seed "
            "(`python benchmarks/objective_ablation.py`). MAE of a ridge regression on the frozen "
            "embedding by number of labels, mean of three draws:"
        ),
        "",
        "| objectives | "
        + " | ".join(f"{t}, {n}, {report['units'][t]}" for t, ns in sizes.items() for n in ns)
        + " |",
        f"|---|{'---|' * sum(map(len, sizes.values()))}",
        *(
            f"| {name} | "
            + " | ".join(
                f"{np.mean(row['errors'][t][n]):.1f}" for t, ns in sizes.items() for n in ns
            )
            + " |"
            for name, row in rows.items()
        ),
        "",
        "What their streams tell by linear probes, as in the matrix of probes:",
        "",
        f"| objectives | stream | {' | '.join(quantities)} |",
        f"|---|---|{'---|' * len(quantities)}",
        *(
            f"| {name} | {stream} | {' | '.join(f'{scores[q]:.2f}' for q in quantities)} |"
            for name, row in rows.items()
            for stream, scores in row["probes"].items()
        ),
    ]


def objectives_trained_on():
    """What each objective is worth to networks that are then trained on few labels."""
    report = read("objective_fine_tuning")
    if report is None:
        return []
    return [
        "",
        (
            "Pre-trained by each objective as above and then trained on 100 phonon frequencies "
            f"for {report['epochs']} epochs: MAE in cm⁻¹ on 400 other training rows of the first "
            "fold, two draws of labels (`python benchmarks/objective_fine_tuning.py`). Seeds make "
            "as large a difference as objectives do:"
        ),
        "",
        "| start | first draw | second draw |",
        "|---|---|---|",
        *(
            f"| {name} | {first:.1f} | {second:.1f} |"
            for name, (first, second) in report["mae"].items()
        ),
    ]


def rates():
    """How fast to train on what was learned before."""
    report = read("pretrained_rates")
    if report is None:
        return []
    sizes = sorted({size for errors in report["mae"].values() for size in errors}, key=int)
    return [
        "",
        (
            'The choice behind `pretrained_rate="auto"`: MAE of phonon frequencies in cm⁻¹ on 250 '
            "training rows of the first fold, learned from others of them, two draws (`python "
            "benchmarks/pretrained_rates.py`). The number is the part of the learning rate at "
            "which pre-trained weights change:"
        ),
        "",
        f"| labels | {' | '.join(sizes)} |",
        f"|---|{'---|' * len(sizes)}",
        *(
            f"| {name} | "
            + " | ".join(", ".join(f"{e:.1f}" for e in errors[s].values()) for s in sizes)
            + " |"
            for name, errors in report["mae"].items()
        ),
    ]

"""Fill the README's table from the JSON files in ``results/``.

python benchmarks/report.py
"""

import json
from pathlib import Path

import numpy as np
from matbench import BOTH, COMPANION, FORESTS, PRETRAINED, PRETRAINED_TREES, TRISK
from report_potentials import cost, derivatives, errors
from report_retrieval import index, probes, retrieval, spectra

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
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
    path = HERE / "results" / f"matbench_{task}.json"
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
    overlap = json.loads((HERE / "results" / "pretraining_overlap.json").read_text())["tasks"]
    for task, title in TITLES.items():
        path = results_of(task)
        scores = json.loads(path.read_text())["scores"] if path.exists() else {}
        if PRETRAINED not in scores:
            continue
        metric = next(iter(scores[TRISK]))
        names = (TRISK, PRETRAINED, BOTH.format(PRETRAINED), PRETRAINED_TREES)
        scratch, ours, both, trees = (np.array(scores[n][metric]) for n in names)
        digits = 2 if ours.mean() > 5 else 4
        values = [
            f"{v.mean():.{digits}f} ± {v.std():.{digits}f}"
            for v in (scratch, ours, ours - scratch, both, trees)
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
            "The same recipes with the columns of the encoder that comes with trisk, pre-trained "
            "on calculated formation energies and band gaps (`pretrained=True`), in the same run. "
            "No task's target was used; the last column counts the rows of each test fold whose "
            "formula, not its target, was among the training data "
            "(`python benchmarks/pretraining_overlap.py`):"
        ),
        "",
        (
            "| task | HybridTRIADS from scratch | pre-trained | difference, by fold "
            "| pre-trained + companion | ExtraTrees, Magpie and pre-trained columns "
            "| formulas seen, by test fold |"
        ),
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def structures():
    """What ``structures.py`` measured, models that were run on all five folds."""
    rows = []
    for task, title in (("phonons", "highest phonon frequency"), ("jdft2d", "exfoliation energy")):
        path = HERE / "results" / f"structures_{task}.json"
        if not path.exists():
            continue
        report = json.loads(path.read_text())
        for model, folds in report["models"].items():
            if len(folds) == 5:
                errors = np.array([fold["mae"] for fold in folds.values()])
                score = f"{errors.mean():.2f} ± {errors.std():.2f} {report['unit']}"
                potential = "yes" if "force constants" in model else "no"
                rows.append(
                    f"| {title} ({report['n_samples']:,}) | {model} | {potential} | {score} |"
                )
    if not rows:
        return []
    return [
        "",
        (
            "From structures, without pre-training, official folds "
            "(`python benchmarks/structures.py phonons`, `jdft2d`; GraphTRIADS with one network of "
            "25 epochs, `order=2`; its settings were chosen on validation rows inside training "
            "folds; on jdft2d it learns the energy per area of the layer, and without layers the "
            "energy itself; a row that uses an interatomic potential says so):"
        ),
        "",
        "| task (structures) | model | a potential | MAE |",
        "|---|---|---|---|",
        *rows,
        *sensor_ablation(),
    ]


def sensor_ablation():
    """The same network with one kind of sensor after the other, if that was run."""
    path = HERE / "results" / "structures_phonons_ablation.json"
    if not path.exists():
        return []
    report = json.loads(path.read_text())
    folds = sorted({fold for done in report["models"].values() for fold in done})
    rows = []
    for model, done in report["models"].items():
        scores = [f"{done[fold]['mae']:.2f}" if fold in done else "–" for fold in folds]
        rows.append(f"| {model} | {' | '.join(scores)} |")
    return [
        "",
        (
            "What each kind of sensor is worth to GraphTRIADS on phonons, MAE in cm⁻¹ on the test "
            "folds that were run, one network (`python benchmarks/structures.py phonons "
            "--ablation`):"
        ),
        "",
        f"| sensors | {' | '.join(f'fold {f}' for f in folds)} |",
        f"|---|{'---|' * len(folds)}",
        *rows,
    ]


def coverage():
    """What ``interval_coverage.py`` measured, if it was run."""
    path = HERE / "results" / "coverage.json"
    if not path.exists():
        return []
    report = json.loads(path.read_text())
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


def sensors():
    """Phonons with and without an interatomic potential, if that was run."""
    path = HERE / "results" / "sensors_phonons_dos.json"
    if not path.exists():
        return []
    results = json.loads(path.read_text())
    potential = results["potential"]
    rows = sorted(results["mae"].items(), key=lambda item: np.mean(item[1]))
    return [
        "",
        (
            "Highest peak of the phonon density of states (1,265 structures), official folds, one "
            "run (`python benchmarks/sensors.py phonons --dos`, which says how). Rows with sensors "
            "use "
            f"{potential['name']}, a potential trained on {potential['trained_on']}, and stand "
            "apart from those that see the fold alone:"
        ),
        "",
        "| model: columns | a potential | MAE, cm⁻¹ |",
        "|---|---|---|",
        *(
            f"| {name} | {'yes' if 'sensors' in name else 'no'} "
            f"| {np.mean(values):.2f} ± {np.std(values):.2f} |"
            for name, values in rows
        ),
    ]


def ablations():
    """What ``ablations.py`` measured, if it was run."""
    path = HERE / "results" / "ablations.json"
    if not path.exists():
        return []
    report = json.loads(path.read_text())
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


def shortened(results):
    """Epochs of a shorter training than the recipe's, as text."""
    return f", {results['epochs']} epochs" if results["epochs"] else ""


def threads():
    """What the seconds were measured on."""
    machine = json.loads((HERE / "results" / "matbench_steels.json").read_text())["machine"]
    plural = "s" if machine["torch_threads"] > 1 else ""
    return f"{machine['torch_threads']} thread{plural} of {machine['device']}"


def table():
    """The section of the README."""
    speed = json.loads((HERE / "results" / "featurization_speed.json").read_text())
    magpie = speed["magpie_against_matminer"]
    return "\n".join(
        [
            "Official Matbench folds, mean ± standard deviation over the five test folds, all",
            "models in one run on the same rows (`python benchmarks/matbench.py all`; seconds on",
            f"{threads()}, two tasks side by side and other work beside them; the column networks",
            "gives the members of an ensemble, with `--members 4 --no-pretrained` for four):",
            "",
            (
                f"| task (rows) | score | {' | '.join(MODELS)} | best of three untuned forests "
                "| with companion minus forest, by fold | networks "
                "| seconds of five folds, without and with companion |"
            ),
            f"|---|---|{'---|' * len(MODELS)}---|---|---|---|",
            *matbench_rows(),
            *pretraining(),
            *structures(),
            *coverage(),
            *sensors(),
            *ablations(),
            "",
            (
                "Magpie descriptors of 5,000 formulas, one process "
                "(`python benchmarks/featurization_speed.py`): "
                f"{magpie['trisk_per_s']:,.0f} formulas/s, "
                f"{magpie['ratio_from_strings']:,.0f} times matminer's rate in the same run; "
                f"largest difference in value {magpie['largest_difference']:.0e}."
            ),
            *training_speed(),
            *derivatives(),
            *cost(),
            *errors(),
            *retrieval(),
            *index(),
            *probes(),
            *spectra(),
        ]
    )


def training_speed():
    """What ``training_speed.py`` measured, if it was run."""
    path = HERE / "results" / "training_speed.json"
    if not path.exists():
        return []
    report = json.loads(path.read_text())
    steps, protocol = report["published_network"], report["protocol"]
    plain = protocol["plain"]
    extrapolated = "" if "seconds" in plain else " (extrapolated from its steps)"
    full_path = path.with_stem("training_speed_full")
    full = json.loads(full_path.read_text())["protocol"] if full_path.exists() else None
    return [
        "",
        (
            f"Training on steels, {report['machine']['threads']} threads "
            "(`python benchmarks/training_speed.py`): the published network with 25 members in one "
            f"batch takes {steps['ms_per_step_and_model']['trisk, 25 members']:.1f} ms a step and "
            f"model, {steps['ratio_to_plain']['trisk, 25 members']:.1f} times as fast as a plain "
            "PyTorch loop in the same run; the steels recipe takes "
            f"{protocol['trisk']['seconds']:.0f} s for all five folds (test MAE "
            f"{protocol['trisk']['test_mae_mpa']:.1f} MPa), {protocol['ratio']:.0f} times as fast "
            f"as the published protocol in that loop{extrapolated}."
        ),
        *([] if full is None else ["", whole_protocols(full)]),
    ]


def whole_protocols(protocol):
    """Both protocols run to the end, with their errors."""
    recipe, plain = protocol["trisk"], protocol["plain"]
    return (
        "Both run to the end on one thread (`--threads 1 --full`): recipe "
        f"{recipe['seconds']:.0f} s, test MAE {recipe['test_mae_mpa']:.1f} MPa; plain loop "
        f"{plain['seconds']:,.0f} s with other work beside it, "
        f"{plain['seconds_extrapolated']:,.0f} s by its undisturbed steps, test MAE "
        f"{plain['test_mae_mpa']:.1f} MPa: at least "
        f"{plain['seconds_extrapolated'] / recipe['seconds']:.0f} times as fast at a lower error."
    )


def main():
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")
    print(table())


if __name__ == "__main__":
    main()

"""Sections of the README about crystals and their phonons."""

import numpy as np
from report_files import read

N_FOLDS = 5
TITLES = {
    "phonons": "Highest phonon frequency",
    "jdft2d": "Exfoliation energy",
    "perovskites": "Formation energy of perovskites",
}


def structures():
    """What ``structures.py`` measured: a table for each task, best model first."""
    tables = []
    for task, title in TITLES.items():
        report = read(f"structures_{task}")
        if report is not None:
            tables += _structure_table(title, report)
    if not tables:
        return []
    return [
        "",
        "From structures, five folds each (`python benchmarks/structures.py TASK`):",
        "",
        "- GraphTRIADS is one network of 25 epochs, TriForces one of 60; both, and that their mean",
        "  is taken, were chosen on validation rows inside training folds.",
        "- Of exfoliation energies, GraphTRIADS learns the energy per area of a layer, and without",
        "  layers the energy itself.",
        "- The perovskites are the 7,572 at hand of Matbench's 18,928; networks have six epochs.",
        "  Nothing was tuned for them, but that TriForces attends to atoms was tried on validation",
        "  rows of theirs, too.",
        "- What a model has seen beside the training fold, if anything, is in the second column.",
        *tables,
    ]


def _structure_table(title, report):
    models = {name: folds for name, folds in report["models"].items() if folds}
    means = {name: np.mean([f["mae"] for f in folds.values()]) for name, folds in models.items()}
    lines = [
        "",
        f"**{title}** ({report['n_samples']:,} structures), MAE in {report['unit']}:",
        "",
        "| model | seen beside the fold | MAE |",
        "|---|---|---|",
    ]
    for name in sorted(models, key=means.get):
        errors = [fold["mae"] for fold in models[name].values()]
        score = f"{means[name]:.2f} ± {np.std(errors):.2f}"
        if len(errors) < N_FOLDS:
            of_other = report["models"].get("GraphTRIADS", {})
            others = [of_other[fold]["mae"] for fold in models[name] if fold in of_other]
            score = f"{means[name]:.2f} on fold {', '.join(models[name])} alone"
            score += f" (GraphTRIADS there {np.mean(others):.2f})" if others else ""
        seen = "–"
        if "TensorNet" in name:
            seen = "a potential's energies and forces"
        elif "pre-trained on sensors" in name or "predicted sensors" in name:
            seen = "a potential's sensors of crystals of other formulas"
        elif "self-supervised" in name:
            seen = "the structures of all folds, no label"
        lines.append(f"| {name} | {seen} | {score} |")
    return lines


def validation():
    """How the mean of two networks of phonons was chosen."""
    report = read("structures_phonons_validation")
    if report is None:
        return []
    errors = {
        name: [f"{fold['mae']:.2f}" for fold in folds.values()]
        for name, folds in report["models"].items()
    }
    return [
        "",
        (
            "Networks and the mean of two of them on phonons, judged on 250 training rows of the "
            "first fold in two draws: MAE in cm⁻¹ (`python benchmarks/structures.py phonons "
            "--validation`, `--models` with these names)"
        ),
        "",
        "| model | first draw | second draw |",
        "|---|---|---|",
        *(f"| {name} | {' | '.join(shown)} |" for name, shown in errors.items()),
    ]


def sensor_ablation():
    """The same network with one kind of sensor after the other, if that was run."""
    report = read("structures_phonons_ablation")
    if report is None:
        return []
    folds = sorted({fold for done in report["models"].values() for fold in done})
    rows = []
    for model, done in report["models"].items():
        errors = [done[fold]["mae"] for fold in folds if fold in done]
        scores = [f"{done[fold]['mae']:.2f}" if fold in done else "–" for fold in folds]
        mean = f"{np.mean(errors):.2f} ± {np.std(errors):.2f}" if len(errors) > 1 else "–"
        rows.append(f"| {model} | {' | '.join(scores)} | {mean} |")
    return [
        "",
        (
            "What each kind of sensor is worth to GraphTRIADS on phonons, MAE in cm⁻¹ on the test "
            "folds that were run, one network (`python benchmarks/structures.py phonons "
            "--ablation`):"
        ),
        "",
        f"| sensors | {' | '.join(f'fold {f}' for f in folds)} | mean of these |",
        f"|---|---|{'---|' * len(folds)}",
        *rows,
    ]


def stream_ablation():
    """What TriForces gains from attention over atoms and from properties of the elements."""
    report = read("stream_ablation")
    if report is None:
        return []
    lines = []
    for task, found in report["tasks"].items():
        n_folds = len(next(iter(found["validation_mae"].values())))
        lines += [
            "",
            (
                f"TriForces on validation rows of {n_folds} training folds of {task}, "
                f"{found['epochs']} epochs: MAE in {found['unit']} "
                f"(`python benchmarks/stream_ablation.py {task}`)"
            ),
            "",
            f"| pooling, elements | {' | '.join(map(str, range(n_folds)))} | mean |",
            f"|---|{'---|' * n_folds}---|",
            *(
                f"| {arm} | {' | '.join(f'{e:.1f}' for e in errors)} | {np.mean(errors):.1f} |"
                for arm, errors in found["validation_mae"].items()
            ),
        ]
    return lines


def sensors():
    """Phonons and perovskites with and without an interatomic potential, where they were run."""
    lines = []
    for stem, title, command, unit in (
        (
            "sensors_phonons_dos",
            "Highest peak of the phonon density of states (1,265 structures), official folds",
            "phonons --dos",
            "cm⁻¹",
        ),
        (
            "sensors_perovskites",
            (
                "Formation energies of 7,572 of Matbench's perovskites, five folds; sensors are "
                "energy, stress and forces, and corrected is the potential's formation energy, "
                "whose references are fitted to the training rows; the data call their energies "
                "those of a cell, but against the potential they are those of an atom"
            ),
            "perovskites",
            "meV/atom",
        ),
    ):
        results = read(stem)
        if results is not None:
            lines += _sensor_table(results, title, command, unit)
    return lines


def _sensor_table(results, title, command, unit):
    """One table of rows with and without a potential."""
    potential = results["potential"]
    rows = sorted(results["mae"].items(), key=lambda item: np.mean(item[1]))
    return [
        "",
        (
            f"{title}, one run (`python benchmarks/sensors.py {command}`, which "
            f"says how). Rows with sensors use {potential['name']}, a potential trained on "
            f"{potential['trained_on']}, and stand apart from those that see the fold alone:"
        ),
        "",
        f"| model: columns | a potential | MAE, {unit} |",
        "|---|---|---|",
        *(
            f"| {name} | {'yes' if 'sensors' in name else 'no'} "
            f"| {np.mean(values):.2f} ± {np.std(values):.2f} |"
            for name, values in rows
        ),
    ]


def sensor_cost():
    """Seconds of each sensor against the size of a structure, if they were measured."""
    report = read("sensors_cost")
    if report is None:
        return []
    rows = report["seconds_per_structure"]
    sensors = [name for name in rows[0] if name not in ("atoms", "structures")]
    return [
        "",
        (
            "What the sensors cost: seconds per phonon structure on one thread beside other work, "
            "displacements reduced by symmetry, several structures in a batch "
            "(`python benchmarks/sensors.py cost`):"
        ),
        "",
        f"| atoms | {' | '.join(sensors)} |",
        f"|---|{'---|' * len(sensors)}",
        *(f"| {row['atoms']} | {' | '.join(f'{row[s]:.2g}' for s in sensors)} |" for row in rows),
    ]


def training_steps():
    """What one training step takes against the size of the cell, if that was measured."""
    sizes = read("graph_building")["sizes"]
    if "step_mb" not in sizes[0]:
        return []
    small, large = sizes[0], sizes[-1]
    order = "training step, order=3"
    return [
        "",
        (
            "One step of training GraphTRIADS (third order, one network, four cycles) on one "
            f"crystal takes {1e3 * small['step_seconds'][order]:.0f} ms and "
            f"{small['step_mb'][order]:.1f} MB with {small['n_atoms']} atoms in the cell, "
            f"{1e3 * large['step_seconds'][order]:.0f} ms and {large['step_mb'][order]:.0f} MB "
            f"with {large['n_atoms']} (`python benchmarks/graph_building.py --sizes`; CPU time of "
            "one thread):"
        ),
        "",
        (
            "![Time and memory of graphs and training steps against atoms per cell]"
            "(../benchmarks/results/graph_building.png)"
        ),
    ]

"""Sections of the README about speed."""

from report_files import read


def training_speed():
    """What ``training_speed.py`` measured, if it was run."""
    report = read("training_speed")
    if report is None:
        return []
    steps, protocol = report["published_network"], report["protocol"]
    plain = protocol["plain"]
    extrapolated = "" if "seconds" in plain else " (extrapolated from its steps)"
    full = (read("training_speed_full") or {}).get("protocol")
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


def batched_trials():
    """What ``batched_trials.py`` measured, if it was run."""
    report = read("batched_trials")
    if report is None:
        return []
    ratios = ", ".join(f"{row['ratio']:.2f}" for row in report["rows"])
    members = ", ".join(str(row["members"]) for row in report["rows"])
    return [
        "",
        (
            "A search on steels (`python benchmarks/batched_trials.py`): "
            f"{report['trials']} trials of equal shape in one batch (`trials_together`) run "
            f"{ratios} times as many a minute as one after the other, for ensembles of {members} "
            f"networks; {report['folds']} folds, {report['epochs']} epochs, CPU time of one thread."
        ),
    ]

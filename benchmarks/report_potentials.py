"""The README's lines on potentials, from the JSON files in ``results/``."""

from report_files import read


def derivatives():
    """How exact forces and stresses are, and how well energy is kept."""
    report = read("potential_physics")
    if report is None:
        return []
    rows = report["finite differences"]
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    constant = report["constant energy"]
    worst = max(max(row["forces"], row["stress"]) for row in rows)
    return [
        "",
        (
            "Potentials (`python benchmarks/potential_physics.py`): forces and stresses differ "
            f"from central differences of the energy by at most {worst:.0e} eV/Å or eV/Å³ in "
            f"double precision, for {len(rows)} pairs of a backbone ({', '.join(backbones)}) and a "
            f"set of streams; a fitted potential of silicon keeps the energy of "
            f"{constant['atoms']} atoms over {constant['steps']:,} steps within "
            f"{constant['largest deviation of the total energy (meV/atom)']:.2f} meV/atom."
        ),
    ]


def cost():
    """What the streams add to the time of energy and forces."""
    report = read("stream_cost")
    if report is None:
        return []
    small, large = report["rows"][1], report["rows"][-1]
    step = report["training step"]
    times = ", ".join(f"{name} {1e3 * value:.0f} ms" for name, value in step["seconds"].items())
    return [
        "",
        (
            "Both other streams make the energy and forces of the built-in backbone "
            f"{small['relative']['+ both']:.2f} times as dear for {small['n_atoms']:,} atoms and "
            f"{large['relative']['+ both']:.2f} times for {large['n_atoms']:,}. One step of "
            f"training on energies and forces of {step['crystals']} crystals with "
            f"{step['atoms']} atoms, one thread: {times} (`python benchmarks/stream_cost.py`)."
        ),
    ]


def errors():
    """Errors of potentials of equal size: a line for each set of frames, a column for each arm."""
    rows = read("potentials")
    if not rows:
        return []
    arms, runs = list(dict.fromkeys(row["arm"] for row in rows)), _by_frames(rows)
    return [
        "",
        (
            f"Potentials trained on the same frames in the same run, of some 100,000 parameters "
            f"each (`python benchmarks/potentials.py --steps {rows[0]['steps']}`): mean absolute "
            "errors on test frames of energy in meV/atom, forces in meV/Å and stress in meV/Å³. "
            "MACE's network has tables for all elements, and the CPU time of the arm with both "
            "streams: a few epochs, or less than one where the cell is empty. Run while elements "
            "still started from random vectors. " + _claim(runs, arms)
        ),
        "",
        "| training frames | " + " | ".join(arms) + " |",
        "|---|" + "---|" * len(arms),
        *(
            f"| {system}, {size} | " + " | ".join(_cell(of_arm.get(arm)) for arm in arms) + " |"
            for (system, size), of_arm in runs.items()
        ),
    ]


def _by_frames(rows):
    runs = {}
    for row in rows:
        runs.setdefault((row["system"], row["size"]), {})[row["arm"]] = row
    return runs


def _cell(row):
    if row is None:
        return ""
    return f"{row['energy']:.1f} / {row['forces']:.0f} / {row['stress']:.1f}"


def _claim(runs, arms):
    """How often streams lower the error of the energy, and how often not at the forces' cost."""
    parts = []
    for arm in arms:
        pairs = [(of[arm], of["backbone"]) for of in runs.values() if {arm, "backbone"} <= set(of)]
        if arm in ("backbone", "MACE") or not pairs:
            continue
        lower = [new["energy"] < old["energy"] for new, old in pairs]
        both = [
            low and new["forces"] <= old["forces"]
            for low, (new, old) in zip(lower, pairs, strict=True)
        ]
        parts.append(f"{arm.removeprefix('+ ')} {sum(lower)} ({sum(both)})")
    return (
        f"Of {len(runs)} sets of training frames, streams lower the error of the energy below that "
        "of the widened backbone in (and without raising that of the forces in): "
        + ", ".join(parts)
        + "."
    )

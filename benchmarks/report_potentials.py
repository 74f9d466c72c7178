"""The README's lines on potentials, from the JSON files in ``results/``."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def _read(name):
    path = RESULTS / name
    return json.loads(path.read_text()) if path.exists() else None


def derivatives():
    """How exact forces and stresses are, and how well energy is kept."""
    report = _read("potential_physics.json")
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
    report = _read("stream_cost.json")
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
    """Errors of potentials of equal size, arm by arm."""
    rows = _read("potentials.json")
    if not rows:
        return []
    return [
        "",
        (
            "Potentials trained on the same frames in the same run, of some 100,000 parameters "
            "each (`python benchmarks/potentials.py`; MACE's network has tables for all elements, "
            "and the CPU time of the arm with both streams): mean absolute errors on test frames"
        ),
        "",
        "| frames | arm | parameters | CPU s | energy, meV/atom | forces, meV/Å | stress, meV/Å³ |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['system']}, {row['size']} ({row['epochs']} epochs) | {row['arm']} "
            f"| {row['parameters']:,} | {row['CPU seconds']:.0f} | {row['energy']:.1f} "
            f"| {row['forces']:.0f} | {row['stress']:.2f} |"
            for row in rows
        ),
    ]

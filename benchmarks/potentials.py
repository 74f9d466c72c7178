"""Energies, forces and stresses of InP, Ge, Li, Mo and Si: what the streams add.

    python benchmarks/potentials.py InP --sizes 100 300 --steps 1000

Trains potentials of about equally many parameters on the same frames and in the same run: the
built-in backbone alone, widened; with the composition stream; with the structural stream; with
both; and, where mace-torch is installed, MACE's network in the same training loop for the CPU time
that the arm with both streams took. Train and test sets as given; InP is divided once, four to
one within every group of frames. The settings were chosen on frames kept aside from training sets.
Appends to benchmarks/results/potentials.json after every training and skips what is there, so a
run can go on later. One thread.
"""

import argparse
import importlib.util
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase.io import read

from trisk import TriForcesPotential

HERE = Path(__file__).resolve().parent
SYSTEMS = ("InP", "Ge", "Li", "Mo", "Si")
BOTH = ("composition", "structure", "interaction")
#: Streams and width of each arm: widths give about 100,000 parameters each.
ARMS = {
    "backbone": {"streams": ("interaction",), "hidden_dim": 54},
    "+ composition": {"streams": ("composition", "interaction"), "hidden_dim": 40},
    "+ structure": {"streams": ("structure", "interaction"), "hidden_dim": 40},
    "+ both": {"streams": BOTH, "hidden_dim": 32},
    "MACE": {"streams": ("interaction",), "backbone": "mace", "hidden_dim": 16, "n_layers": 2},
}
COMMON = {"cutoff": 5.0, "n_layers": 3, "batch_size": 4, "learning_rate": 5e-3}


def load(system, data):
    """Training and test frames."""
    if system != "InP":
        return [read(data / f"mlearn_{system}_{part}.extxyz.gz", ":")
                for part in ("training", "test")]  # fmt: skip
    frames = read(data / "inp.extxyz.gz", ":")
    groups = np.array([frame.info["group"] for frame in frames])
    test = np.zeros(len(frames), dtype=bool)
    rng = np.random.default_rng(0)
    for group in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == group))
        test[rows[: round(len(rows) / 5)]] = True
    return ([frames[i] for i in np.flatnonzero(~test)], [frames[i] for i in np.flatnonzero(test)])


def errors(potential, frames):
    """Mean absolute errors in meV/atom, meV/Å and meV/Å³."""
    results = potential.predict(frames)
    counts = np.array([len(frame) for frame in frames])
    energies = np.array([frame.get_potential_energy() for frame in frames])
    forces = np.concatenate([frame.get_forces() for frame in frames])
    stresses = np.array([frame.get_stress() for frame in frames])
    return {
        "energy": 1e3 * float(np.abs((results["energy"] - energies) / counts).mean()),
        "forces": 1e3 * float(np.abs(np.concatenate(results["forces"]) - forces).mean()),
        "stress": 1e3 * float(np.abs(results["stress"] - stresses).mean()),
    }


def seconds_per_epoch(settings, frames):
    started = time.process_time()
    TriForcesPotential(**settings | {"max_epochs": 1}).fit(frames)
    return time.process_time() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("systems", nargs="*", default=SYSTEMS)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 300, 0], help="0 for all")
    parser.add_argument("--steps", type=int, default=4000, help="steps of each training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--validate", action="store_true",
                        help="judge on frames kept from the training set")  # fmt: skip
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "potentials.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    has_mace = importlib.util.find_spec("mace") is not None
    for system in arguments.systems:
        train, test = load(system, arguments.data)
        for size in arguments.sizes:
            n_frames = min(size or len(train), len(train))
            for seed in range(arguments.seeds):
                order = np.random.default_rng(seed).permutation(len(train))
                chosen = [train[i] for i in order[:n_frames]]
                judged = [train[i] for i in order[-100:]] if arguments.validate else test
                assert n_frames <= len(train) - 100 * arguments.validate
                for arm in arguments.arms:
                    if arm == "MACE" and not has_mace:
                        continue
                    key = {"system": system, "size": n_frames, "seed": seed, "arm": arm,
                           "steps": arguments.steps, "validation": arguments.validate}  # fmt: skip
                    if any(row.items() >= key.items() for row in rows):
                        continue
                    settings = COMMON | ARMS[arm] | {"random_state": seed}
                    settings["max_epochs"] = max(1, round(arguments.steps * 4 / n_frames))
                    if arm == "MACE":
                        same = key | {"arm": "+ both"}
                        limit = next(r["CPU seconds"] for r in rows if r.items() >= same.items())
                        epochs = int(limit / seconds_per_epoch(settings, chosen))
                        if not epochs:
                            print(f"{system} {n_frames} MACE: one epoch takes longer", flush=True)
                            continue
                        settings["max_epochs"] = epochs
                    started = time.process_time()
                    potential = TriForcesPotential(**settings).fit(chosen)
                    row = key | {
                        "epochs": settings["max_epochs"],
                        "CPU seconds": time.process_time() - started,
                        "parameters": sum(
                            p.numel()
                            for p in potential.nets_[0].module_.parameters()
                            if p.requires_grad
                        ),
                        **errors(potential, judged),
                    }
                    rows.append(row)
                    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")
                    print(f"{system} {n_frames} {arm:14} {row['parameters']:7d} parameters, "
                          f"{row['CPU seconds']:.0f} s: {row['energy']:.1f} meV/atom, "
                          f"{row['forces']:.0f} meV/Å, {row['stress']:.2f} meV/Å³",
                          flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

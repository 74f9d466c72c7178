"""What the streams cost at inference: energy and forces of 10 to 10,000 atoms.

    python benchmarks/stream_cost.py

Times the built-in backbone alone, with each stream and with both, and MACE where it is installed,
on rattled rock salt in single precision, with the default widths of TriForcesPotential and a cutoff
of 5 Å. Neighbours are found beforehand. Writes benchmarks/results/stream_cost.json and .png. One
thread, or the first CUDA device with --device cuda.
"""

import argparse
import importlib.util
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np
import torch
from ase.build import bulk

from trisk.estimators._crystals import read_crystals, to_batch
from trisk.estimators._streams import build_potential_network

HERE = Path(__file__).resolve().parent
CUTOFF = 5.0
ARMS = {
    "backbone": ("interaction",),
    "+ composition": ("composition", "interaction"),
    "+ structure": ("structure", "interaction"),
    "+ both": ("composition", "structure", "interaction"),
}
REPEATS = {8: (1, 1, 1), 64: (2, 2, 2), 216: (3, 3, 3), 1000: (5, 5, 5), 2744: (7, 7, 7),
           10648: (11, 11, 11)}  # fmt: skip


def network(streams, backbone="builtin", hidden_dim=64, n_layers=3):
    torch.manual_seed(0)
    return build_potential_network(
        backbone=backbone, backbone_params={}, streams=streams, cutoff=CUTOFF,
        hidden_dim=hidden_dim, n_layers=n_layers, stoichiometry="counts", class_token=False,
        references={}, scale=1.0,
    ).eval()  # fmt: skip


def seconds(model, batch, budget):
    """CPU (or, on CUDA, wall) seconds of the fastest of some calls."""
    cuda = batch.positions.is_cuda
    clock = time.perf_counter if cuda else time.process_time
    fastest, started = np.inf, clock()
    for _ in range(20):
        before = clock()
        model(batch)
        if cuda:
            torch.cuda.synchronize()
        fastest = min(fastest, clock() - before)
        if clock() - started > budget:
            break
    return fastest


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--largest", type=int, default=10648, help="most atoms")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds per measurement")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "stream_cost.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    models = {name: network(streams) for name, streams in ARMS.items()}
    if importlib.util.find_spec("mace") is not None:
        models["MACE, 64 channels, 2 layers"] = network(("interaction",), "mace", 64, 2)
    models = {name: model.to(arguments.device) for name, model in models.items()}
    n_parameters = {n: sum(p.numel() for p in m.parameters()) for n, m in models.items()}
    rows = []
    for n_atoms, repeat in REPEATS.items():
        if n_atoms > arguments.largest:
            break
        crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(repeat)
        crystal.rattle(0.1, seed=0)
        graphs = read_crystals([crystal], CUTOFF)
        batch = to_batch(graphs, arguments.device)
        row = {"n_atoms": n_atoms, "n_neighbors": len(graphs.bond_atoms) / n_atoms, "seconds": {}}
        for name, model in models.items():
            if name.startswith("MACE") and n_atoms > 3000:
                continue  # memory
            row["seconds"][name] = seconds(model, batch, arguments.budget)
        base = row["seconds"]["backbone"]
        row["relative"] = {name: value / base for name, value in row["seconds"].items()}
        rows.append(row)
        print(f"{n_atoms:6d} atoms, {row['n_neighbors']:.1f} neighbours: "
              + ", ".join(f"{k} {1e3 * v:.1f} ms ({row['relative'][k]:.2f})"
                          for k, v in row["seconds"].items()), flush=True)  # fmt: skip
    report = {"cutoff": CUTOFF, "device": arguments.device, "n_parameters": n_parameters,
              "rows": rows}  # fmt: skip
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")

    figure, ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
    for name in models:
        points = [(r["n_atoms"], r["seconds"][name]) for r in rows if name in r["seconds"]]
        ax.plot(*np.transpose(points), "s--" if name.startswith("MACE") else "o-", label=name,
                markersize=4)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="Atoms", ylabel="Energy and forces (s)")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(arguments.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()

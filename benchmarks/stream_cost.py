"""What the streams cost: energy and forces of 10 to 10,000 atoms, and a step of training.

    python benchmarks/stream_cost.py

Times the built-in backbone alone, with each stream and with both, and MACE where it is installed,
on rattled rock salt in single precision, with the default widths of TriForcesPotential and a cutoff
of 5 Å. Neighbours are found beforehand. Then times one step of training on energies and forces of
16 crystals with 110 atoms, for every backbone that is installed. CPU seconds of one thread, or
seconds of the first CUDA device with --device cuda. Writes benchmarks/results/stream_cost.json and
stream_cost.png.
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

from trisk.estimators.triforces._crystals import read_crystals, to_batch
from trisk.estimators.triforces._streams import build_potential_network

HERE = Path(__file__).resolve().parent
CUTOFF = 5.0
ARMS = {
    "backbone": ("interaction",),
    "+ composition": ("composition", "interaction"),
    "+ structure": ("structure", "interaction"),
    "+ both": ("composition", "structure", "interaction"),
}
STEPS = {
    "built in, 64 scalars and vectors, 3 layers": ("torch", "builtin", 64, 3),
    "MACE, 32 scalars and vectors, 2 layers": ("mace", "mace", 32, 2),
    "Orb-v3, 64 scalars, 3 layers": ("orb_models", "orb", 64, 3),
    "eSEN, 32 channels, 2 layers": ("fairchem", "esen", 32, 2),
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


def training_step(budget):
    """CPU seconds of forward, forces and both backward passes, fastest of some."""
    rng = np.random.default_rng(0)
    repeats = [(1, 1, 1)] * 9 + [(2, 1, 1)] * 3 + [(2, 2, 1)] * 2 + [(3, 2, 2)] + [(5, 2, 2)]
    crystals = []
    for repeat in repeats:
        crystal = bulk("NaCl", "rocksalt", a=rng.uniform(5.2, 6.0)).repeat(repeat)
        crystal.rattle(0.1, seed=int(rng.integers(1000)))
        crystals.append(crystal)
    batch = to_batch(read_crystals(crystals, CUTOFF))
    found = {"crystals": len(crystals), "atoms": len(batch.positions), "seconds": {}}
    for name, (package, *shape) in STEPS.items():
        if importlib.util.find_spec(package) is None:
            continue
        model = network(("interaction",), *shape).train()
        # A head that starts at zero gives no forces to differentiate.
        torch.nn.init.normal_(model.head.of_atom[-1].weight)

        def step(batch, model=model):
            out = model(batch)
            (out["energy"].square().sum() + out["forces"].square().sum()).backward()

        found["seconds"][name] = seconds(step, batch, budget)
    return found


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
              "rows": rows, "training step": training_step(arguments.budget)}  # fmt: skip
    print("training step:", report["training step"])
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

"""How fast GraphTRIADS trains and predicts, beside a CGCNN from torch_geometric.

    pip install --no-deps torch_geometric xxhash
    python benchmarks/graph_training_speed.py

On graphs of matbench_phonons (MATMINER_DATA names its folder), one thread, in one run: training
structures per second of GraphTRIADS of three orders and of a CGCNN as published (three
convolutions of width 64, 41 Gaussians, twelve neighbours); then what halting saves in prediction.
Models take turns; the median of the turns counts. Writes results/graph_training_speed.json. What a
step takes against the number of atoms is in graph_building.py.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from matbench import describe_machine

import trisk
from trisk.estimators import GraphTRIADSRegressor
from trisk.featurizers import CrystalGraphFeaturizer

RESULTS = Path(__file__).resolve().parent / "results"
BATCH_SIZE = 32


class CGCNN(torch.nn.Module):
    """Xie and Grossman's network from torch_geometric's layers."""

    def __init__(self, dim=64, n_gaussians=41):
        from torch_geometric.nn import CGConv

        super().__init__()
        self.register_buffer("centers", torch.linspace(0, 8, n_gaussians))
        self.embedding = torch.nn.Embedding(119, dim)
        self.convolutions = torch.nn.ModuleList(
            CGConv(dim, dim=n_gaussians, batch_norm=True) for _ in range(3)
        )
        self.head = torch.nn.Sequential(
            torch.nn.Linear(dim, 128), torch.nn.Softplus(), torch.nn.Linear(128, 1)
        )

    def forward(self, numbers, bonds, lengths, structures, n_structures):
        from torch_geometric.nn import global_mean_pool

        gaussians = torch.exp(-(((lengths[:, None] - self.centers) / 0.2) ** 2))
        atoms = self.embedding(numbers)
        for convolution in self.convolutions:
            atoms = convolution(atoms, bonds, gaussians)
        return self.head(global_mean_pool(atoms, structures, n_structures))


def train_cgcnn(graphs, target, n_epochs):
    """Train by hand: Adam, mean absolute error, the batch size of all models here."""
    model = CGCNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(n_epochs):
        order = np.random.default_rng(0).permutation(len(graphs))
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            batch = graphs.take(rows)
            structures = np.repeat(np.arange(len(batch)), batch.counts("atom"))
            prediction = model(
                torch.from_numpy(batch.atomic_numbers.astype(np.int64)),
                torch.from_numpy(batch.bond_atoms.T[::-1].astype(np.int64)),
                torch.from_numpy(batch.bond_lengths),
                torch.from_numpy(structures),
                len(batch),
            )
            loss = (prediction[:, 0] - torch.from_numpy(target[rows])).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def network(**changes):
    """One member without a progress bar."""
    settings = {"n_members": 1, "batch_size": BATCH_SIZE, "random_state": 0, "device": "cpu"}
    return GraphTRIADSRegressor(**{**settings, **changes})


def measure_training(graphs, target, n_turns, n_epochs):
    """Structures per second of every model, the median over turns."""
    target = ((target - target.mean()) / target.std()).astype(np.float32)
    models = {
        f"GraphTRIADS, order {order}": network(order=order, max_epochs=n_epochs)
        for order in (1, 2, 3)
    }
    runs = {name: (lambda m=model: m.fit(graphs, target)) for name, model in models.items()}
    runs["CGCNN of torch_geometric"] = lambda: train_cgcnn(graphs, target, n_epochs)
    seconds = {name: [] for name in runs}
    for _ in range(n_turns):
        for name, run in runs.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    return {name: len(graphs) * n_epochs / np.median(s) for name, s in seconds.items()}


def measure_halting(graphs, target):
    """Time of a prediction with halting, and with all sixteen cycles."""
    model = network(max_epochs=4).fit(graphs, target)
    result = {"mean_cycles": float(model.count_cycles(graphs).mean())}
    for name, threshold in (("halting", model.halting_threshold), ("all_cycles", 0.0)):
        model.net_.module_.halting.threshold = threshold
        started = time.process_time()
        model.predict(graphs)
        result[f"{name}_seconds"] = time.process_time() - started
    result["time_saved"] = 1 - result["halting_seconds"] / result["all_cycles_seconds"]
    return result


def main():
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="epochs of a turn")
    parser.add_argument("--structures", type=int, default=320)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, y = trisk.load_matbench("phonons")
    chosen = np.random.default_rng(0).permutation(len(X))[: arguments.structures]
    graphs = CrystalGraphFeaturizer().fit_transform(X.iloc[chosen])
    target = np.log(y.iloc[chosen].to_numpy())
    results = {
        "machine": describe_machine(),
        "threads": 1,
        "batch_size": BATCH_SIZE,
        "structures": len(chosen),
        "training_structures_per_second": measure_training(
            graphs, target, arguments.turns, arguments.epochs
        ),
        "halting": measure_halting(graphs, target),
    }
    for name, rate in results["training_structures_per_second"].items():
        print(f"{name:28s} {rate:8.0f} training structures/s")
    print("halting:", {k: round(v, 2) for k, v in results["halting"].items()})
    (RESULTS / "graph_training_speed.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

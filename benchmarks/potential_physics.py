"""Do forces and stresses follow from the energy? Every backbone at hand, every subset of streams.

    python benchmarks/potential_physics.py

For random weights and a rattled triclinic crystal of two elements, in double precision: the
largest differences of forces and stress from central differences of the energy (fourth order), of
the energy of eight cells from eight energies, and of the energies of a crystal and the rotated one.
Then a potential is fitted to 40 silicon frames of mlearn, and its energy followed over 2,000 steps
of 1 fs at constant energy. Writes benchmarks/results/potential_physics.json; exits with an error
if forces or stress of a smooth backbone are off by more than 1e-6, or the energy drifts by 1
meV/atom or more. One thread. Backbones: the built-in one, and MACE, Orb-v3 and eSEN as far as they
are installed.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import units
from ase.build import bulk
from ase.io import read
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from trisk import TriForcesPotential
from trisk.estimators.triforces._crystals import read_crystals, to_batch
from trisk.estimators.triforces._streams import build_potential_network

HERE = Path(__file__).resolve().parent
STREAMS = ("composition", "structure", "interaction")
PACKAGES = {"builtin": "torch", "mace": "mace", "orb": "orb_models", "esen": "fairchem"}
CUTOFF = 4.5
LIMIT = 1e-6


def rattled(seed=0):
    """Gallium arsenide, strained and rattled until nothing is symmetric."""
    rng = np.random.default_rng(seed)
    crystal = bulk("GaAs", "zincblende", a=5.653)
    cell = crystal.cell.array @ (np.eye(3) + 0.08 * rng.standard_normal((3, 3)))
    crystal.set_cell(cell, scale_atoms=True)
    crystal.positions += 0.15 * rng.standard_normal((len(crystal), 3))
    return crystal


def random_network(backbone, streams):
    """A potential with random weights, in its head too."""
    torch.manual_seed(0)
    network = build_potential_network(
        backbone=backbone, backbone_params={}, streams=streams, cutoff=CUTOFF, hidden_dim=16,
        n_layers=2, stoichiometry="counts", class_token=False, references={}, scale=1.0,
    )  # fmt: skip
    for readout in (network.head.of_atom, network.head.of_composition):
        if readout is not None:
            torch.nn.init.normal_(readout[-1].weight)
    return network.double().eval()


def batch_of(crystal):
    return to_batch(read_crystals([crystal], CUTOFF), dtype=torch.float64)


def slope(energy, step=2e-4):
    """Central difference of the fourth order at zero."""
    near, far = energy(step) - energy(-step), energy(2 * step) - energy(-2 * step)
    return float((8 * near - far) / (12 * step))


def finite_differences(network, crystal):
    """Largest errors of forces, stress, extensivity and rotation."""
    batch = batch_of(crystal)
    out = network(batch)
    forces, stress = torch.zeros_like(out["forces"]), torch.zeros(3, 3, dtype=torch.float64)
    for index in np.ndindex(*forces.shape):
        unit = torch.zeros_like(forces)
        unit[index] = 1
        forces[index] = -slope(
            lambda h, u=unit: network(batch.moved(batch.positions + h * u))["energy"]
        )
    for index in np.ndindex(3, 3):
        unit = torch.zeros(1, 3, 3, dtype=torch.float64)
        unit[0, *index] = 1
        stress[index] = slope(lambda h, u=unit: network(batch.strained(h * u))["energy"])
    stress /= batch.volumes
    large = network(batch_of(crystal.repeat(2)))["energy"]
    q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    turned = crystal.copy()
    turned.set_cell(crystal.cell.array @ q.T, scale_atoms=False)
    turned.set_positions(crystal.positions @ q.T)
    return {
        "forces": float((out["forces"] - forces).abs().max()),
        "of forces up to": float(forces.abs().max()),
        "stress": float((out["stress"][0] - stress).abs().max()),
        "of stress up to": float(stress.abs().max()),
        "energy of 8 cells": float((large - 8 * out["energy"]).abs().max()),
        "energy when rotated": float((network(batch_of(turned))["energy"] - out["energy"]).abs()),
    }


def differences_table():
    rows = []
    header = ("forces", "of forces up to", "stress", "of stress up to", "energy of 8 cells",
              "energy when rotated")  # fmt: skip
    print(f"{'backbone':9}{'streams':36}" + "".join(f"{h:>21}" for h in header))
    for backbone, package in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            print(f"{backbone:9}not installed")
            continue
        for streams in (s for n in (1, 2, 3) for s in combinations(STREAMS, n)):
            if "interaction" not in streams and backbone != "builtin":
                continue
            found = finite_differences(random_network(backbone, streams), rattled())
            rows.append({"backbone": backbone, "streams": streams, **found})
            print(f"{backbone:9}{' + '.join(streams):36}"
                  + "".join(f"{found[h]:21.1e}" for h in header), flush=True)  # fmt: skip
    return rows


def constant_energy(data, n_steps, epochs):
    """Fit silicon, then follow 64 atoms at 600 K."""
    frames = read(data / "mlearn_Si_training.extxyz.gz", ":")
    chosen = np.random.default_rng(0).permutation(len(frames))[:40]
    started = time.process_time()
    potential = TriForcesPotential(
        hidden_dim=32, n_layers=2, cutoff=5.0, batch_size=4, max_epochs=epochs, random_state=0
    ).fit([frames[i] for i in chosen])
    print(f"fitted 40 frames in {time.process_time() - started:.0f} s of CPU")
    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.calc = potential.calculator()
    thermalize_momenta(atoms, 600, rng=np.random.default_rng(0))
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    totals, temperatures = [], []

    def record():
        totals.append(atoms.get_total_energy() / len(atoms))
        temperatures.append(atoms.get_temperature())

    dynamics.attach(record)
    started = time.process_time()
    dynamics.run(n_steps)
    seconds = time.process_time() - started
    totals = 1e3 * np.array(totals)
    slope, _ = np.polyfit(np.arange(len(totals)), totals, 1)
    result = {
        "atoms": len(atoms),
        "steps": n_steps,
        "time step (fs)": 1.0,
        "largest deviation of the total energy (meV/atom)": float(np.abs(totals - totals[0]).max()),
        "drift by linear fit (meV/atom)": float(slope * n_steps),
        "mean temperature of the second half (K)": float(np.mean(temperatures[n_steps // 2 :])),
        "CPU ms per step": 1e3 * seconds / n_steps,
    }
    print("\n".join(f"{k}: {v:.4g}" for k, v in result.items()))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.out / "potential_physics.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    result["finite differences"] = differences_table()
    result["constant energy"] = constant_energy(arguments.data, arguments.steps, arguments.epochs)
    path.write_text(json.dumps(result, indent=1) + "\n")
    wrong = [
        row for row in result["finite differences"]
        if row["backbone"] != "orb" and max(row["forces"], row["stress"]) > LIMIT
    ]  # fmt: skip
    drift = result["constant energy"]["largest deviation of the total energy (meV/atom)"]
    if wrong or drift >= 1:
        sys.exit(f"wrong derivatives: {wrong}; drift: {drift} meV/atom")


if __name__ == "__main__":
    main()

"""Fit an interatomic potential to energies, forces and stresses, relax a cell, run dynamics.

    python examples/potential.py

The reference is ASE's effective-medium potential for copper and silver, which needs no download
and no DFT; the frames of your own calculations, read by ase.io.read, take its place. Takes a
minute or two on one core.
"""

import argparse

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from trisk.estimators import TriForcesOptions, TriForcesPotential


def make_frames(n_frames, seed):
    """Strained and rattled alloys that carry what a calculation gave."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        frame = bulk("Cu", a=rng.uniform(3.6, 4.1), cubic=True)
        frame.numbers[rng.random(4) < rng.random()] = 47
        strain = np.eye(3) + 0.03 * rng.standard_normal((3, 3))
        frame.set_cell(frame.cell.array @ strain, scale_atoms=True)
        frame.positions += 0.1 * rng.standard_normal((4, 3))
        frame.calc = EMT()
        energy, forces = frame.get_potential_energy(), frame.get_forces()
        results = {"energy": energy, "forces": forces, "stress": frame.get_stress()}
        frame.calc = SinglePointCalculator(frame, **results)
        frames.append(frame)
    return frames


def print_errors(potential, frames):
    """Mean absolute errors on frames that training did not see."""
    results = potential.predict(frames)
    energies = np.array([frame.get_potential_energy() for frame in frames])
    forces = np.concatenate([frame.get_forces() for frame in frames])
    stresses = np.array([frame.get_stress() for frame in frames])
    print(f"energy {1e3 * np.abs(results['energy'] - energies).mean() / 4:.1f} meV/atom, ", end="")
    print(f"forces {1e3 * np.abs(np.concatenate(results['forces']) - forces).mean():.0f} meV/Å ",
          end="")  # fmt: skip
    print(f"(their mean size {1e3 * np.abs(forces).mean():.0f}), ", end="")
    print(f"stress {1e3 * np.abs(results['stress'] - stresses).mean():.2f} meV/Å³")


def relax(crystal, calculator):
    """Relax positions and cell together."""
    crystal = crystal.copy()
    crystal.calc = calculator
    BFGS(FrechetCellFilter(crystal), logfile=None).run(fmax=0.01, steps=200)
    return crystal


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few frames and epochs")
    quick = parser.parse_args().quick

    training, test = make_frames(20 if quick else 200, 0), make_frames(5 if quick else 50, 1)
    potential = TriForcesPotential(
        network=TriForcesOptions(hidden_dim=16 if quick else 32, n_layers=2, cutoff=4.5),
        batch_size=8,
        max_epochs=5 if quick else 60,
        learning_rate=5e-3,
        random_state=0,
        verbose=1,
    )
    potential.fit(training)
    print("On frames that it has not seen: ", end="")
    print_errors(potential, test)

    crystal = bulk("Cu", a=3.75, cubic=True)
    crystal.numbers[0] = 47
    crystal.rattle(0.05, seed=0)
    for name, calculator in (("potential", potential.calculator()), ("reference", EMT())):
        relaxed = relax(crystal, calculator)
        edge = relaxed.get_volume() ** (1 / 3)
        print(f"AgCu3 relaxed by the {name}: a = {edge:.3f} Å")

    crystal = crystal.repeat(2)
    crystal.calc = potential.calculator()
    momenta = np.random.default_rng(0).normal(size=(len(crystal), 3))
    crystal.set_momenta(momenta * np.sqrt(crystal.get_masses() * units.kB * 300)[:, None])
    dynamics = VelocityVerlet(crystal, 2 * units.fs)
    energies = []
    dynamics.attach(lambda: energies.append(crystal.get_total_energy() / len(crystal)))
    dynamics.run(20 if quick else 500)
    print(f"Total energy over {2 * (len(energies) - 1)} fs at constant energy: changed by at most "
          f"{1e3 * np.ptp(energies):.3f} meV/atom")  # fmt: skip


if __name__ == "__main__":
    main()

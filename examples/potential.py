"""
An interatomic potential
========================

A potential is fitted to energies, forces and stresses, relaxes a cell and runs dynamics. The
reference is ASE's effective-medium potential for copper and silver; frames of your own
calculations, read by ``ase.io.read``, take its place. A minute on one core.
"""

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from matplotlib import pyplot as plt

from trisk.estimators import TriForcesOptions, TriForcesPotential
from trisk.plotting import draw_potential


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
        results = {
            "energy": frame.get_potential_energy(),
            "forces": frame.get_forces(),
            "stress": frame.get_stress(),
        }
        frame.calc = SinglePointCalculator(frame, **results)
        frames.append(frame)
    return frames


training, test = make_frames(120, 0), make_frames(30, 1)

# %%
# Fit, and compare with frames that training did not see.

potential = TriForcesPotential(
    network=TriForcesOptions(hidden_dim=32, n_layers=2, cutoff=4.5),
    batch_size=8,
    max_epochs=50,
    random_state=0,
)
potential.fit(training)

predicted = potential.predict(test)
energies = np.array([frame.get_potential_energy() for frame in test])
stresses = np.array([frame.get_stress() for frame in test])
forces = np.concatenate([frame.get_forces() for frame in test])
found = np.concatenate(predicted["forces"])
print(f"energy {1e3 * np.abs(predicted['energy'] - energies).mean() / 4:.1f} meV/atom")
print(f"forces {1e3 * np.abs(found - forces).mean():.0f} meV/Å, ", end="")
print(f"their mean size {1e3 * np.abs(forces).mean():.0f}")
print(f"stress {1e3 * np.abs(predicted['stress'] - stresses).mean():.2f} meV/Å³")

draw_potential(potential, test)
plt.show()

# %%
# Relax positions and cell of AgCu3 together, with the potential and with its reference.

crystal = bulk("Cu", a=3.75, cubic=True)
crystal.numbers[0] = 47
crystal.rattle(0.05, seed=0)
for name, calculator in (("potential", potential.calculator()), ("reference", EMT())):
    relaxed = crystal.copy()
    relaxed.calc = calculator
    BFGS(FrechetCellFilter(relaxed), logfile=None).run(fmax=0.01, steps=200)
    print(f"AgCu3 relaxed by the {name}: a = {relaxed.get_volume() ** (1 / 3):.3f} Å")

# %%
# Dynamics at constant energy: forces are exact derivatives, so the total energy stays.

atoms = crystal.repeat(2)
atoms.calc = potential.calculator()
momenta = np.random.default_rng(0).normal(size=(len(atoms), 3))
atoms.set_momenta(momenta * np.sqrt(atoms.get_masses() * units.kB * 300)[:, None])
dynamics = VelocityVerlet(atoms, 2 * units.fs)
total, kinetic = [], []


def record():
    """Energies per atom, in meV."""
    total.append(1e3 * atoms.get_total_energy() / len(atoms))
    kinetic.append(1e3 * atoms.get_kinetic_energy() / len(atoms))


dynamics.attach(record)
dynamics.run(300)

fig, ax = plt.subplots(figsize=(7, 3.5))
time = 2 * np.arange(len(total))
ax.plot(time, np.array(kinetic) - kinetic[0], label="kinetic")
ax.plot(time, np.array(total) - total[0], label="total")
ax.set(xlabel="time (fs)", ylabel="change (meV/atom)")
ax.legend(frameon=False)
plt.show()
print(f"The total energy changes by at most {np.ptp(total):.3f} meV/atom.")

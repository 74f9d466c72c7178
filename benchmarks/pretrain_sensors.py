"""Train the streams on what a universal potential says, and write the weights for few labels.

    python benchmarks/pretrain_sensors.py ../shared/data --memory /tmp/sensors

Crystals made by ``decorate_prototypes`` are measured with the potential in the folder
(``tensornet.py``, as ``PotentialFeaturizer`` measures: energy, pressure, forces, vibrations), and
the streams that come with trisk learn to predict the measurements from the structure alone. More
than half of the crystals get the volume at which the potential has no pressure, the others keep
that of their decoration. None has the formula of a structure that these weights are judged on
(phonons, layers, perovskites, InP and its elements), and no label is read; lattices of the phonons'
structures serve as templates. MEMORY keeps what is measured, so that a run that was stopped goes
on; some half an hour of one core, and as much for training.
"""

import argparse
from pathlib import Path

import numpy as np
from perovskites import read_perovskites
from pretrain_crystals import N_DECORATED, decorate
from pymatgen.io.ase import AseAtomsAdaptor
from sensor_tables import POTENTIAL, STATIC, VIBRATIONS, load_potential
from sklearn.linear_model import Ridge
from sklearn.preprocessing import QuantileTransformer
from skorch.callbacks import Callback

from trisk import TriForcesRegressor, load_matbench
from trisk.estimators.triforces import SENSORS
from trisk.featurizers import ElementFractionFeaturizer, PotentialFeaturizer

WEIGHTS = (
    Path(__file__).parents[1] / "trisk/data/triforces_sensors.safetensors"
)
#: Crystals that keep the volume of their decoration, and rows that judge.
N_AS_DECORATED, N_KEPT = 6_000, 500
ENERGY = "Potential energy (eV/atom)"
#: What is learned: few numbers, so that vibrations do not drown the energy.
COLUMNS = [f"Potential {name}" for name in SENSORS]
# eV/Å³: a first bulk modulus, and those that are believed.
_FIRST_MODULUS, _MODULI, _VOLUME_STEPS = 0.6, (0.1, 3.0), 4


def judged_formulas(folder, phonons):
    """Reduced formulas of the structures on which weights are judged."""
    judged = [*read_perovskites(folder)[0], *phonons, *load_matbench("jdft2d")[0]]
    return {s.composition.reduced_formula for s in judged} | {"InP", "In", "P"}


def collect(folder, n_decorated, potential):
    """Decorated prototypes of other formulas, of elements that the potential knows."""
    _, phonons, made = decorate(folder, n_decorated)
    judged = judged_formulas(folder, phonons)
    kept = [s for s in made if s.composition.reduced_formula not in judged]
    crystals = [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in kept]
    return [atoms for atoms in crystals if (potential.kinds[atoms.numbers] >= 0).all()]


def relax_volumes(crystals, potential):
    """Scale each crystal until the potential's pressure vanishes, by secants of its logarithm."""
    crystals = [atoms.copy() for atoms in crystals]
    for start in range(0, len(crystals), 32):
        part = crystals[start : start + 32]
        modulus, before, step = np.full(len(part), _FIRST_MODULUS), None, None
        for _ in range(_VOLUME_STEPS):
            results = potential.calculate_many(part)
            pressure = np.array([-r["stress"][:3].mean() for r in results])
            if before is not None:
                modulus = np.clip((before - pressure) / step, *_MODULI)
            step = np.clip(pressure / modulus, -0.2, 0.2)
            step[np.abs(step) < 1e-6], before = 1e-6, pressure
            for atoms, growth in zip(part, step, strict=True):
                atoms.set_cell(atoms.cell[:] * np.exp(growth / 3), scale_atoms=True)
    return crystals


def measure(crystals, potential, memory):
    """Sensors of all crystals; NaN where one cannot be measured."""
    featurizer = PotentialFeaturizer(
        potential,
        sensors=[*STATIC, *VIBRATIONS],
        memory=memory,
        potential_name=POTENTIAL,
        time_limit=60,
        on_error="nan",
        n_jobs=2,
        verbose=1,
    )
    return featurizer.fit_transform(crystals)


def targets(crystals, table):
    """Measurements as normal variables; of the energy, what a linear fit to elements leaves."""
    values = table[COLUMNS].copy()
    fractions = ElementFractionFeaturizer().fit_transform(
        [atoms.get_chemical_formula() for atoms in crystals]
    )
    values[ENERGY] -= Ridge(1e-6).fit(fractions, values[ENERGY]).predict(fractions)
    normal = QuantileTransformer(output_distribution="normal", random_state=0)
    return normal.fit_transform(values.to_numpy()).clip(-3, 3)


class Progress(Callback):
    """Print the loss of every epoch."""

    def on_epoch_end(self, net, **kwargs):
        print(len(net.history), net.history[-1]["train_loss"], net.history[-1]["dur"], flush=True)


def main():
    """Measure, train, judge on crystals that were kept aside, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("--memory", help="folder that keeps measurements")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="file to write")
    parser.add_argument("--checkpoint", type=Path, help="file from which to go on")
    parser.add_argument("--pretrained", default="default", help='weights to start from, or "none"')
    parser.add_argument("--crystals", type=int, default=N_DECORATED)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    potential = load_potential(next((arguments.data / "potentials").iterdir()))
    crystals = collect(arguments.data, arguments.crystals, potential)
    given, others = crystals[:N_AS_DECORATED], crystals[N_AS_DECORATED:]
    crystals = given + relax_volumes(others, potential)
    table = measure(crystals, potential, arguments.memory)
    known = table.notna().all(axis=1).to_numpy()
    crystals, table = [crystals[row] for row in np.flatnonzero(known)], table[known]
    print(f"{len(crystals)} crystals measured, {(~known).sum()} not", flush=True)
    target = targets(crystals, table)
    order = np.random.default_rng(0).permutation(len(crystals))
    kept, rows = order[:N_KEPT], order[N_KEPT:]
    print(f"{len(rows)} to learn from, {len(kept)} kept aside", flush=True)
    model = TriForcesRegressor(
        pretrained=None if arguments.pretrained == "none" else arguments.pretrained,
        pretrained_rate=1.0,
        batch_size=32,
        max_epochs=arguments.epochs,
        checkpoint=arguments.checkpoint,
        callbacks=[Progress()],
        random_state=0,
    )
    model.fit([crystals[row] for row in rows], target[rows])
    model.set_params(pretrained=None, checkpoint=None, callbacks=None)
    model.save(arguments.weights)
    predicted = model.predict([crystals[row] for row in kept])
    for column, errors, spread in zip(
        COLUMNS,
        np.abs(predicted - target[kept]).mean(0),
        np.abs(target[kept]).mean(0),
        strict=True,
    ):
        print(f"{column:45s} {errors:.3f} of {spread:.3f}", flush=True)


if __name__ == "__main__":
    main()

"""Train the streams on what a universal potential measures, and write the weights that ship.

    python -m tools.train_sensors --start /tmp/streams.trisk --memory /tmp/sensors

START is what ``tools.train_streams`` wrote.

Decorated prototypes are measured with TensorNet-MatPES through matgl (``benchmarks.data.potential``
says how to install it) as ``PotentialFeaturizer`` measures: energy, pressure, forces, vibrations.
More than half of them get the volume at which the potential has no pressure. None has the formula
of a structure that these weights are judged on, and no label is read; lattices of the phonons'
structures serve as templates. MEMORY keeps what is measured, so that a run that was stopped goes
on. Measuring takes some hours of one core, training half an hour.
"""

import argparse
from pathlib import Path

import numpy as np
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import QuantileTransformer

from benchmarks import data
from tools.train_streams import N_DECORATED, decorate
from trisk import PotentialFeaturizer, TriForcesRegressor
from trisk.data import data_file
from trisk.estimators import load_pretrained
from trisk.estimators.pretrainer import SENSORS
from trisk.featurizers import ElementFractionFeaturizer

#: Crystals that keep the volume of their decoration, and rows that judge.
N_AS_DECORATED, N_KEPT = 6_000, 500
ENERGY = "Potential energy (eV/atom)"
#: What is learned: few numbers, so that vibrations do not drown the energy.
COLUMNS = [f"Potential {name}" for name in SENSORS]
# eV/Å³: a first bulk modulus, and those that are believed.
_FIRST_MODULUS, _MODULI, _VOLUME_STEPS = 0.6, (0.1, 3.0), 4


def collect(n_decorated, potential):
    """Decorated prototypes of other formulas, of elements that the potential knows."""
    _, phonons, made = decorate(n_decorated)
    judged = [*data.cubic_perovskites()[0], *phonons, *data.matbench("jdft2d")[0]]
    judged = {s.composition.reduced_formula for s in judged} | {"InP", "In", "P"}
    known = set(potential.potential.model.element_types)
    kept = [
        structure
        for structure in made
        if structure.composition.reduced_formula not in judged
        and {element.symbol for element in structure.composition} <= known
    ]
    return [AseAtomsAdaptor.get_atoms(structure, msonable=False) for structure in kept]


def relax_volume(atoms, potential):
    """Scale a crystal until the potential's pressure vanishes, by secants of its logarithm."""
    atoms = atoms.copy()
    atoms.calc = potential
    modulus, before, step = _FIRST_MODULUS, None, None
    for _ in range(_VOLUME_STEPS):
        pressure = -atoms.get_stress()[:3].mean()
        if before is not None:
            modulus = np.clip((before - pressure) / step, *_MODULI)
        step = np.clip(pressure / modulus, -0.2, 0.2)
        step, before = step if abs(step) > 1e-6 else 1e-6, pressure
        atoms.set_cell(atoms.cell[:] * np.exp(step / 3), scale_atoms=True)
    atoms.calc = None
    return atoms


def normal(values):
    """Measurements as normal variables."""
    transformer = QuantileTransformer(output_distribution="normal", random_state=0)
    return transformer.fit_transform(values).clip(-3, 3)


def beyond_elements(frames, values):
    """What a linear fit to fractions of elements leaves of values."""
    formulas = [atoms.get_chemical_formula() for atoms in frames]
    fractions = ElementFractionFeaturizer().fit_transform(formulas)
    return values - Ridge(1e-6).fit(fractions, values).predict(fractions)


def train(frames, target, names, arguments):
    """Learn targets, judge on structures that were kept aside, and write the weights."""
    kept, rows = np.split(np.random.default_rng(0).permutation(len(frames)), [N_KEPT])
    print(f"{len(rows)} structures to learn from, {len(kept)} kept aside", flush=True)
    model = TriForcesRegressor(
        # The weights themselves: those of crystals, which a name would not be for molecules.
        pretrained=load_pretrained(arguments.start),
        pretrained_rate=1.0,
        batch_size=32,
        max_epochs=arguments.epochs,
        checkpoint=arguments.checkpoint,
        random_state=0,
        verbose=1,
    )
    model.fit([frames[row] for row in rows], target[rows])
    model.set_params(pretrained=None, checkpoint=None, verbose=0).save(arguments.weights)
    errors = np.abs(model.predict([frames[row] for row in kept]) - target[kept]).mean(0)
    for name, error, spread in zip(names, errors, np.abs(target[kept]).mean(0), strict=True):
        print(f"{name:48s} {error:.3f} of {spread:.3f}")


def parser_of(description, weights, epochs):
    """Options of a training that begins with weights and writes others."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--start", required=True, help="weights to begin with")
    parser.add_argument("--weights", type=Path, default=data_file(weights), help="file to write")
    parser.add_argument("--checkpoint", type=Path, help="file from which to go on")
    parser.add_argument("--epochs", type=int, default=epochs)
    return parser


def main():
    """Measure crystals and train on them."""
    parser = parser_of(__doc__.partition("\n")[0], "triforces_default.trisk", epochs=20)
    parser.add_argument("--memory", help="folder that keeps measurements")
    parser.add_argument("--crystals", type=int, default=N_DECORATED)
    arguments = parser.parse_args()
    potential = data.potential()
    crystals = collect(arguments.crystals, potential)
    crystals = crystals[:N_AS_DECORATED] + [
        relax_volume(atoms, potential) for atoms in crystals[N_AS_DECORATED:]
    ]
    featurizer = PotentialFeaturizer(
        potential,
        sensors=["energy", "stress", "forces", "gamma", "einstein"],
        memory=arguments.memory,
        potential_name="TensorNet-MatPES-PBE-v2025.1",
        time_limit=60,
        on_error="nan",
        verbose=1,
    )
    table = featurizer.fit_transform(crystals)
    known = table.notna().all(axis=1).to_numpy()
    crystals, table = [crystals[row] for row in np.flatnonzero(known)], table[known]
    table[ENERGY] = beyond_elements(crystals, table[ENERGY].to_numpy())
    train(crystals, normal(table[COLUMNS].to_numpy()), COLUMNS, arguments)


if __name__ == "__main__":
    main()

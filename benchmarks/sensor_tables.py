"""Tables of sensors of a universal potential, of springs and of compositions."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd

from trisk import MagpieFeaturizer, PotentialFeaturizer, SpringModelFeaturizer
from trisk.featurizers import ElementFractionFeaturizer, verify_potential

POTENTIAL = "TensorNet-MatPES-PBE-v2025.1"
TRAINED_ON = "MatPES PBE (energies, forces, stresses)"
STATIC = ["energy", "stress", "forces"]
VIBRATIONS = ["gamma", "einstein"]
#: Cells that are not stable have no frequencies that would tell their energy.
SENSORS = {
    "phonons": [*STATIC, *VIBRATIONS],
    "jdft2d": [*STATIC, *VIBRATIONS],
    "perovskites": STATIC,
}
SETTINGS = {"supercell_length": 7.0, "mesh_length": 30.0, "batch_atoms": 128}
HIGHEST_MODE = "Potential gamma highest 1 (1/cm)"
DOS_MAXIMUM = "Potential DOS maximum (1/cm)"
HIGHEST_PAIR = "SpringModel highest pair frequency (1/cm)"
ESTIMATE = "estimate (1/cm)"


def load_potential(folder):
    """The potential, once two known energies show that its weights are read rightly."""
    from ase.build import bulk
    from tensornet import TensorNet

    potential = TensorNet(folder)
    references = [("NaCl", 5.64, -3.356), ("MgO", 4.21, -5.864)]
    verify_potential(potential, [(bulk(f, "rocksalt", a=a), e) for f, a, e in references])
    return potential


def potential_sensors(task, potential, memory, dos=False):
    """The featurizer that measures a task's structures."""
    return PotentialFeaturizer(
        potential,
        sensors=[*SENSORS[task], "phonon_dos"] if dos else SENSORS[task],
        memory=memory,
        potential_name=POTENTIAL,
        on_error="nan",
        verbose=1,
        **SETTINGS,
    )


def tables(task, X, potential, memory, dos):
    """Feature tables by name, and the seconds that each featurizer took."""
    featurizers = {
        "sensors": potential_sensors(task, potential, memory, dos),
        "Magpie": MagpieFeaturizer(),
    }
    if task == "perovskites":
        featurizers["fractions"] = ElementFractionFeaturizer()
    else:
        featurizers["springs"] = SpringModelFeaturizer(on_error="nan")
    parts, seconds = {}, {}
    for name, featurizer in featurizers.items():
        started = time.perf_counter()
        parts[name] = featurizer.fit_transform(X)
        seconds[name] = time.perf_counter() - started
        if len(featurizer.errors_):
            print(featurizer.errors_.to_string())
    frames = {**parts, "Magpie, sensors": parts["sensors"].join(parts["Magpie"])}
    if task == "perovskites":
        frames["Magpie, fractions, sensors"] = frames["Magpie, sensors"].join(parts["fractions"])
        return frames, seconds
    pair = parts["springs"][HIGHEST_PAIR]
    names = ["sensors", "springs", "Magpie"]
    mode = parts["sensors"][DOS_MAXIMUM if dos else HIGHEST_MODE]
    frames["Magpie, springs"] = join(parts, ["Magpie", "springs"], pair)
    frames["Magpie, springs, sensors"] = join(parts, names, estimate(mode, pair))
    return frames, seconds


def estimate(mode, pair):
    """Geometric mean of the potential's highest frequency and that of the strongest spring.

    The potential finds soft polar modes where the last peak is a longitudinal one: the springs,
    which know no such softness, hold the estimate up. A mesh knows of modes beyond Γ.
    """
    return np.sqrt(np.maximum(mode, pair / 2) * pair)


def with_estimate(graphs):
    """Graphs whose context also holds the estimate, from the columns of both featurizers."""
    names = graphs.names["context"]
    mode, pair = (graphs.context[:, names.index(n)] for n in (DOS_MAXIMUM, HIGHEST_PAIR))
    context = np.hstack([graphs.context, estimate(mode, pair)[:, None]])
    return replace(graphs, context=context, names={**graphs.names, "context": (*names, ESTIMATE)})


def join(parts, names, reference):
    """Columns side by side, the reference, and every frequency in units of it too."""
    joined = pd.concat([parts[name] for name in names], axis=1)
    frequencies = [name for name in joined if name.endswith("(1/cm)")]
    quotients = joined[frequencies].div(reference, axis=0).add_suffix(" over estimate")
    return joined.join(quotients).assign(**{ESTIMATE: reference})

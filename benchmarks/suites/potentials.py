"""Energies, forces and stresses of frames: what the streams add to a backbone of equal size.

Test frames as given for Ge, Li, Mo and Si, one in five of every group of InP and of the frames
across the periodic table; of those, frames of elements that the training frames hold. A fold is a
seed, which also draws the training frames. MACE's network trains in the same loop for the seconds
that the arm with all streams took.
"""

import numpy as np

from benchmarks import data, store
from benchmarks.measures import cpu_seconds
from benchmarks.runner import Model, Suite, Task

N_STEPS, BATCH_SIZE = 400, 4
SPLITS = {"100 frames": 1, "300 frames": 1, "all frames": 1}
TASKS = {
    **{system: Task("meV/atom, meV/Å, meV/Å³", SPLITS) for system in data.FRAMES[:-1]},
    "universal": Task("meV/atom, meV/Å, meV/Å³", {"100 frames": 3, "1,000 frames": 3}),
}
BOTH = "+ composition and structure"


def potential(task, streams, hidden_dim, **parameters):
    """A potential of about 100,000 parameters, by streams and width."""
    from trisk import TriForcesPotential

    common = {"network__cutoff": 5.0, "network__n_layers": 3, "learning_rate": 5e-3}
    shape = {"network__streams": tuple(streams), "network__hidden_dim": hidden_dim}
    model = TriForcesPotential(batch_size=BATCH_SIZE)
    return model.set_params(**{**common, **shape, **parameters})


def arm(streams, hidden_dim, needs=(), tasks=None, **parameters):
    """A potential by its streams and width."""
    shape = {"streams": streams, "hidden_dim": hidden_dim, "n_steps": N_STEPS}
    return Model(potential, {**shape, **parameters}, needs, tasks)


def chgnet(streams, **parameters):
    """CHGNet with its weights, and streams beside it."""
    backbone = {"network__backbone": "chgnet", "network__cutoff": 6.0, **parameters}
    return arm(streams, 32, ("chgnet",), ("universal",), **backbone)


MODELS = {
    "TriForces, backbone alone": arm(["interaction"], 54),
    "TriForces, + composition": arm(["composition", "interaction"], 40),
    "TriForces, + structure": arm(["structure", "interaction"], 40),
    f"TriForces, {BOTH}": arm(["composition", "structure", "interaction"], 32),
    "MACE": arm(
        ["interaction"], 16, ("mace",), network__backbone="mace", network__n_layers=2
    ),
    # One epoch at no rate: energies of reference of the elements are fitted, and nothing else.
    "CHGNet as it is": chgnet(["interaction"], n_steps=1, learning_rate=1e-12),
    "CHGNet, fine-tuned": chgnet(["interaction"]),
    f"CHGNet, fine-tuned, {BOTH}": chgnet(["composition", "structure", "interaction"]),
}  # fmt: skip


def errors(model, frames):
    """Mean absolute errors in meV/atom, meV/Å and meV/Å³."""
    results = model.predict(frames)
    energies = [f.get_potential_energy() for f in frames] - np.asarray(results["energy"])
    forces = np.concatenate([f.get_forces() for f in frames]) - np.concatenate(results["forces"])
    stresses = np.array([f.get_stress() for f in frames]) - results["stress"]
    parts = {"energy": energies / [len(f) for f in frames], "forces": forces, "stress": stresses}
    return {name: 1e3 * float(np.abs(values).mean()) for name, values in parts.items()}


def measure(task, split, fold, model):
    """Train on frames of a seed and test on the others."""
    train, test = data.frames(task)
    size = len(train) if split == "all frames" else int(split.split()[0].replace(",", ""))
    rows = np.random.default_rng(fold).permutation(len(train))[:size]
    frames = [train[row] for row in rows]
    known = set(np.concatenate([frame.numbers for frame in frames]))
    test = [frame for frame in test if known.issuperset(frame.numbers)]
    parameters = MODELS[model].parameters_for(task)
    n_steps = parameters.pop("n_steps")
    made = potential(task, **parameters).set_params(random_state=fold)
    epochs = max(1, round(n_steps * BATCH_SIZE / len(frames)))
    if model == "MACE":
        epochs = epochs_within(seconds_of_both(task, split, fold), made, frames)
    started = cpu_seconds()
    made.set_params(max_epochs=epochs).fit(frames)
    seconds = cpu_seconds() - started
    note = f"{epochs} epochs, {len(test)} frames"
    return {**errors(made, test), "seconds": seconds, "note": note}


def seconds_of_both(task, split, fold):
    """What the arm with all streams took."""
    cell = {"task": task, "split": split, "fold": fold, "model": f"TriForces, {BOTH}"}
    rows = [row for row in store.read("potentials") if row.items() >= cell.items()]
    if not rows:
        raise LookupError(f"run the model {cell['model']!r} first: MACE gets the time it took")
    return rows[-1]["seconds"]


def epochs_within(limit, model, frames):
    """Number of epochs that fit in a time, at least one."""
    started = cpu_seconds()
    model.set_params(max_epochs=1).fit(frames)
    return max(1, int(limit / (cpu_seconds() - started)))


SUITE = Suite("potentials", TASKS, MODELS, measure)

"""QM9: four properties of molecules by one network, with few labels and with ten thousand.

Atomisation energy at 0 K and heat capacity are learned per atom and scored per molecule, by every
model. SchNet is torch_geometric's with its default width, trained with Adam, absolute errors of
standardised targets and a cosine schedule, for as many CPU seconds as TriForces from scratch took
on the same rows. ``pip install --no-deps qm9pack torch_geometric``.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import store
from benchmarks.measures import cpu_seconds, mae
from benchmarks.peers import forest
from benchmarks.runner import Model, Suite, Task

N_TEST, N_MOLECULES = 1000, 11_000
EPOCHS = {50: 60, 100: 60, 300: 60, 1000: 60, 10_000: 20}
SPLITS = {f"{size} molecules": 1 if size == 10_000 else 3 for size in EPOCHS}
TASKS = {"QM9": Task("several", SPLITS)}
#: Energies of free atoms in Hartree, as the data set's authors give them.
ATOMS = {"H": -0.500273, "C": -37.846772, "N": -54.583861, "O": -75.064579, "F": -99.718730}
HARTREE = 27.211386  # eV
TARGETS = ("atomisation energy, meV", "gap, meV", "dipole, mD", "heat capacity, mcal/(mol K)")
EXTENSIVE = np.array([True, False, False, True])


@cache
def molecules():
    """A random choice of QM9's molecules as ASE's Atoms, and their properties in these units."""
    from ase import Atoms

    folder = Path(find_spec("qm9pack").submodule_search_locations[0]) / "data"
    table = pd.concat(
        [pd.read_csv(folder / f"qm9_part{part}.csv") for part in (1, 2, 3)], ignore_index=True
    ).sample(N_MOLECULES, random_state=0)
    symbols = [ast.literal_eval(text) for text in table["Elements"]]
    frames = [
        Atoms(names, ast.literal_eval(text))
        for names, text in zip(symbols, table["XYZ_Ang"], strict=True)
    ]
    atoms = np.array([sum(ATOMS[name] for name in names) for names in symbols])
    found = [
        HARTREE * (table["InternalEnergy_0K_au"] - atoms),
        HARTREE * table["HOMO_LUMO_gap_au"],
        table["Dipole_debye"],
        table["Heatcapacity_Cv_cal_mol_K"],
    ]
    return frames, 1e3 * np.column_stack(found)


def rows_of(split, fold):
    """Training and test rows of a draw."""
    order = np.random.default_rng(fold).permutation(N_MOLECULES)
    return order[N_TEST : N_TEST + int(split.split()[0])], order[:N_TEST]


def triforces(split, fold, **parameters):
    """TriForces on one draw."""
    from trisk import TriForcesRegressor

    epochs = EPOCHS[int(split.split()[0])]
    return TriForcesRegressor(max_epochs=epochs, random_state=fold).set_params(**parameters)


def trees(split, fold):
    """A forest on fractions of elements and power spectrum."""
    from sklearn.pipeline import make_pipeline, make_union

    from trisk import PowerSpectrumFeaturizer
    from trisk.featurizers import ElementFractionFeaturizer

    columns = make_union(ElementFractionFeaturizer(), PowerSpectrumFeaturizer())
    return make_pipeline(columns, forest("ExtraTrees", n_estimators=100, max_features=0.33))


class SchNet:
    """torch_geometric's SchNet with one output for each target."""

    def __init__(self, split, fold):
        rows = store.read("molecules")
        about = {"split": split, "fold": fold, "model": "TriForces"}
        same = [row for row in rows if all(row[name] == value for name, value in about.items())]
        if not same:
            raise ValueError("run TriForces first: its seconds are SchNet's")
        self.seconds, self.seed = same[0]["seconds"], fold

    def fit(self, frames, target):
        """Train for the seconds given, in epochs of batches of 32."""
        import torch
        from torch_geometric.nn.models import SchNet as Network

        torch.manual_seed(self.seed)
        self.mean, self.scale = target.mean(axis=0), target.std(axis=0)
        scaled = torch.tensor((target - self.mean) / self.scale, dtype=torch.float32)
        self.network = Network(readout="mean", interaction_graph=_all_pairs)
        self.network.lin2 = torch.nn.Linear(64, target.shape[1])
        self.started = cpu_seconds()
        optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda _: max(0.01, (1 + np.cos(np.pi * min(self.share(), 1))) / 2)
        )
        while self.share() < 1:
            for rows in torch.randperm(len(frames)).split(32):
                predicted = self.network(*_batch([frames[row] for row in rows]))
                optimizer.zero_grad()
                torch.nn.functional.l1_loss(predicted, scaled[rows]).backward()
                optimizer.step()
                schedule.step()
                if self.share() >= 1:
                    break
        return self

    def share(self):
        """Part of the time that is over."""
        return (cpu_seconds() - self.started) / self.seconds

    def predict(self, frames):
        """Properties in the units of training."""
        import torch

        with torch.no_grad():
            found = [self.network(*_batch(frames[k : k + 256])) for k in range(0, len(frames), 256)]
        return torch.cat(found).double().numpy() * self.scale + self.mean


def _batch(frames):
    """Atomic numbers, positions and molecule of each atom."""
    import torch

    numbers = torch.tensor(np.concatenate([frame.numbers for frame in frames]))
    places = torch.tensor(np.concatenate([frame.positions for frame in frames])).float()
    sizes = torch.tensor([len(frame) for frame in frames])
    return numbers, places, torch.arange(len(frames)).repeat_interleave(sizes)


def _all_pairs(places, batch):
    """Pairs of atoms of one molecule within SchNet's cutoff of 10 Å, and their distances."""
    import torch

    first, second = torch.nonzero(batch[:, None] == batch, as_tuple=True)
    lengths = (places[first] - places[second]).norm(dim=1)
    near = (first != second) & (lengths < 10)
    return torch.stack([first, second])[:, near], lengths[near]


MODELS = {
    "TriForces": Model(triforces, needs=("qm9pack",)),
    "TriForces, pre-trained on molecules": Model(
        triforces, {"pretrained": "molecules"}, ("qm9pack",)
    ),
    "TriForces, structure stream alone": Model(
        triforces, {"network__streams": ["structure"]}, ("qm9pack",)
    ),
    "SchNet": Model(SchNet, needs=("qm9pack", "torch_geometric")),
    "ExtraTrees, fractions and power spectrum": Model(trees, needs=("qm9pack",)),
}


def measure(task, split, fold, model):
    """Train on a draw, score each property on other molecules."""
    frames, target = molecules()
    scale = np.where(EXTENSIVE, np.array([len(frame) for frame in frames])[:, None], 1)
    train, test = rows_of(split, fold)
    made = MODELS[model]
    estimator = made.make(split, fold, **made.parameters_for(task))
    started = cpu_seconds()
    estimator.fit([frames[row] for row in train], target[train] / scale[train])
    seconds = cpu_seconds() - started
    predicted = estimator.predict([frames[row] for row in test]) * scale[test]
    errors = {name: mae(target[test, k], predicted[:, k]) for k, name in enumerate(TARGETS)}
    return {**errors, "seconds": seconds}


SUITE = Suite("molecules", TASKS, MODELS, measure)

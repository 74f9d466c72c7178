"""Small data and short trainings, so that the code of every page runs in seconds."""

import numpy as np
import pandas as pd
import pytest
from ase.md.md import MolecularDynamics
from short import shorten

import trisk
from trisk.datasets import load_band_gaps
from trisk.testing import make_structures


@pytest.fixture
def short_runs(monkeypatch):
    """Trainings are short, and no dynamics takes more than twenty steps."""
    shorten(monkeypatch.setattr)
    run = MolecularDynamics.run
    monkeypatch.setattr(MolecularDynamics, "run", lambda self, steps: run(self, min(steps, 20)))


@pytest.fixture
def few_rows(monkeypatch):
    """The table of band gaps, shortened."""
    monkeypatch.setattr(trisk, "load_band_gaps", lambda: tuple(s[:100] for s in load_band_gaps()))


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """What a reader brings: ``alloys.csv``, and ``targets.csv`` with a folder ``crystals``."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([8, 2, 1], size=40)
    formulas = [f"Fe{a:.3f}Ni{b:.3f}Co{c:.3f}" for a, b, c in shares]
    strength = 900 + 800 * shares[:, 1] + rng.normal(0, 20, 40)
    table = pd.DataFrame({"formula": formulas, "yield strength": strength.round(1)})
    table.to_csv("alloys.csv", index=False)
    structures, frequencies, _ = make_structures(24)
    (tmp_path / "crystals").mkdir()
    files = [f"{number:04d}.cif" for number in range(len(structures))]
    for file, structure in zip(files, structures, strict=True):
        structure.to(str(tmp_path / "crystals" / file))
    table = pd.DataFrame({"file": files, "frequency": frequencies.round(2)})
    table.to_csv("targets.csv", index=False)
    return tmp_path

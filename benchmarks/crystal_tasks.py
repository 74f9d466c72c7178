"""Crystals with a property and their official folds, for structures.py and sensors.py."""

import numpy as np
import pandas as pd
from labelled_crystals import DATA
from pymatgen.core import Structure
from sklearn.model_selection import KFold

import trisk

#: What can be loaded; the perovskites are the 7,572 at hand, beside the checkout, of
#: Matbench's 18,928, with folds drawn as Matbench draws them.
TASKS = ("phonons", "jdft2d", "perovskites")


def official_name(task):
    """Name of a Matbench task; the perovskites at hand are a part of one."""
    return task if task == "perovskites" else f"matbench_{task}"


def load_task(task):
    """Structures, target with its unit, and folds (training rows, test rows)."""
    if task != "perovskites":
        X, y = trisk.load_matbench(task)
        return X, y, list(trisk.matbench_folds(task).split(X, y))
    data = np.load(DATA / "perovskites_7572.npz")
    starts = np.cumsum(data["n_atoms"])[:-1]
    numbers, sites = np.split(data["Z"], starts), np.split(data["frac"], starts)
    cells = zip(data["cell"], numbers, sites, strict=True)
    X = pd.Series([Structure(*parts) for parts in cells], name="structure")
    # Per atom: two structures of LaYN3 differ by 0.64 here and by 2.9 eV a cell in a potential.
    y = pd.Series(1e3 * data["heat_of_formation_eV"].astype(float), name="formation energy")
    y.attrs["unit"] = "meV/atom"
    return X, y, list(KFold(5, shuffle=True, random_state=18012019).split(X))

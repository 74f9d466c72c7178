"""Crystals with a property and their official folds, for structures.py and sensors.py."""

import pandas as pd
from perovskites import read_perovskites
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
    structures, heats = read_perovskites()
    X = pd.Series(structures, name="structure")
    y = pd.Series(heats, name="formation energy")
    y.attrs["unit"] = "meV/atom"
    return X, y, list(KFold(5, shuffle=True, random_state=18012019).split(X))

"""matminer's values, row by row, for the tests that compare with it."""

import random
import warnings
from functools import cache

import numpy as np

TASKS = ("steels", "expt_gap", "expt_is_metal", "glass")
_TEXT_LABELS = {
    *("HOMO_character", "HOMO_element", "LUMO_character", "LUMO_element"),
    *("Weight Fraction", "Atomic Fraction"),
}


@cache
def parse(formula):
    from pymatgen.core import Composition

    return Composition(formula)


def numeric_labels(featurizer):
    return [label for label in featurizer.feature_labels() if label not in _TEXT_LABELS]


def matminer_values(featurizer, formulas):
    """Numeric columns for each formula; NaN where matminer raises."""
    labels = featurizer.feature_labels()
    keep = [place for place, label in enumerate(labels) if label not in _TEXT_LABELS]
    values = np.full((len(formulas), len(keep)), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides by zero and misses data noisily
        for row, formula in enumerate(formulas):
            try:
                features = featurizer.featurize(parse(formula))
            except (ValueError, TypeError, AttributeError, KeyError):
                continue
            values[row] = [features[place] for place in keep]
    return values


def all_formulas(matbench_formulas):
    """Every distinct formula of the four composition tasks."""
    return sorted({formula for task in TASKS for formula in matbench_formulas(task)})


def sample_formulas(matbench_formulas, n_per_task):
    """The same few formulas of every task in every run."""
    rng = random.Random(0)
    return [
        formula for task in TASKS for formula in rng.sample(matbench_formulas(task), n_per_task)
    ]

"""Which rows are of one material, and folds that keep them together."""

from itertools import islice
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.utils import check_consistent_length

from trisk.estimators.equality import equal_rows
from trisk.model_selection._folds import shuffled_folds

# Rows that tell what a column holds.
_ROWS_READ = 100


def grouped_folds(X, y, cv, *, groups=None, classification=False, random_state=0):
    """Folds, and what to say of them; a number keeps equal materials in one shuffled fold."""
    if not isinstance(cv, Integral):
        folds = shuffled_folds(cv, X, y, groups, classification=classification)
        return folds, f"{len(folds)} folds"
    labels = material_labels(X) if groups is None else groups
    check_consistent_length(labels, y)
    n_rows, n_groups = len(labels), len(np.unique(labels))
    too_few = groups is None and n_groups < min(int(cv), n_rows)
    if n_groups == n_rows or too_few:
        folds = shuffled_folds(cv, X, y, classification=classification, random_state=random_state)
        note = f" of {n_groups} materials, too few to stay together" if too_few else ""
        return folds, f"{cv} shuffled folds{note}"
    splitter = StratifiedGroupKFold if classification else GroupKFold
    folds = splitter(int(cv), shuffle=True, random_state=random_state)
    what = "distinct materials" if groups is None else "groups"
    return (
        list(folds.split(np.zeros(n_rows), np.asarray(y), labels)),
        f"{cv} shuffled folds, rows of each of {n_groups} {what} in one fold",
    )


def material_labels(X):
    """A number per row, shared by rows of equal reduced formula, or of equal values.

    Numbers go by first appearance; a row that cannot be read has its own.
    """
    if getattr(X, "ndim", 2) > 2:
        return np.arange(len(X))
    kind, column = rows_of(X)
    X = X if column is None else X[column]
    if kind == "structures":
        from trisk.structures import read_structures

        atoms, _ = read_structures(X, on_error="nan")
        values = np.zeros((len(atoms), 120))
        np.add.at(values, (atoms.rows("atom"), atoms.atomic_numbers), 1)
        values /= values.sum(1, keepdims=True).clip(1)
    elif kind == "formulas":
        from trisk.featurizers import ElementFractionFeaturizer

        values = ElementFractionFeaturizer(on_error="nan").fit_transform(X).fillna(0).to_numpy()
    else:
        return equal_rows(X)
    labels = np.unique(np.round(values, 6), axis=0, return_inverse=True)[1].ravel()
    unread = np.flatnonzero(~values.any(axis=1))
    labels[unread] = len(labels) + unread
    return pd.factorize(labels)[0]


def rows_of(X):
    """What rows are ("formulas", "structures" or "table"), and the column of a frame with these."""
    from trisk.featurizers.composition.formulas import parse_compositions
    from trisk.structures import CrystalGraphs
    from trisk.structures.readers import is_structure

    if isinstance(X, CrystalGraphs):
        return "structures", None
    if getattr(X, "ndim", 1) == 2 and X.shape[1] == 1:
        X = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]
    if hasattr(X, "columns"):
        found = {}
        for name in X.columns:
            values = X[name].dropna()
            if pd.api.types.is_numeric_dtype(values) or values.empty:
                continue
            if is_structure(values.iloc[0]):
                return "structures", name
            read, errors = parse_compositions(values[:_ROWS_READ].tolist())
            if len(errors) <= read.n_rows / 2:  # S1, S2, … are sulfur or sample numbers
                found[name] = len(np.unique(read.elements)), values.nunique()
        if found:
            return "formulas", max(found, key=found.__getitem__)
        return "table", None
    values = list(islice(X, _ROWS_READ))
    first = values[0]
    if isinstance(first, int | float | np.number | list | tuple | np.ndarray):
        return "table", None
    if is_structure(first) or len(parse_compositions(values)[1]) > len(values) / 2:
        return "structures", None
    return "formulas", None

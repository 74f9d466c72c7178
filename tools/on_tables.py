"""Estimators of formulas and structures on the tables of scikit-learn's checks.

The functions ``table_to_…`` turn every row of finite numbers ``(n_samples, n_features)`` into a
formula, a crystal or a graph of its own.
"""

import inspect
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted, validate_data

_METALS = ("Fe", "Al", "Ti", "Cu", "Mg", "Zn", "Ni", "Mn", "Ca", "Si")


def table_to_formulas(X):
    """Formulas of oxygen and up to ten elements, whose amounts follow the numbers smoothly.

    There is one element for each column; further columns add to these.
    """
    amounts = 1 + _squash(X, len(_METALS))
    return [
        "O1" + "".join(f"{m}{a:.11f}" for m, a in zip(_METALS, row, strict=False))
        for row in amounts.tolist()
    ]


def table_to_structures(X):
    """Atoms of sodium and chlorine, whose cells and positions follow the numbers smoothly.

    Where the first number is positive, there is a second chlorine.
    """
    from ase import Atoms

    structures = []
    for row, first in zip(_squash(X, 9), X[:, 0], strict=True):
        values = np.pad(row, (0, 9 - len(row)))
        strain = np.diag(0.3 * values[:3]) + 0.1 * np.tril(np.ones((3, 3)), -1) * values[3:6]
        sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5] + 0.05 * values[6:], [0.5, 0.5, 0]])
        atoms = Atoms("NaCl2", scaled_positions=sites, cell=3.4 * (np.eye(3) + strain), pbc=True)
        structures.append(atoms if first > 0 else atoms[:2])
    return structures


def table_to_graphs(X):
    """Graphs of the crystals that :func:`table_to_structures` gives."""
    from trisk.featurizers import CrystalGraphFeaturizer

    featurizer = CrystalGraphFeaturizer(
        n_neighbors=6, n_angle_neighbors=2, n_dihedral_neighbors=2, composition=None
    )
    return featurizer.fit_transform(table_to_structures(X))


def _squash(X, n_columns):
    """At most so many columns, between -1 and 1; further ones are added to the first."""
    X = np.asarray(X, dtype=float)
    X = X / (1 + np.abs(X))
    folded = X[:, :n_columns].copy()
    for start in range(n_columns, X.shape[1], n_columns):
        part = X[:, start : start + n_columns]
        folded[:, : part.shape[1]] += part / (1 + start)
    return folded / max(1.0, sum(1 / (1 + s) for s in range(0, X.shape[1], n_columns)))


def on_tables(estimator, convert, *, answer=None):
    """Let an estimator of formulas or structures take the tables of scikit-learn's checks.

    Every method turns the rows of a table into what the estimator takes, after the checks that any
    estimator makes of a table, and is otherwise unchanged: what the checks then find is the
    estimator's own. A pipeline needs none of this, but
    ``FunctionTransformer(convert, validate=True)`` as its first step.

    Parameters
    ----------
    estimator : estimator
        An unfitted estimator or transformer.
    convert : callable
        Turns an array of shape (n_samples, n_features) into as many samples, such as
        :func:`table_to_formulas`. Functions of a module can be pickled, as some checks ask.
    answer : callable, default=None
        Turns what the methods return, where that is no array, into one.

    Returns
    -------
    estimator : estimator
        With the same parameters, of a subclass. Its tags say that a random table teaches little.

    Examples
    --------
    >>> from sklearn.utils.estimator_checks import check_estimator
    >>> from trisk.featurizers import StoichiometryFeaturizer
    >>> from tools.on_tables import on_tables, table_to_formulas
    >>> bridged = on_tables(StoichiometryFeaturizer(), table_to_formulas)
    >>> len(check_estimator(bridged, on_skip=None)) > 40
    True
    """
    bridged: Any = _tables_class(type(estimator), convert, answer)  # type: ignore[arg-type]
    return bridged(**estimator.get_params(deep=False))


@cache
def _tables_class(base, convert, answer):
    """Subclass whose methods take tables."""

    def tags_of_tables(self):
        tags = base.__sklearn_tags__(self)
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        tags.input_tags.string = tags.input_tags.dict = False
        for part in (tags.regressor_tags, tags.classifier_tags):
            if part is not None:
                part.poor_score = True
        return tags

    def reduce(self):
        return _blank, (base, convert, answer), self.__getstate__()

    members = {"__sklearn_tags__": tags_of_tables, "__reduce__": reduce, "__doc__": base.__doc__}
    for name in dir(base):
        method = inspect.getattr_static(base, name)
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        own = inspect.unwrap(method).__module__.partition(".")[0] != "sklearn"
        takes_rows = list(inspect.signature(method).parameters)[1:2] == ["X"]
        if own and takes_rows and not inspect.isgeneratorfunction(method):
            members[name] = _on_tables(method, convert, answer)
    return type(f"{base.__name__}OnTables", (base,), members)


def _on_tables(method, convert, answer):
    """The same method for tables, when called from outside the class."""
    fits = method.__name__.startswith("fit")

    @wraps(method)
    def on_tables(self, X=None, *args, **kwargs):
        if X is None or "_within" in vars(self):
            return method(self, X, *args, **kwargs)
        if not fits:
            check_is_fitted(self)
        rows = convert(validate_data(self, X, reset=fits, dtype=np.float64))
        if hasattr(X, "iloc") and isinstance(rows, list):
            rows = pd.Series(rows, index=X.index)
        with _within(self):
            result = method(self, rows, *args, **kwargs)
        return result if answer is None or result is self else answer(result)

    return on_tables


_OF_TABLES = ("n_features_in_", "feature_names_in_")


@contextmanager
def _within(estimator):
    """Let what an estimator knows of its input be that of converted rows."""
    state = vars(estimator)
    outside = {name: state.pop(name) for name in _OF_TABLES if name in state}
    state["_within"] = True
    try:
        yield
    finally:
        for name in ("_within", *_OF_TABLES):
            state.pop(name, None)
        state.update(outside)


def _blank(base, convert, answer):
    """An instance without parameters, to be filled by pickle."""
    cls = _tables_class(base, convert, answer)
    return cls.__new__(cls)

"""Formation energies from a potential: its energies minus those of the elements."""

from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from trisk.structures.graphs import CrystalGraphs

ENERGY = "Potential energy (eV/atom)"
FORMATION = "formation energy of the potential (meV/atom)"
_FRACTION = "ElementFraction "
_LARGEST_NUMBER = 118


class ReferenceEnergies(TransformerMixin, BaseEstimator):
    """Adds the formation energy that a potential gives, as a column or as context of graphs.

    The reference energies of the elements are those that bring the potential's energies closest
    to the formation energies of the training rows, by least squares; an element that no training
    row holds has none, and takes the mean of the others.
    """

    def fit(self, X, y):
        """Fit the reference energies to formation energies ``y``, in meV/atom."""
        energies, fractions = _read(X)
        known = fractions.any(axis=0)
        self.references_ = np.empty(fractions.shape[1])
        found = np.linalg.lstsq(fractions[:, known], energies - y, rcond=None)[0]
        self.references_[known], self.references_[~known] = found, found.mean()
        return self

    def transform(self, X):
        """Add the column."""
        energies, fractions = _read(X)
        formation = energies - fractions @ self.references_
        if isinstance(X, CrystalGraphs):
            context = np.hstack([X.context, formation[:, None].astype(X.context.dtype)])
            names = {**X.names, "context": (*X.names["context"], FORMATION)}
            return replace(X, context=context, names=names)
        return X.assign(**{FORMATION: formation})


def _read(X):
    """Energies in meV/atom, and fractions of the elements."""
    if isinstance(X, CrystalGraphs):
        energies = X.context[:, X.names["context"].index(ENERGY)]
        counts = X.counts("atom")
        rows = np.repeat(np.arange(len(X)), counts)
        fractions = np.zeros((len(X), _LARGEST_NUMBER + 1))
        np.add.at(fractions, (rows, X.atomic_numbers), 1 / counts[rows])
    else:
        energies = X[ENERGY].to_numpy()
        fractions = X[[name for name in X if name.startswith(_FRACTION)]].to_numpy()
    return 1e3 * energies.astype(float), fractions

"""TriForces: three streams, of properties, energies, forces and stresses."""

from trisk.estimators.triforces._classifier import TriForcesClassifier
from trisk.estimators.triforces._potential import TriForcesPotential
from trisk.estimators.triforces._pretrainer import TriForcesPretrainer
from trisk.estimators.triforces._regressor import TriForcesRegressor

__all__ = [
    "TriForcesClassifier",
    "TriForcesPotential",
    "TriForcesPretrainer",
    "TriForcesRegressor",
]

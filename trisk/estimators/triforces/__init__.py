"""TriForces: three streams, of properties, energies, forces and stresses."""

from trisk.estimators.triforces._classifier import TriForcesClassifier
from trisk.estimators.triforces._potential import TriForcesPotential
from trisk.estimators.triforces._pretrainer import TriForcesPretrainer
from trisk.estimators.triforces._regressor import TriForcesRegressor
from trisk.estimators.triforces._sensors import SENSORS, TriForcesSensors

__all__ = [
    "SENSORS",
    "TriForcesClassifier",
    "TriForcesPotential",
    "TriForcesPretrainer",
    "TriForcesRegressor",
    "TriForcesSensors",
]

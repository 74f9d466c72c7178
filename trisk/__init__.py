"""Materials property prediction with scikit-learn's interface, strongest where data is scarce.

``import trisk`` is lazy: a public name loads its module (and torch, or pymatgen) when it is
first used.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "datasets",
    "estimators",
    "featurizers",
    "graphs",
    "model_selection",
    "neighbor_lists",
    "nn",
    "persistence",
    "pipelines",
    "plotting",
    "pretraining",
    "testing",
)

#: Public name → the module that defines it.
_EXPORTS = {
    "CompositionFeaturizer": "featurizers",
    "CalibrationDisplay": "plotting",
    "composition_pipeline": "pipelines",
    "cross_validate": "model_selection",
    "CrystalGraphFeaturizer": "featurizers",
    "HurdleRegressor": "estimators",
    "DeltaRegressor": "estimators",
    "GraphTRIADSClassifier": "estimators",
    "GraphTRIADSRegressor": "estimators",
    "HybridTRIADSClassifier": "estimators",
    "HybridTRIADSRegressor": "estimators",
    "LayerFeaturizer": "featurizers",
    "MagpieFeaturizer": "featurizers",
    "Mat2VecFeaturizer": "featurizers",
    "load": "persistence",
    "load_band_gaps": "datasets",
    "leave_cluster_out": "model_selection",
    "load_matbench": "datasets",
    "load_prototypes": "datasets",
    "matbench_folds": "model_selection",
    "nested_cross_validate": "model_selection",
    "optuna_search": "model_selection",
    "ParityDisplay": "plotting",
    "PotentialFeaturizer": "featurizers",
    "PowerSpectrumFeaturizer": "featurizers",
    "save": "persistence",
    "SpringModelFeaturizer": "featurizers",
    "StructureRetriever": "estimators",
    "TriForcesClassifier": "estimators",
    "TriForcesPotential": "estimators",
    "TriForcesPretrainer": "estimators",
    "TriForcesRegressor": "estimators",
    "TriForcesSensors": "estimators",
}

__all__ = [*sorted(_EXPORTS), *_SUBMODULES]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"trisk.{_EXPORTS[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"trisk.{name}")
    raise AttributeError(f"module 'trisk' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])

"""Small models of every class that trisk stores, each with input and a method to call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

FORMULAS = [
    "NaCl", "GaAs", "Fe2O3", "SiO2", "TiO2", "MgO", "ZnS", "CdTe", "InP", "AlN", "BN", "SiC",
    "Cu2O", "NiO", "CoO", "MnO", "CaF2", "LiF", "KBr", "CsI", "SrTiO3", "BaTiO3", "PbTe", "SnS",
    "Fe", "Cu", "Al", "W", "TiAl", "Ni3Al", "FeNi", "Fe0.9C0.1", "Ca3(PO4)2", "YBa2Cu3O7",
]  # fmt: skip
_SIZES = {
    "HybridTRIADS": {"hidden_dim": 8, "feedforward_dim": 8, "n_frequencies": 4},
    "CompositionEncoder": {},
    "GraphTRIADS": {"order": 2, "hidden_dim": 8, "bond_dim": 8, "angle_dim": 4,
                    "feedforward_dim": 8, "min_cycles": 2, "max_cycles": 4},
    "TriForces": {"hidden_dim": 8, "n_layers": 1, "cutoff": 4.0},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model to fit, its data, and what to ask of it."""

    name: str
    build: Callable[[], Any]
    inputs: str  # name of a function of this module
    target: str | None  # "number", "class" or None
    method: str

    def data(self, random_state=0):
        """Input and target to fit."""
        X = globals()[self.inputs](random_state)
        number = np.round(np.random.default_rng(random_state).gamma(2.0, size=len(X)), 3)
        y = {"number": number, "class": np.where(number > 1.5, "high", "low"), None: None}
        return X, y[self.target]

    def fit(self, random_state=0):
        """Fit the model."""
        X, y = self.data(random_state)
        return self.build().fit(X, y)

    def ask(self, model, X):
        """Numbers that the model gives, as one flat array."""
        return flatten(getattr(model, self.method)(X))


def flatten(result):
    """One flat array of numbers from whatever a method of a model gives."""
    if isinstance(result, dict | list | tuple):
        parts = result.values() if isinstance(result, dict) else result
        return np.concatenate([flatten(v) for v in parts])
    if hasattr(result, "bond_lengths"):
        return np.concatenate([result.bond_lengths, result.angle_cosines, result.context.ravel()])
    return np.asarray(result, dtype=float).ravel()


def formulas(random_state=0):
    """Some formulas."""
    return list(FORMULAS)


def table(random_state=0):
    """Forty rows of four columns of different scale."""
    rng = np.random.default_rng(random_state + 1)
    return rng.normal(size=(40, 4)).round(6) * [1.0, 10.0, 0.1, 100.0]


def structures(random_state=0):
    """Sixteen small crystals."""
    from trisk.testing import make_structures

    return make_structures(16, random_state=random_state)[0]


def frames(random_state=0):
    """Eight strained and rattled cells of copper with energies, forces and stresses of EMT."""
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator

    rng = np.random.default_rng(random_state + 2)
    made = [bulk("Cu", cubic=True) for _ in range(8)]
    for frame in made:
        strain = np.eye(3) + 0.03 * rng.standard_normal((3, 3))
        frame.set_cell(frame.cell.array @ strain, scale_atoms=True)
        frame.positions += 0.1 * rng.standard_normal((4, 3))
        frame.calc = EMT()
        frame.get_stress()
        known = {key: frame.calc.results[key] for key in ("energy", "forces", "stress")}
        frame.calc = SinglePointCalculator(frame, **known)
    return made


def layers(random_state=0):
    """Six layers of transition-metal dichalcogenides with vacuum between their images."""
    from ase.build import mx2

    kinds = ("MoS2", "WS2", "MoSe2", "WSe2", "TaS2", "NbSe2")
    made = [mx2(f, a=3.1 + 0.05 * n, vacuum=8) for n, f in enumerate(kinds)]
    for layer in made:
        layer.pbc = True
    return made


def _small(name, **params):
    """A network of a few hundred weights."""
    from trisk import estimators

    family = next(f for f in _SIZES if name.startswith(f))
    sizes = {f"network__{key}": value for key, value in _SIZES[family].items()}
    common = {"max_epochs": 3, "batch_size": 16, "random_state": 0, "device": "cpu"}
    model = getattr(estimators, name)().set_params(**common, **sizes)
    if "n_members" in model.get_params():
        model.set_params(n_members=1 if family == "TriForces" else 2)
    return model.set_params(**params)


def _trees(kind, family="ExtraTrees"):
    from sklearn import ensemble

    return getattr(ensemble, f"{family}{kind}")(n_estimators=3, max_depth=4, random_state=0)


def _hurdle(family="ExtraTrees"):
    from trisk.estimators import HurdleRegressor

    return HurdleRegressor(_trees("Classifier", family), _trees("Regressor", family))


def _after(featurizer, estimator, **params):
    from sklearn.pipeline import make_pipeline

    from trisk import featurizers

    return make_pipeline(getattr(featurizers, featurizer)(**params), estimator)


def _retriever():
    from trisk.estimators import StructureRetriever
    from trisk.featurizers import PowerSpectrumFeaturizer

    spectrum = PowerSpectrumFeaturizer(cutoff=4.0, n_radial=2, max_degree=1)
    return StructureRetriever(pretrainer=spectrum, n_neighbors=3)


def _delta():
    from trisk.estimators import DeltaRegressor

    return DeltaRegressor(_small("HybridTRIADSRegressor"), kind="difference")


def _mean():
    from trisk.estimators import CalibratedVotingRegressor

    both = [("network", _small("HybridTRIADSRegressor")), ("trees", _trees("Regressor"))]
    return CalibratedVotingRegressor(both, random_state=0)


def _of_logarithm():
    from sklearn.compose import TransformedTargetRegressor

    network = _small("TriForcesRegressor")
    return TransformedTargetRegressor(network, func=np.log1p, inverse_func=np.expm1)


def _sensors():
    from trisk.estimators import TriForcesSensors

    return TriForcesSensors(pretrained=case("TriForcesRegressor").fit())


def _union():
    from sklearn.pipeline import make_pipeline, make_union

    from trisk.featurizers import MagpieFeaturizer

    return make_pipeline(make_union(MagpieFeaturizer(), _sensors()), _trees("Regressor"))


def _measured():
    from sklearn.frozen import FrozenEstimator

    from trisk.featurizers import PotentialFeaturizer

    potential = FrozenEstimator(case("TriForcesPotential").fit())
    return PotentialFeaturizer(potential, sensors=["energy", "stress", "forces", "einstein"])


def _embedded():
    from sklearn.frozen import FrozenEstimator

    from trisk.featurizers import PotentialEmbedder

    return PotentialEmbedder(FrozenEstimator(case("TriForcesPotential").fit()))


def _graphs(estimator):
    return _after("CrystalGraphFeaturizer", estimator, order=2, composition=["magpie"])


def _estimators():
    attention = {"network__n_attention_layers": 1, "network__attention_dim": 8}
    stacked = {"stack_with": _trees("Regressor"), "calibrate": True, "n_neighbors": 4}
    rows = [
        ("HybridTRIADSRegressor", lambda: _small("HybridTRIADSRegressor"), "table", "number"),
        ("HybridTRIADSRegressor-stacked", lambda: _small("HybridTRIADSRegressor", **stacked),
         "table", "number"),
        ("HybridTRIADSRegressor-hurdle",
         lambda: _small("HybridTRIADSRegressor", stack_with=_hurdle()), "table", "number"),
        ("HybridTRIADSClassifier-attention", lambda: _after(
            "StoichiometryFeaturizer", _small("HybridTRIADSClassifier", **attention)),
         "formulas", "class"),
        ("CompositionEncoderRegressor", lambda: _after(
            "ElementFractionFeaturizer", _small("CompositionEncoderRegressor")),
         "formulas", "number"),
        ("CompositionEncoderClassifier", lambda: _after(
            "ElementFractionFeaturizer", _small("CompositionEncoderClassifier")),
         "formulas", "class"),
        ("HurdleRegressor", _hurdle, "table", "number"),
        ("DeltaRegressor", _delta, "table", "number"),
        ("CalibratedVotingRegressor", _mean, "table", "number"),
        ("GraphTRIADSRegressor", lambda: _graphs(_small("GraphTRIADSRegressor")), "structures",
         "number"),
        ("GraphTRIADSClassifier", lambda: _graphs(_small("GraphTRIADSClassifier")), "structures",
         "class"),
        ("TriForcesRegressor", lambda: _small("TriForcesRegressor"), "structures", "number"),
        ("TriForcesRegressor-logarithm", _of_logarithm, "structures", "number"),
        ("TriForcesClassifier", lambda: _small("TriForcesClassifier"), "structures", "class"),
        ("TriForcesSensors-union", _union, "structures", "number"),
        ("TriForcesPotential", lambda: _small("TriForcesPotential"), "frames", None),
    ]  # fmt: skip
    return [
        Case(*row, "predict_proba" if row[-1] == "class" else "predict") for row in rows
    ] + [
        Case("TriForcesPretrainer", lambda: _small("TriForcesPretrainer", n_slices=8),
             "structures", None, "transform"),
        Case("TriForcesSensors", _sensors, "structures", None, "transform"),
        Case("StructureRetriever", _retriever, "structures", None, "kneighbors"),
    ]  # fmt: skip


def _featurizers():
    from trisk import featurizers as f

    special = {
        "CompositionFeaturizer": {"blocks": ["magpie", "element_fraction"]},
        "Mat2VecFeaturizer": {"vectors": "megnet16"},
    }
    on_structures = {
        "CrystalGraphFeaturizer": {"order": 3, "composition": ["magpie"]},
        "PowerSpectrumFeaturizer": {"cutoff": 4.0, "n_radial": 2, "max_degree": 1},
        "SpringModelFeaturizer": {},
    }
    classes = {
        name: getattr(f, name) for name in f.__all__ if hasattr(getattr(f, name), "transform")
    }
    names = [n for n, c in classes.items() if c.__module__.startswith("trisk.featurizers.comp")]
    return [
        *(Case(n, lambda n=n: classes[n](**special.get(n, {})), "formulas", None, "transform")
          for n in names),
        *(Case(n, lambda n=n, p=p: classes[n](**p), "structures", None, "transform")
          for n, p in on_structures.items()),
        Case("LayerFeaturizer", f.LayerFeaturizer, "layers", None, "transform"),
        Case("PotentialEmbedder", _embedded, "frames", None, "transform"),
        Case("PotentialFeaturizer", _measured, "frames", None, "transform"),
    ]  # fmt: skip


def cases():
    """All cases: every estimator and every featurizer."""
    return [*_estimators(), *_featurizers()]


def case(name):
    """One case by its name."""
    return next(c for c in cases() if c.name == name)

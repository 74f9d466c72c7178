"""Small models of every class that trisk stores, each with input and a method to call.

All parameters that shape a network are written out, so that a change of a default changes no
golden number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

FORMULAS = [
    "NaCl", "GaAs", "Fe2O3", "SiO2", "TiO2", "MgO", "ZnS", "CdTe", "InP", "AlN", "BN", "SiC",
    "Cu2O", "NiO", "CoO", "MnO", "CaF2", "LiF", "KBr", "CsI", "SrTiO3", "BaTiO3", "PbTe", "SnS",
    "Bi2Te3", "Sb2Se3", "MoS2", "WSe2", "Fe", "Cu", "Al", "W", "TiAl", "Ni3Al", "FeNi", "CuZn",
    "Fe0.9C0.1", "Ni0.5Cr0.5", "Ca3(PO4)2", "YBa2Cu3O7",
]  # fmt: skip
_TABLE = {
    "n_attention_layers": None,
    "n_members": 2,
    "max_epochs": 4,
    "batch_size": 16,
    "embedding_dim": 3,
    "n_frequencies": 4,
    "frequency_scale": 0.5,
    "hidden_dim": 8,
    "feedforward_dim": 8,
    "n_steps": 2,
    "dropout": 0.1,
    "scaling": "robust",
    "n_neighbors": None,
    "companion": None,
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "beta2": 0.99,
    "max_grad_norm": 1.0,
    "schedule": "cosine",
    "averaging": "ema",
    "ema_decay": 0.9,
    "validation_fraction": 0.0,
    "random_state": 0,
    "device": "cpu",
}
_ENCODER = {
    name: _TABLE[name]
    for name in (
        "n_members", "max_epochs", "batch_size", "learning_rate", "weight_decay", "beta2",
        "max_grad_norm", "schedule", "averaging", "ema_decay", "validation_fraction",
        "random_state", "device",
    )
}  # fmt: skip
_GRAPH = {
    "order": 2,
    "n_members": 2,
    "max_epochs": 3,
    "hidden_dim": 8,
    "bond_dim": 8,
    "angle_dim": 4,
    "feedforward_dim": 8,
    "min_cycles": 2,
    "max_cycles": 4,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "random_state": 0,
    "device": "cpu",
}
_CRYSTAL = {
    "backbone": "builtin",
    "streams": ("composition", "structure", "interaction"),
    "hidden_dim": 8,
    "n_layers": 1,
    "cutoff": 4.0,
    "n_members": 1,
    "max_epochs": 2,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "ema_decay": 0.9,
    "validation_fraction": 0.0,
    "random_state": 0,
    "device": "cpu",
}


@dataclass(frozen=True)
class Case:
    """A model to fit, its data, and what to ask of it."""

    name: str
    build: Callable[[], Any]
    inputs: str  # "formulas", "table", "structures", "frames" or "layers"
    target: str | None  # "number", "class" or None
    method: str

    def data(self, random_state=0):
        """Input and target to fit; the first ten rows are asked for predictions."""
        X = {
            "formulas": formulas,
            "table": table,
            "structures": structures,
            "frames": frames,
            "layers": layers,
        }[self.inputs](random_state)
        rng = np.random.default_rng(random_state)
        number = np.round(rng.gamma(2.0, size=len(X)), 3)
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
    if isinstance(result, dict):
        return np.concatenate([flatten(v) for v in result.values()])
    if isinstance(result, list | tuple):
        return np.concatenate([flatten(v) for v in result])
    if hasattr(result, "bond_lengths"):
        return np.concatenate([result.bond_lengths, result.angle_cosines, result.context.ravel()])
    return np.asarray(result, dtype=float).ravel()


def formulas(random_state=0):
    """Forty formulas."""
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
    made = []
    for _ in range(8):
        frame = bulk("Cu", cubic=True)
        strain = np.eye(3) + 0.03 * rng.standard_normal((3, 3))
        frame.set_cell(frame.cell.array @ strain, scale_atoms=True)
        frame.positions += 0.1 * rng.standard_normal((4, 3))
        frame.calc = EMT()
        found = {
            "energy": frame.get_potential_energy(),
            "forces": frame.get_forces(),
            "stress": frame.get_stress(),
        }
        frame.calc = SinglePointCalculator(frame, **found)
        made.append(frame)
    return made


def small_encoder():
    """Write weights of a small encoder that knows nothing, always the same; return the path."""
    import tempfile
    from pathlib import Path

    from safetensors.numpy import save_file

    d, rng = 8, np.random.default_rng(0)
    layer = {
        "norm_attention": d, "norm_update": d, "project": (3 * d, d), "join": (d, d),
        "widen": (2 * d, d), "narrow": (d, 2 * d),
    }  # fmt: skip
    maps = {f"layers.0.{name}": shape for name, shape in layer.items()}
    maps |= {
        "fraction": (d, 8), "norm": d, "pool": (2, d), "widen": (2 * d, 2 * d),
        "narrow": (6, 2 * d), "answer": (2, 6),
    }  # fmt: skip
    arrays = {
        "element": rng.normal(size=(119, d)), "layers.0.weight_of_fraction": np.ones(2),
        "scale": np.ones(2), "center": np.zeros(2),
    }  # fmt: skip
    for name, shape in maps.items():
        is_norm = isinstance(shape, int)
        arrays[f"{name}.weight"] = np.ones(shape) if is_norm else rng.normal(0, 0.3, size=shape)
        arrays[f"{name}.bias"] = np.zeros(shape if is_norm else shape[0])
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    path = Path(tempfile.gettempdir()) / "trisk_small_encoder.safetensors"
    save_file(arrays, path, metadata={"targets": '["first", "second"]'})
    return str(path)


def layers(random_state=0):
    """Six layers of transition-metal dichalcogenides with vacuum between their images."""
    from ase.build import mx2

    formulas = ("MoS2", "WS2", "MoSe2", "WSe2", "TaS2", "NbSe2")
    made = [mx2(f, a=3.1 + 0.05 * n, vacuum=8) for n, f in enumerate(formulas)]
    for layer in made:
        layer.pbc = True
    return made


def _trees(kind, family="ExtraTrees"):
    from sklearn import ensemble

    return getattr(ensemble, f"{family}{kind}")(n_estimators=3, max_depth=4, random_state=0)


def _median_trees():
    from trisk.estimators.tables._companion import MedianTrees

    return MedianTrees(n_estimators=3, max_depth=4, random_state=0)


def _on_formulas(estimator):
    from sklearn.pipeline import make_pipeline

    from trisk.featurizers import StoichiometryFeaturizer

    return make_pipeline(StoichiometryFeaturizer(), estimator)


def _on_fractions(estimator):
    from sklearn.pipeline import make_pipeline

    from trisk.featurizers import ElementFractionFeaturizer

    return make_pipeline(ElementFractionFeaturizer(), estimator)


def _on_graphs(estimator):
    from sklearn.pipeline import make_pipeline

    from trisk.featurizers import CrystalGraphFeaturizer

    return make_pipeline(CrystalGraphFeaturizer(order=2, composition=["magpie"]), estimator)


def _retriever():
    from trisk.estimators import StructureRetriever
    from trisk.featurizers import PowerSpectrumFeaturizer

    spectrum = PowerSpectrumFeaturizer(cutoff=4.0, n_radial=2, max_degree=1)
    return StructureRetriever(spectrum, n_neighbors=3)


def _estimators():
    from trisk import estimators as e

    def hurdle(family="ExtraTrees"):
        parts = _trees("Classifier", family), _trees("Regressor", family)
        return e.HurdleRegressor(*parts, random_state=0)

    return [
        Case("HybridTRIADSRegressor", lambda: e.HybridTRIADSRegressor(**_TABLE), "table",
             "number", "predict"),
        Case("HybridTRIADSRegressor-companion", lambda: e.HybridTRIADSRegressor(
             **_TABLE | {"companion": _trees("Regressor"), "calibrate": True, "n_neighbors": 4}),
             "table", "number", "predict"),
        Case("HybridTRIADSRegressor-hurdle",
             lambda: e.HybridTRIADSRegressor(**_TABLE | {"companion": hurdle()}),
             "table", "number", "predict"),
        Case("HybridTRIADSRegressor-medians",
             lambda: e.HybridTRIADSRegressor(**_TABLE | {"companion": _median_trees()}),
             "table", "number", "predict"),
        Case("HybridTRIADSClassifier-attention", lambda: _on_formulas(e.HybridTRIADSClassifier(
             **_TABLE | {"n_attention_layers": 1, "attention_dim": 4, "n_heads": 2})),
             "formulas", "class", "predict_proba"),
        Case("CompositionEncoderRegressor", lambda: _on_fractions(
             e.CompositionEncoderRegressor(pretrained=small_encoder(), **_ENCODER)),
             "formulas", "number", "predict"),
        Case("CompositionEncoderClassifier", lambda: _on_fractions(
             e.CompositionEncoderClassifier(pretrained=small_encoder(), **_ENCODER)),
             "formulas", "class", "predict_proba"),
        Case("HurdleRegressor", hurdle, "table", "number", "predict"),
        Case("HurdleRegressor-forests", lambda: hurdle("RandomForest"), "table", "number",
             "predict"),
        Case("DeltaRegressor", lambda: e.DeltaRegressor(
             e.HybridTRIADSRegressor(**_TABLE), kind="difference"), "table", "number", "predict"),
        Case("GraphTRIADSRegressor", lambda: _on_graphs(e.GraphTRIADSRegressor(**_GRAPH)),
             "structures", "number", "predict"),
        Case("GraphTRIADSClassifier", lambda: _on_graphs(e.GraphTRIADSClassifier(**_GRAPH)),
             "structures", "class", "predict_proba"),
        Case("TriForcesRegressor", lambda: e.TriForcesRegressor(**_CRYSTAL), "structures",
             "number", "predict"),
        Case("TriForcesRegressor-logarithm", _of_logarithm, "structures", "number", "predict"),
        Case("TriForcesClassifier", lambda: e.TriForcesClassifier(**_CRYSTAL), "structures",
             "class", "predict_proba"),
        Case("TriForcesPretrainer", lambda: e.TriForcesPretrainer(
             n_slices=8, **{k: v for k, v in _CRYSTAL.items()
                            if k not in ("n_members", "validation_fraction")}),
             "structures", None, "transform"),
        Case("TriForcesSensors", _predicted_sensors, "structures", None, "transform"),
        Case("TriForcesSensors-union", _on_union, "structures", "number", "predict"),
        Case("StructureRetriever", _retriever, "structures", None, "kneighbors"),
        Case("TriForcesPotential", lambda: e.TriForcesPotential(**_CRYSTAL), "frames", None,
             "predict"),
    ]  # fmt: skip


def _of_logarithm():
    from sklearn.compose import TransformedTargetRegressor

    from trisk import TriForcesRegressor

    network = TriForcesRegressor(**_CRYSTAL)
    return TransformedTargetRegressor(network, func=np.log1p, inverse_func=np.expm1)


def _on_union():
    from sklearn.pipeline import make_pipeline, make_union

    from trisk.featurizers import MagpieFeaturizer

    columns = make_union(MagpieFeaturizer(), _predicted_sensors())
    return make_pipeline(columns, _trees("Regressor"))


def _predicted_sensors():
    from trisk import TriForcesSensors

    return TriForcesSensors(case("TriForcesRegressor").fit())


def _sensors():
    from sklearn.frozen import FrozenEstimator

    from trisk.featurizers import PotentialFeaturizer

    potential = FrozenEstimator(case("TriForcesPotential").fit())
    return PotentialFeaturizer(potential, sensors=["energy", "stress", "forces", "einstein"])


def _featurizers():
    from trisk import featurizers as f
    from trisk.featurizers.composition._base import BaseCompositionFeaturizer

    on_formulas = [
        name
        for name in f.__all__
        if isinstance(getattr(f, name), type)
        and issubclass(getattr(f, name), BaseCompositionFeaturizer)
    ]
    special = {
        "CompositionFeaturizer": {"blocks": ["magpie", "element_fraction"]},
        "Mat2VecFeaturizer": {"vectors": "megnet16"},
        # The one that ships would add 2 MB to the file.
        "PretrainedFeaturizer": {"weights": small_encoder()},
    }
    cases = [
        Case(n, lambda n=n: getattr(f, n)(**special.get(n, {})), "formulas", None, "transform")
        for n in on_formulas
    ]
    return [
        *cases,
        Case("ColumnSelector", f.ColumnSelector, "table", None, "transform"),
        Case("CrystalGraphFeaturizer", lambda: f.CrystalGraphFeaturizer(
             order=3, composition=["magpie"]), "structures",
             None, "transform"),
        Case("PowerSpectrumFeaturizer", lambda: f.PowerSpectrumFeaturizer(
             cutoff=4.0, n_radial=2, max_degree=1), "structures", None, "transform"),
        Case("LayerFeaturizer", f.LayerFeaturizer, "layers", None, "transform"),
        Case("SpringModelFeaturizer", f.SpringModelFeaturizer, "structures", None, "transform"),
        Case("PotentialFeaturizer", _sensors, "frames", None, "transform"),
    ]  # fmt: skip


def cases():
    """All cases: every estimator and every featurizer."""
    return [*_estimators(), *_featurizers()]


def case(name):
    """One case by its name."""
    return next(c for c in cases() if c.name == name)

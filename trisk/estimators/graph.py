"""GraphTRIADS for crystal graphs with bonds, angles and dihedrals."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from trisk._compat import Interval, StrOptions
from trisk._compat import Options as AnyOf
from trisk.estimators.base import CALIBRATE_TEXT, NetworkEstimator, check_elements, document
from trisk.estimators.calibration import calibrate_structures
from trisk.estimators.scaling import ColumnScaler, scale_context
from trisk.estimators.tasks import ClassifierTask, RegressorTask
from trisk.nn import DeepSupervisionLoss, GraphBatch, GraphTRIADSNetwork
from trisk.structures import CrystalGraphs
from trisk.training.datasets import (
    StructureDataset,
    draw_seed,
    draw_validation,
    member_seeds,
    pack,
)
from trisk.training.net import resolve_device, train
from trisk.training.settings import STEPS, WIDTH, AutomaticSchedule, Choice, Options, Range

#: The column from which the network makes springs.
STIFFNESS = "bond stiffness (N/m)"
# N/m; a pair without force constants, or with negative ones, is no spring.
_NO_STIFFNESS = 1e-12
# Bonds of all members in a batch of prediction.
_PREDICTION_BONDS = 20_000

_FITTED_TEXT = """
    scaler_ : GraphScaler
        Scaling of the features of atoms, bonds and compositions.
    columns_ : dict
        Names of the columns of the graphs seen in `fit`.
    elements_ : ndarray of int
        Atomic numbers of the elements in the training set."""


_ELEMENTS_TEXT = """
    unknown_elements : {"warn", "raise", "ignore"}, default="warn"
        What to do in predictions about structures with elements that the training set had not."""


@dataclass(kw_only=True, repr=False, eq=False)
class GraphTRIADSOptions(Options):
    """Architecture of a GraphTRIADS network.

    Parameters
    ----------
    order : {1, 2, 3}, default=3
        Geometry the network reads: bond lengths, bond angles too, dihedral angles too. A level
        that no training graph has is left out, with a warning.
    physics : bool, default=True
        Whether the network reads the bonds' physics sensors, and makes springs of their stiffness
        times a learned factor, whose vibrations the prediction starts from.
    n_radial, n_angular : int, default=40, 8
        Gaussians of the bond length, cosines of multiples of the angles.
    element_dim : int, default=16
        Width of the learned vector of each element.
    hidden_dim, bond_dim, angle_dim : int, default=64, 48, 16
        Width of the states of atoms and of bonds, and of the messages along angles.
    feedforward_dim : int, default=128
        Width of the hidden layers of the atoms' updates.
    n_heads : int, default=4
        Attention heads that pool atoms; must divide `hidden_dim`.
    min_cycles, max_cycles : int, default=4, 16
        Fewest and most cycles of the recursion, up to 1000. In between, a gate closes the
        recursion of each crystal, in training and in prediction.
    halting_threshold : float, default=0.1
        Openness of the gate below which a crystal halts.
    ponder_cost : float, default=0.01
        Loss for every cycle beyond the fewest; a larger one makes the gate close sooner.
    dropout : float, default=0.1
        Dropout rate.
    deep_supervision : bool, default=True
        Whether every cycle is supervised, with weights 1, 2, …, or the last one only.
    """

    order: int = 3
    physics: bool = True
    n_radial: int = 40
    n_angular: int = 8
    element_dim: int = 16
    hidden_dim: int = 64
    bond_dim: int = 48
    angle_dim: int = 16
    feedforward_dim: int = 128
    n_heads: int = 4
    min_cycles: int = 4
    max_cycles: int = 16
    halting_threshold: float = 0.1
    ponder_cost: float = 0.01
    dropout: float = 0.1
    deep_supervision: bool = True

    _parameter_constraints: ClassVar[Mapping[str, Any]] = {
        "order": [AnyOf(Integral, {1, 2, 3})],
        "physics": ["boolean"],
        "n_radial": [Interval(Integral, 2, 1024, closed="both")],
        "n_angular": [Interval(Integral, 2, 1024, closed="both")],
        "element_dim": WIDTH,
        "hidden_dim": WIDTH,
        "bond_dim": WIDTH,
        "angle_dim": WIDTH,
        "feedforward_dim": WIDTH,
        "n_heads": WIDTH,
        "min_cycles": STEPS,
        "max_cycles": STEPS,
        "halting_threshold": [Interval(Real, 0, 1, closed="left")],
        "ponder_cost": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "deep_supervision": ["boolean"],
    }

    def _check(self):
        super()._check()
        if self.hidden_dim % self.n_heads:
            raise ValueError(f"n_heads={self.n_heads} must divide hidden_dim={self.hidden_dim}.")
        if self.min_cycles > self.max_cycles:
            raise ValueError(
                f"min_cycles={self.min_cycles} must not exceed max_cycles={self.max_cycles}."
            )
        return self


@dataclass(frozen=True)
class GraphScaler:
    """Scaling of the features of atoms, whole structures and, where they have physics, bonds."""

    atoms: ColumnScaler
    context: ColumnScaler
    sensors: ColumnScaler | None

    @classmethod
    def fit(cls, graphs, *, physics):
        return cls(
            atoms=ColumnScaler.fit(graphs.atom_features),
            context=ColumnScaler.fit(graphs.context),
            sensors=ColumnScaler.fit(np.log(_positive(graphs.bond_sensors))) if physics else None,
        )

    def transform(self, graphs):
        """Scale graphs; the stiffness in N/m, or one without physics, stands before the sensors."""
        sensors = np.ones((len(graphs.bond_sensors), 1))
        if self.sensors is not None:
            column = graphs.names["bond_sensors"].index(STIFFNESS)
            values = _positive(graphs.bond_sensors)
            sensors = np.hstack([values[:, [column]], self.sensors.transform(np.log(values))])
        return replace(
            graphs,
            atom_features=self.atoms.transform(graphs.atom_features),
            context=scale_context(self.context, graphs),
            bond_sensors=sensors,
        )


def _positive(sensors):
    return np.maximum(sensors.astype(np.float64), _NO_STIFFNESS)


def collate(graphs, device, dtype):
    """Turn scaled graphs, whose first sensor is an unscaled stiffness, into a GraphBatch."""
    atom_structure = np.repeat(np.arange(len(graphs)), graphs.counts("atom"))
    center, neighbor = graphs.bond_atoms.T
    lattices = graphs.lattices[atom_structure[center]]
    shifts = (graphs.bond_images[:, None, :] @ lattices)[:, 0]
    vectors = graphs.positions[neighbor] + shifts - graphs.positions[center]
    arrays = {
        "atom_structure": atom_structure,
        "bond_directions": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        "bond_stiffness": graphs.bond_sensors[:, 0],
        "bond_sensors": graphs.bond_sensors[:, 1:],
    }
    tensors = {}
    for name in (field.name for field in fields(GraphBatch)):
        array = np.ascontiguousarray(arrays[name] if name in arrays else getattr(graphs, name))
        is_index = array.dtype.kind == "i"
        tensors[name] = torch.from_numpy(array.astype(np.int64, copy=False) if is_index else array)
    return GraphBatch(**tensors).to(device, dtype)


class _GraphLoss(DeepSupervisionLoss):
    """The same loss for targets of structures, which all members see, weighted for each."""

    def forward(self, output, targets):
        """One loss per member, from targets ``(B, n_outputs)`` and weights ``(B, K)``."""
        weight = targets["weight"].T
        return super().forward(output, (targets["target"].expand(len(weight), -1, -1), weight))


@dataclass(kw_only=True, repr=False, eq=False)
class BaseGraphTRIADS(NetworkEstimator):
    """Crystal graphs in, scaled graphs to the network."""

    n_members: int = 4
    max_epochs: int | str = 60
    batch_size: int | str = 32
    unknown_elements: str = "warn"
    calibrate: bool = False

    _schedule = AutomaticSchedule(n_steps=320, n_rows=250, n_batches=32, smallest=32, largest=512)
    _options = {**NetworkEstimator._options, "network": GraphTRIADSOptions}
    _takes_structures = True
    _texts = {"Parameters": _ELEMENTS_TEXT + CALIBRATE_TEXT, "Attributes": _FITTED_TEXT}
    _parameter_constraints = {
        "network": [GraphTRIADSOptions, None],
        "unknown_elements": [StrOptions({"warn", "raise", "ignore"})],
        "calibrate": ["boolean"],
    }
    _search_space = {
        **NetworkEstimator._search_space,
        "network__order": Choice((1, 2, 3)),
        "network__hidden_dim": Range(32, 128, step=32),
        "network__bond_dim": Range(32, 96, step=16),
        "network__max_cycles": Range(4, 16, step=4),
        "network__ponder_cost": Range(1e-3, 3e-2, log=True),
        "network__dropout": Range(0.0, 0.3),
    }

    def fit(self, X, y, sample_weight=None):
        self._validate_params()
        # A fit that fails must not leave the nets of an earlier one beside new scalers.
        self.__dict__.pop("nets_", None)
        options, training = self.options("network"), self.options("training")
        graphs = self._check_training_graphs(self._check_graphs(X))
        if options.physics and STIFFNESS not in graphs.names["bond_sensors"]:
            raise ValueError(
                f"physics=True needs the sensor {STIFFNESS!r}, which the graphs do not have. Set "
                "network__physics=False, or build the graphs with "
                "CrystalGraphFeaturizer(physics=True) and an order of 1 or more."
            )
        graphs, raw, weight = self._read_labels(graphs, y, sample_weight)
        target, loss = self._scale_target(raw, weight)
        calibrate_structures(self, graphs, self._original_target(raw), weight)
        self.columns_, self.elements_ = dict(graphs.names), np.unique(graphs.atomic_numbers)
        self.scaler_ = GraphScaler.fit(graphs, physics=options.physics)
        graphs = self.scaler_.transform(graphs)
        seeds = member_seeds(self.random_state, self.n_members)
        self.architecture_ = self._describe_network(graphs, options, target.shape[1], seeds)
        dataset, validation = self._divide(
            graphs, target, weight / weight.mean(), seeds, training.validation_fraction
        )
        net = train(
            self,
            self._build(self.architecture_),
            _GraphLoss(loss, deep=options.deep_supervision, ponder_cost=options.ponder_cost),
            dataset,
            validation=validation,
            seed=dataset.seed,
            checkpoint=self.checkpoint,
        )
        self.nets_ = [net]
        net.raise_if_interrupted()
        return self

    def _divide(self, graphs, target, weight, seeds, fraction):
        """Training and validation sets that serve all members, each with weights of its own."""
        held_out = np.zeros((len(graphs), len(seeds)), dtype=bool)
        for member, seed in enumerate(seeds):
            held_out[draw_validation(seed, len(graphs), fraction)[1], member] = True
        dataset = StructureDataset(
            graphs,
            collate,
            {"target": target},
            seed=draw_seed(self.random_state),
            device=resolve_device(self.device),
        )

        def part(weights):
            rows = np.flatnonzero(weights.any(axis=1))
            chosen = dataset.take(rows)
            chosen.of_structures["weight"] = weights[rows] * len(rows) / weights.sum(axis=0)
            return chosen

        training = part(np.where(held_out, 0, weight[:, None]))
        return training, part(np.where(held_out, weight[:, None], 0)) if held_out.any() else None

    def _describe_network(self, graphs, options, n_outputs, seeds):
        architecture = options.get_params() | {
            "n_atom_features": graphs.atom_features.shape[1],
            "n_context": graphs.context.shape[1],
            "n_sensors": graphs.bond_sensors.shape[1] - 1,
            "springs": options.physics,
            "order": _usable_order(graphs, options.order),
            "n_outputs": n_outputs,
            "cutoff": float(np.ceil(graphs.bond_lengths.max(initial=1.0))),
            "seeds": seeds,
        }
        for name in ("physics", "ponder_cost", "deep_supervision"):
            del architecture[name]
        return architecture

    def _build(self, architecture):
        return GraphTRIADSNetwork(**architecture)

    def _check_graphs(self, X):
        if isinstance(X, CrystalGraphs):
            return X
        raise TypeError(
            f"{type(self).__name__} takes CrystalGraphs, not {type(X).__name__}. Put a "
            "trisk.featurizers.CrystalGraphFeaturizer before it in a Pipeline."
        )

    def _encode(self, X):
        """Scaled graphs with the columns seen in `fit`."""
        graphs = self._check_graphs(X)
        if dict(graphs.names) != self.columns_:
            raise ValueError(
                "These graphs have other columns than those seen in fit; build them with the "
                "same CrystalGraphFeaturizer."
            )
        return self.scaler_.transform(graphs)

    def _member_outputs(self, X):
        """Outputs in double precision, arrays with members first; NaN for empty structures."""
        check_is_fitted(self)
        graphs = self._encode(X)
        check_elements(self, graphs)
        module = self.net_.module_
        parameter = next(module.parameters())
        rows = np.flatnonzero(graphs.counts("atom") > 0)
        if len(rows) < len(graphs):
            warnings.warn(
                f"{len(graphs) - len(rows)} structures have no atoms; their predictions are NaN.",
                stacklevel=4,
            )
        shape = (module.n_members, module.max_cycles, len(graphs), self.architecture_["n_outputs"])
        steps = np.full(shape, np.nan)
        cycles = np.full((module.n_members, len(graphs)), np.nan)
        n_bonds = graphs.counts("bond")[rows] * module.n_members
        n_batches = max(1, min(len(rows), -(-int(n_bonds.sum()) // _PREDICTION_BONDS)))
        with torch.inference_mode():
            for positions in pack(n_bonds + 1, n_batches) if len(rows) else ():
                chosen = rows[positions]
                output = module(collate(graphs.take(chosen), parameter.device, parameter.dtype))
                found = output["steps"].cpu().numpy()
                steps[:, : found.shape[1], chosen] = found
                # A crystal whose batch is done keeps its answer.
                steps[:, found.shape[1] :, chosen] = found[:, -1:]
                cycles[:, chosen] = output["cycles"].cpu().numpy()
        return {"steps": steps, "answer": steps[:, -1], "cycles": cycles}

    def count_cycles(self, X):
        """Count the cycles that the recursion takes for each structure before it halts.

        Parameters
        ----------
        X : CrystalGraphs of shape (n_samples,)
            Graphs.

        Returns
        -------
        cycles : ndarray of shape (n_samples,)
            Cycles, averaged over members; between ``min_cycles`` and ``max_cycles``.
        """
        return self._member_outputs(X)["cycles"].mean(axis=0)


def _usable_order(graphs, order):
    """The order that the graphs can train: what no crystal has must not act on others."""
    for level, of_level in (("angle", 2), ("dihedral", 3)):
        if order >= of_level and graphs.offsets[level][-1] == 0:
            warnings.warn(
                f"order={order}, but these graphs hold no {level}s, so the network is built with "
                f"order={of_level - 1}. If they should, build them with "
                f"CrystalGraphFeaturizer(order={order}).",
                stacklevel=4,
            )
            return of_level - 1
    return order


@document
@dataclass(kw_only=True, repr=False, eq=False)
class GraphTRIADSRegressor(RegressorTask, BaseGraphTRIADS):
    """Recursive network on crystal graphs.

    Every cycle of the recursion passes messages from dihedral angles to bond angles to bonds to
    atoms with one set of weights; each is supervised, and a gate ends the recursion of each
    crystal [1]_. Takes the graphs of a :class:`trisk.featurizers.CrystalGraphFeaturizer`. All
    members train as one batched computation.

    {Parameters}

    {Attributes}
    {scales}

    See Also
    --------
    GraphTRIADSClassifier : The same network for classes.
    trisk.featurizers.CrystalGraphFeaturizer : Structures to graphs.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from trisk.estimators import GraphTRIADSRegressor
    >>> from trisk.featurizers import CrystalGraphFeaturizer
    >>> from trisk.testing import make_structures
    >>> structures, frequency, kind = make_structures(24)
    >>> network = GraphTRIADSRegressor(n_members=2, max_epochs=4, random_state=0)
    >>> model = make_pipeline(CrystalGraphFeaturizer(), network)
    >>> model.fit(structures, frequency).predict(structures).shape
    (24,)
    """


@document
@dataclass(kw_only=True, repr=False, eq=False)
class GraphTRIADSClassifier(ClassifierTask, BaseGraphTRIADS):
    """Recursive network on crystal graphs for two or more classes.

    As :class:`GraphTRIADSRegressor`; the probabilities of all members are averaged.

    {Parameters}

    {Attributes}
    {temperature}

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from trisk.estimators import GraphTRIADSClassifier
    >>> from trisk.featurizers import CrystalGraphFeaturizer
    >>> from trisk.testing import make_structures
    >>> structures, frequency, kind = make_structures(24)
    >>> network = GraphTRIADSClassifier(n_members=2, max_epochs=4, random_state=0)
    >>> model = make_pipeline(CrystalGraphFeaturizer(), network).fit(structures, kind)
    >>> model.predict_proba(structures).shape[0]
    24
    """

"""What GraphTRIADS regressors and classifiers share: crystal graphs in, scaled graphs out."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from trisk.estimators._base import BaseMemberEstimator, pass_on_interruption
from trisk.estimators._graph_parameters import GRAPH_NETWORK_CONSTRAINTS, GRAPH_NETWORK_SEARCH_SPACE
from trisk.estimators._parameters import OPTIMISATION_CONSTRAINTS, OPTIMISATION_SEARCH_SPACE
from trisk.estimators.scaling import ColumnScaler
from trisk.estimators._seeding import member_seeds
from trisk.estimators._structure_input import StructureInputMixin
from trisk.estimators._training import MemberNet, resolve_device, train_members
from trisk.estimators.graphs._batches import GraphBatches, GraphDataset, collate, pack
from trisk.nn import BatchInvariance, GraphTRIADSNetwork
from trisk.structures.graphs import CrystalGraphs

_MODULE_PARAMETERS = (
    "n_radial",
    "n_angular",
    "element_dim",
    "hidden_dim",
    "bond_dim",
    "angle_dim",
    "feedforward_dim",
    "n_heads",
    "min_cycles",
    "max_cycles",
    "halting_threshold",
    "dropout",
)
#: The column from which the network makes springs.
STIFFNESS = "bond stiffness (N/m)"
# N/m; a pair without force constants, or with negative ones, is no spring.
_NO_STIFFNESS = 1e-12
# Bonds of all members in a batch of prediction.
_PREDICTION_BONDS = 20_000


class GraphNet(MemberNet):
    """A net whose input is a batch of graphs.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`MemberNet`.
    mixed_precision : bool
        Whether to multiply matrices in bfloat16 on CUDA.
    """

    def __init__(self, *args, mixed_precision=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.mixed_precision = mixed_precision

    def infer(self, x, **fit_params):
        """Run the module on a batch of graphs, which skorch would take for a sequence."""
        on_cuda = torch.device(self.device).type == "cuda"
        if not (self.mixed_precision and on_cuda):
            return self.module_(x, **fit_params)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            output = self.module_(x, **fit_params)
        return {name: value.float() for name, value in output.items()}


@dataclass(frozen=True)
class GraphScaler:
    """Scaling of all features of crystal graphs, measured on training rows.

    Attributes
    ----------
    atoms, context, sensors : ColumnScaler or None
        Scaling of the features of atoms, of compositions and of the logarithms of the bonds'
        physics sensors; None where there are no such columns.
    signed : ndarray of bool of shape (n_sensors,)
        Sensors that are not positive throughout, as force constants of a potential are.
    """

    atoms: ColumnScaler
    context: ColumnScaler | None
    sensors: ColumnScaler | None
    signed: np.ndarray

    @classmethod
    def fit(cls, graphs: CrystalGraphs, *, physics: bool) -> "GraphScaler":
        """Measure the training graphs."""

        def measure(columns):
            columns = np.asarray(columns, dtype=np.float64)
            if columns.shape[1] == 0:
                return None
            return ColumnScaler.fit(columns, np.ones(len(columns)), "robust")

        signed = np.asarray((graphs.bond_sensors <= 0).any(axis=0))
        return cls(
            atoms=measure(graphs.atom_features),
            context=measure(graphs.context),
            sensors=measure(_log(graphs.bond_sensors, signed)) if physics else None,
            signed=signed,
        )

    def transform(self, graphs: CrystalGraphs) -> CrystalGraphs:
        """Scale graphs.

        Before the sensors of bonds stands their stiffness in N/m; where the network is not to
        see the physics it is one, and no sensor follows.
        """

        def scale(scaler, columns):
            if scaler is None:
                return np.empty((len(columns), 0))
            return scaler.transform(np.asarray(columns, dtype=np.float64))

        sensors = graphs.bond_sensors
        stiffness = np.ones((len(sensors), 1))
        if self.sensors is not None:
            column = graphs.names["bond_sensors"].index(STIFFNESS)
            stiffness = np.maximum(sensors[:, [column]].astype(np.float64), _NO_STIFFNESS)
        return replace(
            graphs,
            atom_features=scale(self.atoms, graphs.atom_features),
            context=scale(self.context, graphs.context),
            bond_sensors=np.hstack([stiffness, scale(self.sensors, _log(sensors, self.signed))]),
        )


def _log(sensors, signed):
    """Logarithms; of sensors with a sign, those of one plus the magnitude, with the sign."""
    sensors = sensors.astype(np.float64)
    logarithms = np.log(np.maximum(sensors, 1e-12))
    return np.where(signed, np.sign(sensors) * np.log1p(np.abs(sensors)), logarithms)


class BaseGraphTRIADS(StructureInputMixin, BaseMemberEstimator):
    """Crystal graphs in, scaled graphs to the network."""

    _module = GraphTRIADSNetwork
    _net_class = GraphNet
    _batches_class = GraphBatches
    _parameter_constraints = {**OPTIMISATION_CONSTRAINTS, **GRAPH_NETWORK_CONSTRAINTS}
    _search_space = {**OPTIMISATION_SEARCH_SPACE, **GRAPH_NETWORK_SEARCH_SPACE}

    def __init__(
        self,
        *,
        order,
        physics,
        n_radial,
        n_angular,
        element_dim,
        hidden_dim,
        bond_dim,
        angle_dim,
        feedforward_dim,
        n_heads,
        min_cycles,
        max_cycles,
        halting_threshold,
        openness_cost,
        dropout,
        deep_supervision,
        mixed_precision,
        n_members,
        max_epochs,
        batch_size,
        learning_rate,
        weight_decay,
        beta2,
        max_grad_norm,
        schedule,
        averaging,
        ema_decay,
        validation_fraction,
        patience,
        callbacks,
        device,
        random_state,
        verbose,
    ):
        self.order = order
        self.physics = physics
        self.n_radial = n_radial
        self.n_angular = n_angular
        self.element_dim = element_dim
        self.hidden_dim = hidden_dim
        self.bond_dim = bond_dim
        self.angle_dim = angle_dim
        self.feedforward_dim = feedforward_dim
        self.n_heads = n_heads
        self.min_cycles = min_cycles
        self.max_cycles = max_cycles
        self.halting_threshold = halting_threshold
        self.openness_cost = openness_cost
        self.dropout = dropout
        self.deep_supervision = deep_supervision
        self.mixed_precision = mixed_precision
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.beta2 = beta2
        self.max_grad_norm = max_grad_norm
        self.schedule = schedule
        self.averaging = averaging
        self.ema_decay = ema_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Fit the ensemble.

        Parameters
        ----------
        X : CrystalGraphs of shape (n_samples,)
            Graphs, as :class:`trisk.featurizers.CrystalGraphFeaturizer` gives them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        TypeError
            If `X` is not a :class:`~trisk.structures.graphs.CrystalGraphs`.
        ValueError
            On structures without atoms, graphs without the sensors that `physics` asks for, too
            few rows, one class only, or weights that are all zero.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the estimator is then fitted with the weights reached so far.
        """
        self._validate_params()
        # A fit that fails must not leave the net of an earlier one beside new scalers.
        self.__dict__.pop("net_", None)
        self._check_settings()
        graphs = self._check_training_graphs(X)
        target, weight, n_outputs, loss = self._prepare_target(y, sample_weight, len(graphs))
        kept = np.flatnonzero(weight > 0)
        if len(kept) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 structures of positive weight to fit."
            )
        graphs, target, weight = graphs.take(kept), target[kept], weight[kept]
        self.columns_ = dict(graphs.names)
        self.scaler_ = GraphScaler.fit(graphs, physics=self.physics)
        graphs = self.scaler_.transform(graphs)
        dataset = GraphDataset(
            graphs,
            target,
            weight / weight.mean(),
            seeds=member_seeds(self.random_state, self.n_members),
            order_seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            validation_fraction=self.validation_fraction,
            device=resolve_device(self.device),
        )
        module_params = {name: getattr(self, name) for name in _MODULE_PARAMETERS}
        module_params |= {
            "n_atom_features": graphs.atom_features.shape[1],
            "n_context": graphs.context.shape[1],
            "n_sensors": graphs.bond_sensors.shape[1] - 1,
            "springs": self.physics,
            "order": self._usable_order(graphs),
            "n_outputs": n_outputs,
            "cutoff": float(np.ceil(graphs.bond_lengths.max(initial=1.0))),
        }
        criterion_params = {
            "kind": loss,
            "deep": self.deep_supervision,
            "openness_cost": self.openness_cost,
        }
        self.net_ = train_members(self, dataset, self._module, module_params, criterion_params)
        pass_on_interruption(self.net_)
        return self

    def _net_params(self):
        return {"mixed_precision": self.mixed_precision}

    def _prepare_target(self, y, sample_weight, n_structures):
        """Scaled target ``(n, n_outputs)``, weights ``(n,)``, width of the answer, loss."""
        raise NotImplementedError

    def _check_settings(self):
        if self.hidden_dim % self.n_heads:
            raise ValueError(f"n_heads={self.n_heads} must divide hidden_dim={self.hidden_dim}.")
        if self.min_cycles > self.max_cycles:
            raise ValueError(
                f"min_cycles={self.min_cycles} must not exceed max_cycles={self.max_cycles}."
            )

    def _usable_order(self, graphs):
        """The order that the graphs can train: what no crystal has must not act on others."""
        for level, order in (("angle", 2), ("dihedral", 3)):
            if self.order >= order and graphs.offsets[level][-1] == 0:
                warnings.warn(
                    f"order={self.order}, but these graphs hold no {level}s, so the network is "
                    f"built with order={order - 1}. If they should, build them with "
                    f"CrystalGraphFeaturizer(order={self.order}).",
                    stacklevel=3,
                )
                return order - 1
        return self.order

    def _check_graphs(self, X):
        if isinstance(X, CrystalGraphs):
            return X
        raise TypeError(
            f"{type(self).__name__} takes CrystalGraphs, not {type(X).__name__}. Put a "
            "trisk.featurizers.CrystalGraphFeaturizer before it in a Pipeline."
        )

    def _check_training_graphs(self, X):
        graphs = self._check_graphs(X)
        empty = np.flatnonzero(graphs.counts("atom") == 0)
        if len(empty):
            shown = ", ".join(map(str, empty[:10])) + (", …" if len(empty) > 10 else "")
            raise ValueError(
                f"{len(empty)} structures have no atoms (rows {shown}): the featurizer could not "
                "read them. Leave these rows out of the training data."
            )
        if self.physics and STIFFNESS not in graphs.names["bond_sensors"]:
            raise ValueError(
                f"physics=True needs the sensor {STIFFNESS!r}, which the graphs do not have. Set "
                "physics=False, or build the graphs with CrystalGraphFeaturizer(physics=True)."
            )
        return graphs

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
        module = self.net_.module_
        device = next(module.parameters()).device
        rows = np.flatnonzero(graphs.counts("atom") > 0)
        if len(rows) < len(graphs):
            warnings.warn(
                f"{len(graphs) - len(rows)} of {len(graphs)} structures have no atoms, because "
                "the featurizer could not read them; their predictions are NaN.",
                stacklevel=3,
            )
        n_outputs = module.head.out_features
        shape = (module.n_members, module.max_cycles, len(graphs), n_outputs)
        steps = np.full(shape, np.nan)
        cycles = np.full((module.n_members, len(graphs)), np.nan)
        n_bonds = graphs.counts("bond")[rows] * module.n_members
        n_batches = max(1, min(len(rows), -(-int(n_bonds.sum()) // _PREDICTION_BONDS)))
        with torch.inference_mode(), BatchInvariance():
            for positions in pack(n_bonds + 1, n_batches) if len(rows) else ():
                chosen = rows[positions]
                output = module(collate(graphs.take(chosen), device, torch.float64))
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
            Cycles, averaged over members; between `min_cycles` and `max_cycles`.
        """
        return self._member_outputs(X)["cycles"].mean(axis=0)

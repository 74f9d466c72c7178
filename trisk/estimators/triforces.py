"""TriForces: composition, structure and interaction streams with a head for properties."""

import copy
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
)

from trisk._compat import HasMethods, Interval, StrOptions, check_sample_weight, clone_parameters
from trisk._frames import FrameTransformer
from trisk.data import data_file
from trisk.estimators.base import (
    CALIBRATE_TEXT,
    NetworkEstimator,
    check_elements,
    document,
    name_elements,
)
from trisk.estimators.calibration import calibrate_structures
from trisk.estimators.scaling import ColumnScaler, scale_context
from trisk.estimators.tasks import ClassifierTask, RegressorTask, check_given
from trisk.nn import (
    BACKBONES,
    POTENTIALS,
    STREAMS,
    CompositionStream,
    MemberLosses,
    NetworkStack,
    Potential,
    PropertyHead,
    PropertyLoss,
    PropertyNetwork,
    StructureStream,
    TriForcesEncoder,
    as_backbone,
    make_backbone,
    to_batch,
)
from trisk.structures import CrystalGraphs, connect
from trisk.structures.elements import atom_feature_table
from trisk.structures.neighbors import LARGEST_CUTOFF
from trisk.training.datasets import StructureDataset, member_seeds, pack
from trisk.training.net import drawing_from, resolve_device, train
from trisk.training.settings import MAX_LAYERS, MAX_WIDTH, AutomaticSchedule, Options, Range

#: Files of the weights that come with trisk, by name.
SHIPPED = {"default": "triforces_default.trisk", "molecules": "triforces_molecules.trisk"}

# Part of a gradual fine-tuning in which the streams keep their weights.
_FROZEN_SHARE = 0.25
# Rate of pre-trained weights on few structures, and the structures from which it is the whole.
_SLOWEST_RATE, _MANY_STRUCTURES = 0.03, 1000
# Atoms in a batch up to which three networks and more train faster as one.
_FEW_ATOMS = 128
# Atoms, and tenths of bonds, that a prediction takes at once.
_PREDICTION_COST = 4000

_FINE_TUNING_TEXT = """
    pretrained : estimator, path, "default", "molecules" or None, default=None
        Fitted :class:`TriForcesPretrainer` or other TriForces estimator with the same parameters of
        the streams, or a file of one, whose streams to start from, and whose head but for its last
        layer; of a layer that reads all streams, what it reads of those in use. ``"default"`` names
        the weights that come with trisk, for the default parameters of the streams: they learned
        what a universal potential says of crystals or, where most of the structures are molecules,
        what GFN2-xTB says of these (``"molecules"``). They help most where labels are few.
    fine_tune : {"full", "head", "gradual"}, default="full"
        What training changes after `pretrained`: everything, the head alone, or the head alone
        for a quarter of the epochs and then everything. Of a potential in ``network__backbone``,
        and no `pretrained`, it is the backbone that stays.
    pretrained_rate : float or "auto", default="auto"
        Learning rate of what came from `pretrained`, or of a potential in ``network__backbone``,
        as a part of `learning_rate`. At the whole rate, some hundred labels wash out what was
        learned before; of many, more is learned. ``"auto"`` goes with the 3/2 power of the number
        of structures, from 0.03 for a hundred to 1 for a thousand, as did best on phonons."""

_PROPERTY_TEXT = """
    unknown_elements : {"warn", "raise", "ignore"}, default="warn"
        What to do in predictions about structures with elements that the training set had not.
    context : bool, default=False
        Whether the head also sees what a :class:`~trisk.featurizers.CrystalGraphFeaturizer` put
        into the context of its graphs: columns of the composition, sensors of the structure such
        as those of a :class:`~trisk.featurizers.PotentialFeaturizer`, and columns of the process.
        It must then stand before the estimator."""

_FITTED_TEXT = """
    elements_ : ndarray of int
        Atomic numbers of the elements in the training set.
    context_columns_, context_scaler_ : tuple of str, ColumnScaler
        Names of the context columns seen in `fit`, their centre and scale; only with `context`."""


@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesOptions(Options):
    """Streams of a TriForces network, and its head.

    Parameters
    ----------
    backbone : str, path, Module or ASE calculator, default="builtin"
        Network of the interaction stream. ``"builtin"`` is equivariant; ``"orb"``, ``"esen"`` and
        ``"mace"`` are those of other packages, which must be installed; their weights are random.
        A universal potential keeps its weights: ``"chgnet"``, ``"chgnet-r2scan"``,
        ``"sevennet-0"`` and ``"7net-l3i5"`` have them in their packages; a network of CHGNet,
        MACE, Orb or SevenNet, an ASE calculator that holds one, and the path of a file of CHGNet
        bring their own. `fine_tune` and `pretrained_rate` say how fast these change. A
        :class:`TriForcesPotential` begins at the energies of CHGNet or SevenNet. A module of your
        own follows :class:`trisk.nn.Backbone`. Each network takes a copy.
    backbone_params : dict or None, default=None
        Further parameters of a backbone that is given by name.
    streams : tuple of str, default=("composition", "structure", "interaction")
        Streams to use: what elements there are, where atoms sit, and both together. The first and
        the built-in last one start from 18 properties of the elements, such as mass, radii and
        electronegativity, so that elements that resemble each other are treated alike until
        labels say otherwise.
    cutoff : float, default=6.0
        Largest distance of neighbours, in Å, at most 100. All neighbours within it are found.
    hidden_dim : int, default=64
        Width of the streams and of the head.
    n_layers : int, default=3
        Rounds of messages in the interaction stream; a potential has its own.
    stoichiometry : {"counts", "reduced", "fractions"}, default="counts"
        How the composition stream counts atoms; see :class:`trisk.nn.CompositionStream`.
    class_token : bool, default=False
        Whether a learned token collects the composition. Together with ``"counts"`` it lets the
        result depend on the size of the cell.
    dropout : float, default=0.0
        Dropout rate in the head for properties.
    """

    backbone: Any = "builtin"
    backbone_params: dict | None = None
    streams: tuple[str, ...] = STREAMS
    cutoff: float = 6.0
    hidden_dim: int = 64
    n_layers: int = 3
    stoichiometry: str = "counts"
    class_token: bool = False
    dropout: float = 0.0

    _parameter_constraints: ClassVar[Mapping[str, Any]] = {
        "backbone": [str, os.PathLike, torch.nn.Module, HasMethods("get_potential_energy")],
        "backbone_params": [dict, None],
        "streams": [list, tuple],
        "cutoff": [Interval(Real, 0, LARGEST_CUTOFF, closed="right")],
        "hidden_dim": [Interval(Integral, 4, MAX_WIDTH, closed="both")],
        "n_layers": [Interval(Integral, 1, MAX_LAYERS, closed="both")],
        "stoichiometry": [StrOptions({"counts", "reduced", "fractions"})],
        "class_token": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def _check(self):
        super()._check()
        if not self.streams or any(stream not in STREAMS for stream in self.streams):
            raise ValueError(
                f"streams must name some of {STREAMS}, but is {tuple(self.streams)!r}."
            )
        return self

    def _backbone(self):
        """The name of a backbone, or the module that one was read into."""
        is_name = isinstance(self.backbone, str) and self.backbone in {*BACKBONES, *POTENTIALS}
        return self.backbone if is_name else as_backbone(self.backbone)

    def __getstate__(self):
        """A potential is stored as its weights, not as an object of its package or a path."""
        return {**super().__getstate__(), "backbone": self._backbone()}

    def _encoder(self):
        """Parameters that decide the shape of the streams' weights."""
        params = self.get_params(deep=False)
        del params["dropout"]
        return params | {
            "backbone": self._backbone(),
            "streams": tuple(stream for stream in STREAMS if stream in self.streams),
            "backbone_params": dict(self.backbone_params or {}),
        }


def build_encoder(architecture):
    """Make the streams of an architecture, which has the names of :class:`TriForcesOptions`."""
    streams, backbone = architecture["streams"], architecture["backbone"]
    cutoff, hidden_dim = architecture["cutoff"], architecture["hidden_dim"]
    composition = structure = interaction = None
    if "composition" in streams:
        settings = {name: architecture[name] for name in ("stoichiometry", "class_token")}
        composition = CompositionStream(hidden_dim, 2, 4, **settings)
    if "structure" in streams:
        structure = StructureStream(cutoff, hidden_dim)
    if "interaction" in streams:
        if isinstance(backbone, torch.nn.Module):
            interaction = copy.deepcopy(backbone)
        else:
            settings = {"n_layers": architecture["n_layers"], **architecture["backbone_params"]}
            interaction = make_backbone(backbone, cutoff=cutoff, dim=hidden_dim, **settings)
        if interaction.cutoff > cutoff:
            raise ValueError(
                f"The backbone sees neighbours up to {interaction.cutoff:g} Å, but cutoff is "
                f"{cutoff:g}; set cutoff={interaction.cutoff:g} or more."
            )
    encoder = TriForcesEncoder(composition, structure, interaction)
    encoder.start_elements_from(torch.tensor(atom_feature_table()))
    return encoder


def as_potential(backbone):
    """The potential that a backbone, by name or as a module, is; None for any other."""
    potential = as_backbone(backbone) if backbone in POTENTIALS else backbone
    return potential if isinstance(potential, Potential) else None


def check_known(backbone, graphs):
    """Raise for elements of which a backbone, by name or as a module, has learned nothing."""
    potential = as_potential(backbone)
    if potential is not None:
        rows, named = name_elements(graphs, potential.elements)
        if len(rows):
            raise ValueError(
                f"The backbone {potential!r} does not know the elements {named}. Leave these "
                "structures out, or take another backbone."
            )


def join_atoms(y, counts):
    """Values of all atoms, from one array for each structure of so many atoms."""
    values = [np.asarray(of_atoms, dtype=float) for of_atoms in y]
    check_consistent_length(values, counts)
    for row, (of_atoms, count) in enumerate(zip(values, counts, strict=True)):
        if of_atoms.ndim not in (1, 2) or len(of_atoms) != count:
            raise ValueError(
                f"Row {row} has {count} atoms, but y has an array of shape {of_atoms.shape} for "
                "it; level='atom' takes one number, or one row of numbers, for each atom."
            )
    joined = np.concatenate(values)
    return check_array(joined, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")


def load_pretrained(source):
    """Bring a fitted TriForces estimator.

    Parameters
    ----------
    source : estimator, str or path-like
        The estimator itself, a file that its ``save`` wrote, or ``"default"`` (crystals) or
        ``"molecules"`` for weights that come with trisk: a :class:`TriForcesRegressor` whose
        ``transform`` embeds structures.

    Returns
    -------
    estimator : TriForcesRegressor, TriForcesClassifier, TriForcesPotential or TriForcesPretrainer
        Fitted.

    Raises
    ------
    FileNotFoundError, TypeError, NotFittedError
        If there is no such file; if it is or holds anything else; if it is not fitted.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import load_pretrained
    >>> load_pretrained("default").transform([bulk("Cu"), bulk("Si")]).shape
    (2, 192)
    """
    if isinstance(source, str | os.PathLike):
        from trisk.persistence import load

        if source in SHIPPED:
            source = data_file(SHIPPED[source])
        elif not Path(source).exists():
            raise FileNotFoundError(
                f"There is no model file at {str(source)!r}, and the weights that come with trisk "
                'are named "default" and "molecules". Those of a universal potential go into '
                "network=TriForcesOptions(backbone=...)."
            )
        source = load(source)
    if not isinstance(source, BaseTriForces):
        raise TypeError(
            f"pretrained is a {type(source).__name__}; it must be a fitted TriForces estimator, "
            'the path of one, or "default".'
        )
    check_is_fitted(source)
    return source


@dataclass(kw_only=True, repr=False, eq=False)
class BaseTriForces(TransformerMixin, NetworkEstimator):
    """Structures in, streams that are trained one network after the other, embeddings out."""

    n_members: int = 1
    learning_rate: float = 2e-3

    _schedule = AutomaticSchedule(n_steps=2500, n_rows=300, n_batches=40, smallest=4, largest=64)
    _options = {**NetworkEstimator._options, "network": TriForcesOptions}
    _takes_structures = True
    _parameter_constraints = {"network": [TriForcesOptions, None]}
    _search_space = {
        "learning_rate": Range(5e-4, 5e-3, log=True),
        "training__weight_decay": Range(1e-4, 1e-1, log=True),
        "network__hidden_dim": Range(32, 128, step=32),
        "network__n_layers": Range(1, 4, step=1),
    }

    # Not inherited: one more base would be one too many to read.
    get_feature_names_out = FrameTransformer.get_feature_names_out
    _as_frame = FrameTransformer._as_frame

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def n_trainings(self):
        """Networks that `fit` trains, one after the other."""
        return self.n_members

    def _copy_members(self, net, members):
        return copy.deepcopy(net.module_)

    def _connect(self, X, **limits):
        """Atoms of structures with all neighbours within the cutoff."""
        return connect(X, self.options("network").cutoff, **limits)

    def _read_training(self, X):
        """Check the parameters and read structures to train on."""
        self._validate_params()
        options, _ = self.options("network"), self.options("training")
        self.__dict__.pop("nets_", None)
        graphs = self._check_training_graphs(self._connect(X))
        if "interaction" in options.streams:
            check_known(options._backbone(), graphs)
        return graphs

    def _predict_batches(self, graphs, module=None, warning_level=3):
        """Yield rows with atoms, the slice of their atoms, and their batch for a network."""
        if module is None:
            check_is_fitted(self)
            module = self.net_.module_
        parameter = next(module.parameters())
        rows = np.flatnonzero(graphs.counts("atom") > 0)
        if len(rows) < len(graphs):
            warnings.warn(
                f"{len(graphs) - len(rows)} structures have no atoms; their predictions are NaN.",
                stacklevel=warning_level,
            )
        check_known(module.encoder.interaction, graphs)
        costs = (graphs.counts("atom") + 0.1 * graphs.counts("bond"))[rows]
        n_batches = min(len(rows), math.ceil(costs.sum() / _PREDICTION_COST))
        starts = graphs.offsets["atom"]
        for part in pack(costs, n_batches) if n_batches else ():
            chosen = rows[part]  # in order, and what lies between them has no atoms
            atoms = slice(starts[chosen[0]], starts[chosen[-1] + 1])
            yield chosen, atoms, to_batch(graphs.take(chosen), parameter.device, parameter.dtype)

    def transform(self, X):
        """Embed structures with the streams of the first network.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Structures of any kind that :func:`trisk.structures.read_structures` takes.

        Returns
        -------
        DataFrame of shape (n_samples, n_features_out)
            Columns ``"composition 0"``, …, ``"structure 0"``, …, ``"interaction 0"``, …; NaN for
            a structure without atoms. Under the index of X if X is a pandas object.

        Raises
        ------
        ValueError
            If a structure cannot be used.
        """
        check_is_fitted(self)
        graphs = self._connect(X)
        encoder = self.net_.module_.encoder
        values = np.full((len(graphs), sum(encoder.widths.values())), np.nan)
        with torch.no_grad():
            for rows, _, batch in self._predict_batches(graphs):
                blocks = encoder(batch).structures
                values[rows] = torch.cat([blocks[s] for s in encoder.widths], dim=1).cpu().numpy()
        return self._as_frame(values, X)

    def embed_atoms(self, X):
        """Embed atoms with the streams of the first network.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Structures, as in `transform`.

        Returns
        -------
        DataFrame of shape (n_atoms, n_features_out)
            The columns of `transform`, one row for each atom under its structure and its place
            there: ``embeddings.loc[3]`` are the atoms of the fourth structure.

        Raises
        ------
        ValueError
            If a structure cannot be used.
        """
        check_is_fitted(self)
        graphs = self._connect(X)
        encoder = self.net_.module_.encoder
        values = np.full((len(graphs.positions), sum(encoder.widths.values())), np.nan)
        with torch.no_grad():
            for _, atoms, batch in self._predict_batches(graphs):
                values[atoms] = torch.cat(list(encoder(batch).atoms.values()), dim=1).cpu().numpy()
        rows = graphs.rows("atom")
        places = [rows, np.arange(len(rows)) - graphs.offsets["atom"][rows]]
        index = pd.MultiIndex.from_arrays(places, names=["structure", "atom"])
        return pd.DataFrame(values, columns=self.get_feature_names_out(), index=index)

    def _feature_names(self):
        widths = self.net_.module_.encoder.widths
        return [f"{stream} {i}" for stream, width in widths.items() for i in range(width)]


@dataclass(kw_only=True, repr=False, eq=False)
class SupervisedTriForces(BaseTriForces):
    """Streams with a head, from random or pre-trained weights."""

    pretrained: Any = None
    fine_tune: str = "full"
    pretrained_rate: float | str = "auto"
    unknown_elements: str = "warn"

    _texts = {"Parameters": _FINE_TUNING_TEXT}
    _parameter_constraints = {
        "unknown_elements": [StrOptions({"warn", "raise", "ignore"})],
        "pretrained": "no_validation",
        "fine_tune": [StrOptions({"full", "head", "gradual"})],
        "pretrained_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }

    def __sklearn_clone__(self):
        """A clone that starts from the same fitted streams, which a clone of them would not be."""
        shell = copy.copy(self)
        shell.pretrained = None
        twin = clone_parameters(shell)
        twin.pretrained = self.pretrained
        return twin

    def search_space(self):
        # Sizes that pre-trained weights set are not worth tuning.
        space = super().search_space()
        backbone = self.options("network")._backbone()
        if self.pretrained is not None:
            del space["network__hidden_dim"]
        if self.pretrained is not None or backbone not in BACKBONES:
            del space["network__n_layers"]
        elif backbone == "mace":
            space["network__n_layers"].low = 2
        return space

    def _check_elements(self, graphs):
        check_elements(self, graphs)

    def _train(self, dataset, make_criterion):
        """Fit all networks, in one batch where that is faster than one after the other."""
        source = self._find_weights(dataset.graphs)
        fraction = self.options("training").validation_fraction
        seeds = member_seeds(self.random_state, self.n_members)
        together = self._trains_together(dataset)
        parts = [seeds] if together else [[seed] for seed in seeds]
        nets = []
        for part, own_seeds in enumerate(parts):
            path = None if self.checkpoint is None else Path(self.checkpoint)
            if path is not None and len(parts) > 1:
                path = path.with_name(f"{path.name}.{part}")
            modules = []
            for seed in own_seeds:
                with drawing_from(seed):
                    modules.append(self._build(self.architecture_))
                modules[-1].seeds = [seed]
                rates = self._start_from(source, modules[-1], dataset.n_rows)
            own = copy.copy(dataset)
            own.seed = own_seeds[0]
            training, validation = own.split(own.seed, fraction)
            module, criterion = modules[0], make_criterion()
            if together:
                module, criterion = NetworkStack(modules), MemberLosses(criterion)
            net = train(
                self,
                module,
                criterion,
                training,
                validation=validation,
                seed=own.seed,
                checkpoint=path,
                rates=rates,
            )
            nets.extend(self._parts_of(net))
            if net.interrupted_:
                break
        self.nets_ = nets
        net.raise_if_interrupted()

    def _trains_together(self, dataset):
        """Whether a batch is so small that a step of all networks at once costs less."""
        if self.n_members < 3 or self.options("network")._backbone() != "builtin":
            return False
        batch_size, _ = self._schedule.resolve(self, dataset.n_rows)
        return batch_size * dataset.graphs.counts("atom").mean() <= _FEW_ATOMS

    def _parts_of(self, net):
        if not isinstance(net.module_, NetworkStack):
            return [net]
        history = net.plain_history()
        return [self._finish(module, history, net.device) for module in net.module_.networks()]

    def _find_weights(self, graphs):
        """State of pre-trained streams, and the head behind them, if there are any."""
        weights = self.pretrained
        if weights is None:
            return None
        if isinstance(weights, str) and weights == "default" and graphs.pbc.any(1).mean() <= 0.5:
            weights = "molecules"
        source = load_pretrained(weights)
        found, wanted = source.options("network")._encoder(), self.options("network")._encoder()
        for name, value in wanted.items():
            fits = set(value) <= set(found[name]) if name == "streams" else found[name] == value
            if name == "backbone":  # which may be read anew each time
                fits = repr(found[name]) == repr(value)
            if not fits:
                streams = f"The pre-trained streams have {name}={found[name]!r}"
                raise ValueError(f"{streams}, but this estimator has {value!r}.")
        module = source.net_.module_
        left_out = set(found["streams"]) - set(wanted["streams"])
        state = module.encoder.state_dict().items()
        encoder = {k: v for k, v in state if not left_out & set(k.split(".")[:2])}
        return encoder, getattr(module, "head", None)

    def _start_from(self, source, module, n_structures):
        """Give a network what was learned before; return how fast and when parameters learn."""
        potential = module.encoder.interaction
        if source is not None:
            encoder, head = source
            module.encoder.load_state_dict(encoder)
            started = set() if head is None else module.head.start_from(head)
            known = {f"encoder.{k}" for k in encoder} | {f"head.{k}" for k in started}
        elif isinstance(potential, Potential):
            known = {f"encoder.interaction.{k}" for k in potential.state_dict()}
        elif self.fine_tune != "full":
            raise ValueError(
                f"fine_tune={self.fine_tune!r} says what to keep of `pretrained`, which gives no "
                "weights here, or of a potential in network__backbone, which is none."
            )
        else:
            return None
        if self.fine_tune == "head":
            for name in known & {f"encoder.{k}" for k, _ in module.encoder.named_parameters()}:
                module.get_parameter(name).requires_grad_(False)
        rate = self.pretrained_rate
        if rate == "auto":
            rate = min(max((n_structures / _MANY_STRUCTURES) ** 1.5, _SLOWEST_RATE), 1.0)
        frozen = _FROZEN_SHARE if self.fine_tune == "gradual" else 0.0

        def rates(name):
            waits = name in known and name.startswith("encoder.")
            return rate if name in known else 1.0, frozen if waits else 0.0

        return rates


@dataclass(kw_only=True, repr=False, eq=False)
class PropertyTriForces(SupervisedTriForces):
    """One row of outputs for each structure."""

    context: bool = False
    calibrate: bool = False

    _texts = {"Parameters": _PROPERTY_TEXT + CALIBRATE_TEXT, "Attributes": _FITTED_TEXT}
    _parameter_constraints = {"context": ["boolean"], "calibrate": ["boolean"]}

    def fit(self, X, y, sample_weight=None):
        graphs = self._with_context(self._read_training(X), X)
        graphs, raw, weight = self._read_labels(graphs, y, sample_weight)
        if self.calibrate and self._pooling == "none":
            raise ValueError("calibrate=True is for structures: set level='structure'.")
        self.elements_ = np.unique(graphs.atomic_numbers)
        sizes = self._sizes(graphs)
        target, loss = self._scale_target(raw / sizes, weight)
        calibrate_structures(self, graphs, self._original_target(raw), weight)
        if self.context:
            self.context_columns_ = graphs.names["context"]
            self.context_scaler_ = ColumnScaler.fit(graphs.context)
            graphs = self._scale_context(graphs)
        options = self.options("network")
        self.architecture_ = options._encoder() | {
            "n_outputs": target.shape[1],
            "pooling": self._pooling,
            "dropout": options.dropout,
            "n_context": graphs.context.shape[1],
        }
        targets = {"target": target * sizes, "weight": weight / weight.mean()}
        dataset = StructureDataset(
            graphs,
            to_batch,
            *(({}, targets) if self._pooling == "none" else (targets, {})),
            device=resolve_device(self.device),
        )
        self._train(dataset, lambda: PropertyLoss(loss))
        return self

    @property
    def _pooling(self):
        return "attention"

    def _sizes(self, graphs):
        """What a target scales with."""
        return 1.0

    def _build(self, architecture):
        streams = build_encoder(architecture)
        head = {name: architecture[name] for name in ("pooling", "dropout", "n_context")}
        width, n_outputs = architecture["hidden_dim"], architecture["n_outputs"]
        return PropertyNetwork(streams, PropertyHead(streams.widths, width, n_outputs, **head))

    def _with_context(self, graphs, X):
        """The context columns of crystal graphs beside what was read from them."""
        if not self.context:
            if isinstance(X, CrystalGraphs) and "process" in X.names:
                raise ValueError(
                    f"context=False leaves out columns of the process, {X.names['process']}: set "
                    "context=True, or featurize without process=."
                )
            return graphs
        if not isinstance(X, CrystalGraphs):
            raise TypeError(
                f"context=True takes CrystalGraphs, not {type(X).__name__}. Put a "
                "trisk.featurizers.CrystalGraphFeaturizer before the estimator in a Pipeline."
            )
        names = X.names["context"]
        if not names:
            raise ValueError(
                "context=True, but these graphs have no such columns: give CrystalGraphFeaturizer "
                "composition= or structure=, or set context=False."
            )
        faults = ~np.isfinite(X.context) & (X.counts("atom") > 0)[:, None]
        for row, column in np.argwhere(faults)[:1]:
            raise ValueError(
                f"Row {row} has {X.context[row, column]} in the context column {names[column]!r}. "
                "Leave such rows out, or featurize without this column."
            )
        own = {kind: X.names[kind] for kind in ("context", "process") if kind in X.names}
        return replace(graphs, context=X.context, names={**graphs.names, **own})

    def _scale_context(self, graphs):
        """The graphs with scaled columns of context, which are those seen in `fit`."""
        if not self.context:
            return graphs
        if graphs.names["context"] != self.context_columns_:
            raise ValueError(
                "These graphs have other columns of context than those seen in fit; build them "
                "with the same CrystalGraphFeaturizer."
            )
        return replace(graphs, context=scale_context(self.context_scaler_, graphs))

    def _answer(self, X):
        check_is_fitted(self)
        graphs = self._scale_context(self._with_context(self._connect(X), X))
        self._check_elements(graphs)
        of_atoms = self.architecture_["pooling"] == "none"
        n_rows = len(graphs.positions) if of_atoms else len(graphs)
        outputs = np.full((len(self.nets_), n_rows, self.architecture_["n_outputs"]), np.nan)
        with torch.no_grad():
            for rows, atoms, batch in self._predict_batches(graphs, warning_level=5):
                for member, net in enumerate(self.nets_):
                    places = atoms if of_atoms else rows
                    outputs[member, places] = net.module_(batch).cpu().numpy()
        return self._combine_structures(outputs, graphs)

    def _combine_structures(self, outputs, graphs):
        return self._combine(outputs)


@document
@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesRegressor(RegressorTask, PropertyTriForces):
    """Three streams on structures, for numbers.

    One stream sees the composition, one the structure without its elements, one both together;
    their named blocks feed one head [1]_. Three members and more train in one
    batch where it is small.

    {Parameters}
    pooling : {"attention", "mean", "sum"}, default="attention"
        For properties that a supercell shares, averages over atoms weighted by attention, which
        can follow the few atoms that matter, or the mean; for extensive ones, the sum, with
        targets that are scaled per atom.
    level : {"structure", "atom"}, default="structure"
        What has the property: a structure, or each atom, such as a charge, a magnetic moment or a
        chemical shift. ``y`` is then a list of arrays of shape (n_atoms,) or (n_atoms,
        n_outputs), in which NaN is a missing value, and so is what `predict` gives; `pooling` has
        no effect, and weights of structures are those of their atoms.

    {Attributes}
    {scales}

    See Also
    --------
    TriForcesClassifier : The same for classes.
    TriForcesPotential : Energies, forces and stresses.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesOptions, TriForcesRegressor
    >>> crystals = [bulk("Cu", a=a) for a in (3.4, 3.5, 3.6, 3.7)]
    >>> small = TriForcesOptions(hidden_dim=8)
    >>> model = TriForcesRegressor(network=small, max_epochs=5, random_state=0)
    >>> model.fit(crystals, [9.8, 10.7, 11.7, 12.7]).predict(crystals).shape
    (4,)
    """

    pooling: str = "attention"
    level: str = "structure"

    _parameter_constraints = {
        "pooling": [StrOptions({"mean", "attention", "sum"})],
        "level": [StrOptions({"structure", "atom"})],
    }
    _has_steps = False

    @property
    def _pooling(self):
        return "none" if self.level == "atom" else self.pooling

    def _sizes(self, graphs):
        if self._pooling != "sum":
            return 1.0
        return np.maximum(graphs.counts("atom"), 1)[:, None].astype(float)

    def _read_labels(self, graphs, y, sample_weight):
        """With ``level="atom"``, targets and weights of all atoms."""
        if self.level == "structure":
            return super()._read_labels(graphs, y, sample_weight)
        check_given(self, y)
        counts = graphs.counts("atom")
        values = join_atoms(y, counts)
        weight = check_sample_weight(sample_weight, counts, dtype=float, ensure_non_negative=True)
        used = np.repeat(weight, counts) > 0
        if used.sum() < 2:
            raise ValueError("TriForcesRegressor needs at least 2 atoms of positive weight to fit.")
        graphs = graphs.take(np.flatnonzero(weight > 0))
        return graphs, *self._read_target(values[used], np.repeat(weight, counts)[used])

    def _combine_structures(self, outputs, graphs):
        combined = self._combine(outputs, self._sizes(graphs))
        if self.level == "structure":
            return combined
        return tuple(np.split(values, graphs.offsets["atom"][1:])[:-1] for values in combined)

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination R² of the predictions, over all atoms if these have them.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Structures.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), or list of arrays
            True values, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of structures.

        Returns
        -------
        score : float
            R², the mean over outputs.
        """
        if self.level == "structure":
            return super().score(X, y, sample_weight)
        found = self.predict(X)
        counts = [len(values) for values in found]
        true, found = join_atoms(y, counts), np.concatenate(found)
        known = np.isfinite(true.reshape(len(true), -1)).all(axis=1)
        weight = None if sample_weight is None else np.repeat(sample_weight, counts)[known]
        return r2_score(true[known], found[known], sample_weight=weight)


@document
@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesClassifier(ClassifierTask, PropertyTriForces):
    """Three streams on structures, for classes.

    As :class:`TriForcesRegressor`; the probabilities of all members are averaged.

    {Parameters}

    {Attributes}
    {temperature}

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesClassifier, TriForcesOptions
    >>> crystals = [bulk(metal) for metal in ("Cu", "Ag", "Fe", "W")]
    >>> small = TriForcesOptions(hidden_dim=8)
    >>> model = TriForcesClassifier(network=small, max_epochs=5, random_state=0)
    >>> model.fit(crystals, ["fcc", "fcc", "bcc", "bcc"]).predict_proba(crystals).shape
    (4, 2)
    """

    _has_steps = False

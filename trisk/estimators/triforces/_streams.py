"""Parameters that all TriForces estimators share, and the networks they stand for."""

import copy
from dataclasses import asdict
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from trisk.estimators._search_space import Range
from trisk.nn import (
    CompositionStream,
    EnergyHead,
    PotentialNetwork,
    PretrainingNetwork,
    PropertyHead,
    PropertyNetwork,
    StructureStream,
    TriForcesEncoder,
)
from trisk.nn.backbones import BACKBONES, make_backbone
from trisk.structures.elements import atom_feature_table
from trisk.structures.neighbors import LARGEST_CUTOFF

ENCODER_TEXT = """
    backbone : {{"builtin", "orb", "esen", "mace"}} or Module, default="builtin"
        Network of the interaction stream: the built-in equivariant one, one of another package
        (which must be installed; its weights are random), or your own that follows
        :class:`trisk.nn.Backbone`, of which each member takes a copy.
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
        Rounds of messages in the interaction stream.
    stoichiometry : {{"counts", "reduced", "fractions"}}, default="counts"
        How the composition stream counts atoms; see :class:`trisk.nn.CompositionStream`.
    class_token : bool, default=False
        Whether a learned token collects the composition. Together with ``"counts"`` it lets the
        result depend on the size of the cell."""

FINE_TUNING_TEXT = """
    pretrained : estimator, path, {{"sensors", "default"}} or None, default=None
        Fitted :class:`TriForcesPretrainer` or other TriForces estimator with the same parameters
        of the streams, or a file of one, whose streams to start from, and whose head but for its
        last layer; of a layer that reads all streams, what it reads of those in use.
        ``"sensors"`` and ``"default"`` name weights that come with trisk and have the default
        parameters of the streams: trained on what a universal potential says of crystals
        (energy, pressure, vibrations), which helps most where labels are few, and on structures
        alone, as :class:`TriForcesPretrainer` does.
    fine_tune : {{"full", "head", "gradual"}}, default="full"
        What training changes after `pretrained`: everything, the head alone, or the head alone
        for a quarter of the epochs and then everything.
    pretrained_rate : float or "auto", default={pretrained_rate}
        Learning rate of what came from `pretrained`, as a part of `learning_rate`. At the whole
        rate, some hundred labels wash out what was learned before; of many, more is learned.
        ``"auto"`` goes with the 3/2 power of the number of structures, from 0.03 for a hundred
        to 1 for a thousand, as did best on phonons."""

_SCHEDULE_TEXT = """
    max_epochs : int or "auto", default="auto"
        Epochs. ``"auto"`` spends some {n_steps} steps on {n_rows} structures and a number that
        grows with the square root of the structures.
    batch_size : int or "auto", default="auto"
        Structures per step, on average: batches are packed to about equal numbers of atoms and
        bonds. ``"auto"`` takes a fortieth of the structures, from {smallest} to {largest}.
    learning_rate : float, default={learning_rate:g}
        Largest learning rate of AdamW, after a warm-up and before a cosine to zero.
    weight_decay : float, default=1e-2
        Decoupled weight decay of matrices.
    max_grad_norm : float or None, default={max_grad_norm:.1f}
        Limit on the norm of the gradient.
    ema_decay : float, default={ema_decay:g}
        Decay of the exponential average of weights; zero for none."""

_RUN_TEXT = """
    callbacks : list of skorch callbacks or None, default=None
        Further callbacks.
    device : str, default="auto"
        Torch device; ``"auto"`` is CUDA where available, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn: initialisation, order, {drawn}.
    verbose : int, default=0
        Whether to show a progress bar."""

TRAINING_TEXT = (
    """
    n_members : int, default=1
        Networks in the ensemble, trained one after another."""
    + _SCHEDULE_TEXT
    + """
    validation_fraction : float, default=0.0
        Share of the structures that each member, by its own draw, keeps aside. The weights of
        the best epoch on them are restored. Zero trains on all.
    patience : int or None, default=None
        Stop when the kept structures have not improved for so many epochs.
    checkpoint : path-like or None, default=None
        File that holds the whole state of the training after every epoch (one per member, with
        its number appended, if there are several). A later `fit` with the same data, parameters
        and integer `random_state` goes on from it, with the same result to the bit on a CPU."""
    + _RUN_TEXT
)

OPTIMISATION_TEXT = (
    _SCHEDULE_TEXT
    + """
    checkpoint : path-like or None, default=None
        File that holds the whole state of the training after every epoch. A later `fit` with the
        same structures, parameters and integer `random_state` goes on from it, with the same
        result to the bit on a CPU."""
    + _RUN_TEXT
)

SEARCH_SPACE = {
    "hidden_dim": Range(32, 128, step=32),
    "n_layers": Range(1, 4, step=1),
    "learning_rate": Range(5e-4, 5e-3, log=True),
    "weight_decay": Range(1e-4, 1e-1, log=True),
}

ENCODER_CONSTRAINTS = {
    "backbone": [StrOptions(set(BACKBONES)), torch.nn.Module],
    "backbone_params": [dict, None],
    "streams": [list, tuple],
    "cutoff": [Interval(Real, 0, LARGEST_CUTOFF, closed="right")],
    "hidden_dim": [Interval(Integral, 4, None, closed="left")],
    "n_layers": [Interval(Integral, 1, None, closed="left")],
    "stoichiometry": [StrOptions({"counts", "reduced", "fractions"})],
    "class_token": ["boolean"],
}

OPTIMISATION_CONSTRAINTS = {
    "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "ema_decay": [Interval(Real, 0, 1, closed="left")],
    "checkpoint": "no_validation",
    "callbacks": [list, None],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

CONSTRAINTS = {
    **ENCODER_CONSTRAINTS,
    "pretrained": "no_validation",
    "fine_tune": [StrOptions({"full", "head", "gradual"})],
    "pretrained_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "n_members": [Interval(Integral, 1, None, closed="left")],
    **OPTIMISATION_CONSTRAINTS,
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "patience": [Interval(Integral, 1, None, closed="left"), None],
}

#: Parameters that decide the shape of the streams' weights.
ENCODER_PARAMETERS = (
    "backbone",
    "backbone_params",
    "streams",
    "cutoff",
    "hidden_dim",
    "n_layers",
    "stoichiometry",
    "class_token",
)


def document_parameters(cls):
    """Fill the shared parameter texts into a class docstring."""
    plan = {"max_grad_norm": 10.0, "ema_decay": 0.995, "drawn": "dropout and validation splits"}
    plan |= {"pretrained_rate": '"auto"'} | asdict(cls._schedule) | cls._documented
    cls.__doc__ = cls.__doc__.format(
        encoder=ENCODER_TEXT.strip().format(),
        fine_tuning=FINE_TUNING_TEXT.strip().format(**plan),
        training=TRAINING_TEXT.strip().format(**plan),
        optimisation=OPTIMISATION_TEXT.strip().format(**plan),
    )
    return cls


def build_encoder(
    *,
    backbone,
    backbone_params,
    streams,
    cutoff,
    hidden_dim,
    n_layers,
    stoichiometry,
    class_token,
):
    """Make the streams; the parameters are those of the estimators."""
    composition = structure = interaction = None
    if "composition" in streams:
        composition = CompositionStream(
            hidden_dim, 2, 4, stoichiometry=stoichiometry, class_token=class_token
        )
    if "structure" in streams:
        structure = StructureStream(cutoff, hidden_dim)
    if "interaction" in streams:
        if isinstance(backbone, torch.nn.Module):
            interaction = copy.deepcopy(backbone)
        else:
            interaction = make_backbone(
                backbone, cutoff=cutoff, dim=hidden_dim, n_layers=n_layers, **backbone_params
            )
    encoder = TriForcesEncoder(composition, structure, interaction)
    encoder.start_elements_from(torch.tensor(atom_feature_table()))
    return encoder


def build_property_network(*, n_outputs, pooling, dropout, hidden_dim, n_context=0, **encoder):
    """Make a network for properties."""
    streams = build_encoder(hidden_dim=hidden_dim, **encoder)
    head = PropertyHead(
        streams.widths,
        hidden_dim,
        n_outputs,
        pooling=pooling,
        dropout=dropout,
        n_context=n_context,
    )
    return PropertyNetwork(streams, head)


def build_pretraining_network(*, hidden_dim, **encoder):
    """Make a network for pre-training."""
    return PretrainingNetwork(build_encoder(hidden_dim=hidden_dim, **encoder), hidden_dim)


def build_potential_network(*, references, scale, hidden_dim, **encoder):
    """Make a network for energies, forces and stresses."""
    streams = build_encoder(hidden_dim=hidden_dim, **encoder)
    return PotentialNetwork(streams, EnergyHead(streams.widths, hidden_dim, references, scale))

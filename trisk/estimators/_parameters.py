"""Parameters that all member-batched estimators share: their text and their constraints."""

import inspect
import os
import re
from numbers import Integral, Real

from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from trisk.estimators._allocation import MOST_REPETITIONS
from trisk.estimators._graph_parameters import GRAPH_NETWORK_TEXT
from trisk.estimators._search_space import Choice, Range

OPTIMISATION_TEXT = """
    n_members : int, default=8
        Networks in the ensemble, trained as one batched computation.
    max_epochs : int or "auto", default="auto"
        Epochs. ``"auto"`` spends 320 steps on 250 rows and a number that grows with the
        square root of the rows, some forty epochs throughout.
    batch_size : int or "auto", default="auto"
        Rows per step and member. ``"auto"`` takes 32 for a few hundred samples and grows to
        512 for many.
    learning_rate : float, default=3e-3
        Initial learning rate of AdamW.
    weight_decay : float, default=1e-2
        Decoupled weight decay of AdamW; gains, biases and frequencies are not decayed.
    beta2 : float, default=0.99
        Second-moment decay of AdamW.
    max_grad_norm : float or None, default=1.0
        Limit on the norm of each member's gradient.
    schedule : {{"cosine", "constant"}}, default="cosine"
        Learning-rate schedule; the cosine has a warm-up over the first 5 % of steps.
    averaging : {{"ema", "swa"}} or None, default="ema"
        Weight averaging: exponential over steps, or plain over the last third of the epochs
        (stochastic weight averaging, at half the initial learning rate).
    ema_decay : float, default=0.995
        Decay of the exponential average.
    validation_fraction : float, default=0.0
        Share of the training rows that each member, by its own draw, keeps aside. The weights
        of each member's best epoch on them are restored. Zero trains on all rows.
    patience : int or None, default=None
        Stop when no member has improved on its kept rows for so many epochs.
    callbacks : list of skorch callbacks or None, default=None
        Further callbacks, e.g. :class:`skorch.callbacks.Checkpoint`.
    device : str, default="auto"
        Torch device; ``"auto"`` is CUDA where available, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of initialisation, shuffling, dropout and inner validation splits. Every member
        draws its own seed from it.
    verbose : int, default=0
        Whether to show a progress bar."""

OPTIMISATION_CONSTRAINTS = {
    "n_members": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "beta2": [Interval(Real, 0, 1, closed="left")],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "schedule": [StrOptions({"cosine", "constant"})],
    "averaging": [StrOptions({"ema", "swa"}), None],
    "ema_decay": [Interval(Real, 0, 1, closed="left")],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "patience": [Interval(Integral, 1, None, closed="left"), None],
    "callbacks": [list, None],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

OPTIMISATION_SEARCH_SPACE = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "weight_decay": Range(1e-3, 1e-1, log=True),
}

NETWORK_TEXT = """
    n_attention_layers : int or None, default=None
        Layers of self-attention over property tokens. Zero keeps the tokens without attention
        among them; None leaves tokens out, and all columns join the rest.
    attention_dim, n_heads : int, default=64, 4
        Width of the tokens and number of attention heads.
    shared_projection : bool, default=False
        Whether all tokens share one projection, as published, so that the network does not know
        which property a token is; otherwise every token has its own.
    embedding_dim : int or None, default=4
        Width to which every other column is embedded by periodic functions. None feeds columns
        as they are.
    n_frequencies : int, default=16
        Cosines per embedded column.
    frequency_scale : float, default=0.7
        Standard deviation of their initial frequencies, in cycles per scaled unit.
    hidden_dim, feedforward_dim : int, default=128, 192
        Width of the recursive states and of the updates' hidden layer.
    n_steps : int, default=2
        Recursion steps, up to 1000.
    dropout : float, default=0.1
        Dropout rate in attention and updates.
    deep_supervision : bool, default=True
        Whether every recursion step is supervised, with weights 1, 2, …, or the last one only.
    confidence : bool, default=False
        Whether to predict with an average over steps, weighted by a learned confidence.
    scaling : {{"robust", "standard"}}, default="robust"
        Scaling of columns: median and interquartile range followed by a smooth clip at three,
        or mean and standard deviation.
    n_neighbors : int or None, default=8
        Nearest training rows whose targets become further columns, for each block of columns
        (the first word of a name) by itself; a training row never sees itself. None for none."""

NETWORK_CONSTRAINTS = {
    "n_attention_layers": [Interval(Integral, 0, None, closed="left"), None],
    "attention_dim": [Interval(Integral, 1, None, closed="left")],
    "n_heads": [Interval(Integral, 1, None, closed="left")],
    "shared_projection": ["boolean"],
    "embedding_dim": [Interval(Integral, 2, None, closed="left"), None],
    "n_frequencies": [Interval(Integral, 1, None, closed="left")],
    "frequency_scale": [Interval(Real, 0, None, closed="neither")],
    "hidden_dim": [Interval(Integral, 2, None, closed="left")],
    "feedforward_dim": [Interval(Integral, 1, None, closed="left")],
    "n_steps": [Interval(Integral, 1, MOST_REPETITIONS, closed="both")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "deep_supervision": ["boolean"],
    "confidence": ["boolean"],
    "scaling": [StrOptions({"robust", "standard"})],
    "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
}

NETWORK_SEARCH_SPACE = {
    "embedding_dim": Choice((None, 2, 4, 8)),
    "frequency_scale": Range(0.2, 2.0, log=True),
    "hidden_dim": Range(64, 192, step=64),
    "feedforward_dim": Range(96, 288, step=96),
    "n_steps": Range(1, 6, step=1),
    "dropout": Range(0.0, 0.4),
    "scaling": Choice(("robust", "standard")),
    "n_neighbors": Choice((None, 4, 8, 16)),
}


COMPANION_TEXT = """
    companion : estimator, "extra_trees" or None, default=None
        A second model stacked beside the network inside `fit`: any scikit-learn estimator of
        the same kind (classifiers with ``predict_proba``), or ``"extra_trees"`` for 200
        extremely randomised trees (their median where the loss is absolute). The prediction is
        an average of both answers; the companion's weight in it, between zero and one, is the
        one that loses least on inner folds that neither model has seen (with fewer than seven
        hundred rows there, the one nearest to one half within a standard error of it; one half
        below twenty rows, or where a class has one row only). For this, up to five ensembles of
        up to three further members are trained: fitting takes half as long again on thousands
        of rows, some three times as long on hundreds.
    companion_only : str or None, default=None
        Regular expression, searched in the names of columns: those that match are for the
        companion alone, and the network does not see them. None shows it all columns."""

COMPANION_CONSTRAINTS = {
    "companion": [HasMethods(["fit", "predict"]), StrOptions({"extra_trees"}), None],
    "companion_only": [str, None],
}


ENCODER_TEXT = """
    pretrained : str, path-like or None, default="default"
        ``"default"`` for the weights that come with trisk, a safetensors file written by
        ``benchmarks/pretrain_compositions.py``, or None for random weights.
    fine_tune : bool, default=True
        Whether the encoder trains on for the task, or only the head that reads its embedding
        and its answers."""

ENCODER_CONSTRAINTS = {
    "pretrained": [str, os.PathLike, None],
    "fine_tune": ["boolean"],
}


def document_parameters(cls):
    """Fill the shared parameter texts into a class docstring."""
    cls.__doc__ = cls.__doc__.format(
        companion=COMPANION_TEXT.strip(),
        encoder=ENCODER_TEXT.strip(),
        network=NETWORK_TEXT.strip().format(),
        graph_network=GRAPH_NETWORK_TEXT.strip().format(),
        optimisation=_with_defaults(OPTIMISATION_TEXT.strip().format(), cls),
    )
    return cls


def _with_defaults(text, cls):
    """The same text with the defaults that the class has."""
    parameters = inspect.signature(cls).parameters

    def replace(match):
        value = parameters[match["name"]].default
        return match["line"] + (f'"{value}"' if isinstance(value, str) else repr(value))

    return re.sub(r"(?m)^(?P<line> *(?P<name>\w+) : .*default=).*$", replace, text)

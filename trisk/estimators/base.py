"""What all estimators with networks share: their parameters, and how they are stored."""

import inspect
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length

from trisk._compat import Interval, StrOptions, check_sample_weight
from trisk.estimators.equality import merge_structures
from trisk.nn import check_sizes, select_members
from trisk.structures.elements import ELEMENT_SYMBOLS
from trisk.training.net import finished_net, resolve_device
from trisk.training.settings import (
    AutomaticSchedule,
    Choice,
    Options,
    Range,
    TrainingOptions,
)

_PARAMETERS = """
    {n_members}
    max_epochs : int or "auto", default="auto"
        Epochs. ``"auto"`` spends a number of steps that grows with the square root of the rows.
    batch_size : int or "auto", default="auto"
        Rows per step, for structures on average. ``"auto"`` grows with the number of rows.
    learning_rate : float, default=3e-3
        Largest learning rate of AdamW.
    network : {options} or None, default=None
        Architecture; None for the defaults.
    training : TrainingOptions or None, default=None
        Details of training; None for the defaults.
    checkpoint : path-like or None, default=None
        File that holds the whole state of the training after every epoch (one per network where
        several follow one another, with its number appended). A later `fit` with the same data,
        parameters and integer `random_state` goes on from it, on a CPU to the bit. A finished
        training goes on with a larger `max_epochs`, and a schedule of the added epochs.
    callbacks : list of skorch callbacks or None, default=None
        Further callbacks, e.g. :class:`skorch.callbacks.EarlyStopping`; where several networks
        follow one another, each uses them in turn. ``"valid_loss"`` is there to be monitored with
        ``training__validation_fraction``.
    device : str, default="auto"
        Torch device; ``"auto"`` is CUDA where available, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn: initialisation, order of rows, dropout, validation rows.
    verbose : int, default=0
        Whether to show a progress bar."""

_N_MEMBERS = """n_members : int, default=8
        Networks in the ensemble."""

CALIBRATE_TEXT = """
    calibrate : bool, default=False
        Whether held-out rows scale the standard deviation that `predict` returns, and give
        `predict_interval` what it needs; or, of a classifier, temper its probabilities: networks
        that have seen few rows are far too sure of themselves. This trains up to three further
        members on each of some inner folds, with which fitting takes up to three times as long."""

_ATTRIBUTES = """
    net_ : skorch.NeuralNet
        The trained net, or the first of several: ``net_.history``, ``net_.module_``.
    nets_ : list of skorch.NeuralNet
        All of them; members that train as one batch are one net.
    architecture_ : dict
        Parameters of the network."""


def document(cls):
    """Fill the texts of its bases into the docstring of a class, parameters with its defaults.

    ``{Parameters}`` and ``{Attributes}`` stand for sections that begin with those of all bases.
    """
    signature = inspect.signature(cls).parameters

    def with_default(match):
        if match["name"] not in signature:
            return match[0]
        value = signature[match["name"]].default
        return match["line"] + (f'"{value}"' if isinstance(value, str) else repr(value))

    bases = [vars(base).get("_texts", {}) for base in reversed(cls.__mro__)]
    texts = {k: text for of_base in bases for k, text in of_base.items()}
    for section in ("Parameters", "Attributes"):
        joined = "".join(of_base.get(section, "") for of_base in bases)
        joined = joined.replace("{n_members}", texts["n_members"])
        joined = joined.replace("{options}", cls._options["network"].__name__)
        joined = re.sub(r"(?m)^(?P<line> *(?P<name>\w+) : .*default=).*$", with_default, joined)
        texts[section] = f"{section}\n    {'-' * len(section)}{joined}"
    for name, text in texts.items():
        cls.__doc__ = cls.__doc__.replace(f"{{{name}}}", text)
    return cls


def name_elements(graphs, known):
    """Rows with atoms of other elements than the known ones, and these elements with rows."""
    new = ~np.isin(graphs.atomic_numbers, known)
    numbers, rows = graphs.atomic_numbers[new], graphs.rows("atom")[new]
    named = []
    for number in np.unique(numbers):
        where = np.unique(rows[numbers == number]).tolist()
        shown = f"rows {where[:5]}" + (f" and {len(where) - 5} more" if len(where) > 5 else "")
        named.append(f"{ELEMENT_SYMBOLS[number - 1] if number else 'X'} ({shown})")
    return np.unique(rows), ", ".join(named)


def check_elements(estimator, graphs):
    """Treat elements that the training structures had not as `unknown_elements` says."""
    known = getattr(estimator, "elements_", None)
    if known is None or estimator.unknown_elements == "ignore":
        return
    rows, named = name_elements(graphs, known)
    if not len(rows):
        return
    message = (
        f"{len(rows)} of {len(graphs)} structures have elements that the training set had not: "
        f"{named}."
    )
    if estimator.unknown_elements == "raise":
        raise ValueError(f"{message} With unknown_elements='warn', predictions for them are tried.")
    warnings.warn(f"{message} Predictions for them are guesses.", stacklevel=5)


def recurs(estimator):
    """Whether the network answers after each of several steps."""
    return estimator._has_steps


@dataclass(kw_only=True, repr=False, eq=False)
class NetworkEstimator(BaseEstimator):
    """Parameters and stored state of an estimator whose networks the engine trains."""

    n_members: int = 8
    max_epochs: int | str = "auto"
    batch_size: int | str = "auto"
    learning_rate: float = 3e-3
    network: Options | None = None
    training: TrainingOptions | None = None
    checkpoint: str | os.PathLike | None = None
    callbacks: list | None = None
    device: str = "auto"
    random_state: Any = None
    verbose: int = 0

    #: Classes of the nested parameters.
    _options: ClassVar[dict[str, type[Options]]] = {"training": TrainingOptions}
    _schedule: ClassVar[AutomaticSchedule]
    #: Whether a table of any numbers, of which scikit-learn's checks are made, teaches little.
    _poor_score: ClassVar[bool] = False
    #: What a class and its subclasses say of parameters and attributes, for :func:`document`.
    _texts: ClassVar[dict[str, str]] = {
        "n_members": _N_MEMBERS,
        "Parameters": _PARAMETERS,
        "Attributes": _ATTRIBUTES,
    }
    #: Whether rows are structures or their graphs, not rows of a matrix.
    _takes_structures = False
    _has_steps = False
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "network": [Options, None],
        "training": [TrainingOptions, None],
        "checkpoint": [str, os.PathLike, None],
        "callbacks": [list, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _search_space: ClassVar[dict[str, Range | Choice]] = {
        "learning_rate": Range(5e-4, 1e-2, log=True),
        "training__weight_decay": Range(1e-3, 1e-1, log=True),
    }

    def __init_subclass__(cls, **kwargs):
        """Constraints of parameters are those of all bases, and of the class itself."""
        super().__init_subclass__(**kwargs)
        bases = [vars(base).get("_parameter_constraints", {}) for base in reversed(cls.__mro__)]
        cls._parameter_constraints = {k: v for base in bases for k, v in base.items()}

    def get_params(self, deep=True):
        # The parameters nested in an object that is None are its defaults.
        params = super().get_params(deep=deep)
        for name, options in self._options.items():
            if deep and params[name] is None:
                defaults = options().get_params()
                params.update({f"{name}__{key}": value for key, value in defaults.items()})
        return params

    def set_params(self, **params):
        for name, options in self._options.items():
            nested = any(key.startswith(f"{name}__") for key in params)
            if nested and params.get(name, getattr(self, name)) is None:
                params[name] = options()
        return super().set_params(**params)

    def options(self, name):
        """Nested parameters after a check of their values.

        Parameters
        ----------
        name : {"network", "training"}
            Which.

        Returns
        -------
        options : Options
            The defaults where the parameter is None.
        """
        value = getattr(self, name)
        return (self._options[name]() if value is None else value)._check()

    def fit(self, X, y, sample_weight=None):
        """Fit the ensemble.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            A table of numbers; or structures of any kind that
            :func:`trisk.structures.read_structures` takes; or graphs, as
            :class:`trisk.featurizers.CrystalGraphFeaturizer` gives them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. A weight of two is the same as giving a row twice.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        TypeError
            If `X` is of a kind that the estimator does not take.
        ValueError
            If a structure cannot be used or a graph lacks what the network reads; on missing or
            infinite values, too few rows, one class only, or weights that are all zero.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the estimator is then fitted with the weights reached so far.
        """
        raise NotImplementedError

    def search_space(self):
        """Tell which parameters are worth tuning, for :func:`trisk.model_selection.optuna_search`.

        Returns
        -------
        distributions : dict of str to optuna.distributions.BaseDistribution
            Values to try, by parameter; those of estimators inside are not among them.
        """
        return {name: _to_distribution(values) for name, values in self._search_space.items()}

    def save(self, path):
        """Write the fitted estimator to one file that holds no code.

        Parameters
        ----------
        path : str or path-like
            File to write; :func:`trisk.load` brings the estimator back.
        """
        from trisk.persistence import save

        save(self, path)

    @property
    def net_(self):
        """The trained net, or the first of several."""
        return self.nets_[0]

    @property
    def fitted_(self):
        """True after `fit`; clients such as MAPIE look for it where there are no columns."""
        return bool(self.nets_)

    @contextmanager
    def _lend_net(self, net, members):
        """Predict for a while with some members of a net that is still training."""
        with net.averaged():
            module = self._copy_members(net, members)
        self.nets_ = self._parts_of(self._finish(module, [], net.device))
        try:
            yield
        finally:
            del self.nets_

    def _parts_of(self, net):
        """Nets of the networks that trained as one, where each predicts alone."""
        return [net]

    def _finish(self, module, history, device):
        """A net for prediction."""
        return finished_net(module, history, device, self.options("training").precision)

    def _answer(self, X):
        """Centre and spread of the members' answers."""
        return self._combine(self._member_outputs(X)["answer"])

    @available_if(recurs)
    def staged_predict(self, X):
        """Predict after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or collection of length n_samples
            Samples of the kind seen in `fit`.

        Yields
        ------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, or most probable class, after steps 1, 2, …
        """
        for center, _ in self._staged_answers(X):
            yield self._told(center)

    def _told(self, center):
        """What a user is told of a centre."""
        return center

    def _staged_answers(self, X):
        """The same after each recursion step."""
        steps = self._member_outputs(X)["steps"]
        return (self._combine(steps[:, step]) for step in range(steps.shape[1]))

    def _build(self, architecture):
        """Make the network from plain values."""
        raise NotImplementedError

    def _copy_members(self, net, members):
        """A network of its own with the weights of some members of a net."""
        module = self._build(self.architecture_).to(net.device)
        module.load_state_dict(select_members(net.module_.state_dict(), members))
        return module

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self._takes_structures:
            tags.input_tags.two_d_array = False
            tags.input_tags.one_d_array = True
        return tags

    def _check_training_graphs(self, graphs):
        """Refuse structures without atoms."""
        empty = np.flatnonzero(graphs.counts("atom") == 0)
        if len(empty):
            raise ValueError(
                f"{len(empty)} structures have no atoms, first in rows {empty[:5].tolist()}. Leave "
                "these rows, which a featurizer may have reported, out of the training data."
            )
        return graphs

    def _read_labels(self, graphs, y, sample_weight):
        """Distinct structures of positive weight, their targets and weights."""
        y = self._check_target(y)
        check_consistent_length(graphs, y)
        weight = check_sample_weight(
            sample_weight, np.empty((len(y), 1)), dtype=np.float64, ensure_non_negative=True
        )
        used = np.flatnonzero(weight > 0)
        if len(used) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 structures of positive weight to fit, "
                f"but got n_samples={len(used)}."
            )
        target, weight = self._read_target(y[used], weight[used])
        return merge_structures(graphs.take(used), target, weight)

    def __sklearn_is_fitted__(self):
        """A fit that failed half-way leaves attributes, but no nets."""
        return hasattr(self, "nets_")

    def __getstate__(self):
        """Plain values and arrays; nets as weights and history."""
        state = dict(super().__getstate__())
        if "nets_" in state:
            state["nets_"] = [_plain_net(net) for net in self.nets_]
        return state

    def __setstate__(self, state):
        """Take attributes back and rebuild the nets."""
        state = dict(state)
        nets = state.pop("nets_", None)
        super().__setstate__(state)
        if nets is None:
            return
        device = resolve_device(self.device)
        self.nets_ = []
        for net in nets:
            seeds = [0] * len(self.architecture_.get("seeds", ()))  # they may be large
            check_sizes({**self.architecture_, "seeds": seeds}, net["weights"])
            if self.architecture_.get("backbone", "builtin") == "builtin":
                with torch.device("meta"):  # of any size, without memory
                    expected = self._build(self.architecture_).state_dict()
                shapes = {name: tuple(value.shape) for name, value in expected.items()}
                if shapes != {name: array.shape for name, array in net["weights"].items()}:
                    raise ValueError("its weights do not fit its parameters")
            module = self._build(self.architecture_)
            weights = {name: torch.from_numpy(array) for name, array in net["weights"].items()}
            module.load_state_dict(weights)
            self.nets_.append(self._finish(module.to(device), net["history"], device))


def _plain_net(net):
    weights = {k: v.float().cpu().numpy() for k, v in net.module_.state_dict().items()}
    return {"weights": weights, "history": net.plain_history()}


def _to_distribution(values):
    """The same for Optuna, which is loaded here and not before."""
    from optuna import distributions

    if isinstance(values, Choice):
        return distributions.CategoricalDistribution(values.values)
    if values.step is not None:
        return distributions.IntDistribution(values.low, values.high, step=values.step)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)

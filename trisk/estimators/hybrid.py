"""HybridTRIADS for numeric tables, composition features above all."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy.special import huber
from sklearn.utils.validation import check_is_fitted, validate_data

from trisk._compat import HasMethods, Interval, StrOptions
from trisk.estimators.base import ClassifierTask, RegressorTask, document_parameters
from trisk.estimators.columns import divide_columns, hide_columns, token_names
from trisk.estimators.neighbors import NeighborDraws
from trisk.estimators.scaling import ColumnScaler
from trisk.estimators.stacking import HeldOutFit, mix
from trisk.estimators.tables import TableNetwork, TrainingSet
from trisk.nn import HybridTRIADSNetwork, InputLayout
from trisk.training.datasets import member_seeds
from trisk.training.settings import MAX_LAYERS, MAX_STEPS, WIDTH, Choice, Options, Range

# Largest number of attention weights held at once.
_ATTENTION_ELEMENTS = 4_000_000

_STACKING_TEXT = """
    stack_with : estimator, "extra_trees" or None, default=None
        A second model stacked beside the network inside `fit`: any scikit-learn estimator of
        the same kind (classifiers with ``predict_proba``), or ``"extra_trees"`` for 200
        extremely randomised trees (their median where the loss is absolute). The prediction is
        an average of both answers; the second's weight in it, between zero and one, is the one
        that loses least on inner folds that neither model has seen (with fewer than seven
        hundred rows there, the one nearest to one half within a standard error of it; one half
        below twenty rows, or where a class has one row only). For this, up to five ensembles of
        up to three further members are trained: fitting takes half as long again on thousands
        of rows, some three times as long on hundreds.
    stack_only : str or None, default=None
        Regular expression, searched in the names of columns: those that match are for the
        stacked model alone, and the network does not see them. None shows it all columns.
    n_neighbors : int or None, default=8
        Nearest training rows whose targets become further columns, for each block of columns
        that one of trisk's featurizers named, and for all others together; a training row never
        sees itself. None for none."""

_FITTED_TEXT = """
    stacked_ : estimator or None
        The fitted model beside the network.
    stacked_weight_ : float
        Its weight in the prediction.
    neighbors_ : NeighborColumns or None
        Training rows that answer for their neighbourhood.
    neighbor_scaler_ : ColumnScaler
        Centre and scale of the columns they give.
    scaler_ : ColumnScaler
        Centre and scale of every column.
    columns_ : ndarray of int
        Columns that reach the network, in its order.
    layout_ : InputLayout
        How many of them are property tokens, context and rest.
    architecture_ : dict
        Parameters of the network.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings."""


@dataclass(kw_only=True, repr=False, eq=False)
class HybridTRIADSOptions(Options):
    """Architecture of a HybridTRIADS network.

    Parameters
    ----------
    n_attention_layers : int or None, default=None
        Layers of self-attention over property tokens. Zero keeps the tokens without attention
        among them; None leaves tokens out, and all columns join the rest. Attention did not
        lower the error on any benchmark.
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
    scaling : {"robust", "standard"}, default="robust"
        Scaling of columns: median and interquartile range followed by a smooth clip at three,
        or mean and standard deviation.
    """

    n_attention_layers: int | None = None
    attention_dim: int = 64
    n_heads: int = 4
    shared_projection: bool = False
    embedding_dim: int | None = 4
    n_frequencies: int = 16
    frequency_scale: float = 0.7
    hidden_dim: int = 128
    feedforward_dim: int = 192
    n_steps: int = 2
    dropout: float = 0.1
    deep_supervision: bool = True
    confidence: bool = False
    scaling: str = "robust"

    _parameter_constraints: ClassVar[Mapping[str, Any]] = {
        "n_attention_layers": [Interval(Integral, 0, MAX_LAYERS, closed="both"), None],
        "attention_dim": WIDTH,
        "n_heads": WIDTH,
        "shared_projection": ["boolean"],
        "embedding_dim": [Interval(Integral, 2, 1024, closed="both"), None],
        "n_frequencies": WIDTH,
        "frequency_scale": [Interval(Real, 0, None, closed="neither")],
        "hidden_dim": [Interval(Integral, 2, 65_536, closed="both")],
        "feedforward_dim": WIDTH,
        "n_steps": [Interval(Integral, 1, MAX_STEPS, closed="both")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "deep_supervision": ["boolean"],
        "confidence": ["boolean"],
        "scaling": [StrOptions({"robust", "standard"})],
    }

    def _check(self):
        """Raise for a value that is out of bounds or does not fit another; return self."""
        super()._check()
        if self.attention_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide attention_dim={self.attention_dim}."
            )
        return self


@dataclass(kw_only=True, repr=False, eq=False)
class BaseHybridTRIADS(TableNetwork):
    """Table in, scaled columns to the network; a second model beside it."""

    stack_with: Any = None
    stack_only: str | None = None
    n_neighbors: int | None = 8

    _options = {**TableNetwork._options, "network": HybridTRIADSOptions}
    _parameter_constraints = {
        **TableNetwork._parameter_constraints,
        "network": [HybridTRIADSOptions, None],
        "stack_with": [HasMethods(["fit", "predict"]), StrOptions({"extra_trees"}), None],
        "stack_only": [str, None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    }
    _search_space = {
        **TableNetwork._search_space,
        "n_neighbors": Choice((None, 4, 8, 16)),
        "network__embedding_dim": Choice((None, 2, 4, 8)),
        "network__frequency_scale": Range(0.2, 2.0, log=True),
        "network__hidden_dim": Range(64, 192, step=64),
        "network__feedforward_dim": Range(96, 288, step=96),
        "network__n_steps": Range(1, 6, step=1),
        "network__dropout": Range(0.0, 0.4),
        "network__scaling": Choice(("robust", "standard")),
    }
    #: Parameters with which the same network is fitted without inner folds.
    _without_held_out: ClassVar[dict[str, Any]] = {"stack_with": None}

    def _fit_table(self, X, target, weight, y):
        options = self.options("network")
        names, table = getattr(self, "feature_names_in_", None), X
        if self.stack_only is not None:
            names, table = hide_columns(names, X, self.stack_only)
        seeds = member_seeds(self.random_state, self.n_members)
        self.neighbors_, drawn_columns, n_near = None, None, 0
        if self.n_neighbors is not None and len(X) > 1:
            draws = NeighborDraws(table, target, weight, names=names, n_neighbors=self.n_neighbors)
            self.neighbors_ = draws.columns
            near = draws.draw(seeds[0], 0)
            scaler = self.neighbor_scaler_ = ColumnScaler.fit(near, weight, options.scaling)
            n_near = near.shape[1]

            def drawn_columns(seed, epoch, visible):
                return scaler.transform(draws.draw(seed, epoch, visible))

        self.scaler_ = ColumnScaler.fit(table, weight, options.scaling)
        attention = options.n_attention_layers is not None
        self.columns_, self.layout_ = divide_columns(
            names, X.shape[1], self.scaler_.varying, attention=attention
        )
        n_rest = self.layout_.n_rest + n_near
        architecture = options.get_params() | {
            "layout": tuple(self.layout_._replace(n_rest=n_rest)),
            "n_outputs": target.shape[1],
            "n_attention_layers": options.n_attention_layers or 0,
            "seeds": seeds,
        }
        for name in ("deep_supervision", "scaling"):
            del architecture[name]
        self.architecture_ = architecture
        return TrainingSet(
            X=self.scaler_.transform(table)[:, self.columns_],
            target=target,
            weight=weight,
            seeds=seeds,
            drawn_columns=drawn_columns,
            held_out=self._hold_out(X, y, weight),
        )

    def _build(self, architecture):
        layout = InputLayout(*architecture["layout"])
        return HybridTRIADSNetwork(**{**architecture, "layout": layout})

    def _supervises_all_steps(self):
        return self.options("network").deep_supervision

    def _hold_out(self, X, y, weight):
        """Fits on inner folds, where a parameter asks for what they tell."""
        self.stacked_, self.stacked_weight_ = None, 0.0
        if all(getattr(self, k) == v for k, v in self._without_held_out.items()):
            return None
        return HeldOutFit(self, self._named(X), y, weight)

    def _named(self, X):
        """The table as it was given: with column names, where it had them."""
        names = getattr(self, "feature_names_in_", None)
        return np.asarray(X, dtype=np.float64) if names is None else pd.DataFrame(X, columns=names)

    def _encode(self, X):
        X = validate_data(self, X, reset=False, dtype=np.float64)
        scaled = self.scaler_.transform(X)[:, self.columns_]
        if self.neighbors_ is None:
            return scaled
        return np.hstack([scaled, self.neighbor_scaler_.transform(self.neighbors_.transform(X))])

    def _answer(self, X):
        return next(self._mixed([self._combine(self._member_outputs(X)["answer"])], X))

    def _staged_answers(self, X):
        return self._mixed(super()._staged_answers(X), X)

    def _mixed(self, answers, X):
        """The network's answers with those of the stacked model, if there is one."""
        second = None if self.stacked_ is None else self._ask_second(self.stacked_, X)
        for center, spread in answers:
            share = self.stacked_weight_
            yield (center, spread) if second is None else mix(share, center, spread, second)

    def attention(self, X):
        """Attention between property tokens, averaged over rows, heads and members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Returns
        -------
        weights : ndarray of shape (n_layers, n_tokens, n_tokens)
            Share of the attention of one token (line) that another (column) has.
        properties : list of str
            What the tokens are: elemental properties, or columns.

        Raises
        ------
        ValueError
            If the network has no attention.
        """
        check_is_fitted(self)
        n_layers = self.architecture_["n_attention_layers"]
        if not n_layers:
            raise ValueError(
                "There is no attention between properties: fit with "
                "network=HybridTRIADSOptions(n_attention_layers=1) or more."
            )
        table, module = self._encode(X), self.net_.module_
        device, n_tokens = next(module.parameters()).device, self.layout_.n_tokens
        size = module.n_members * self.architecture_["n_heads"] * n_tokens**2
        n_rows = max(1, _ATTENTION_ELEMENTS // size)
        total = torch.zeros((), dtype=torch.float64, device=device)
        with torch.inference_mode():
            for start in range(0, len(table), n_rows):
                rows = torch.from_numpy(table[start : start + n_rows]).to(device, torch.float64)
                total = total + module.attention_weights(rows.expand(module.n_members, *rows.shape))
        names = getattr(self, "feature_names_in_", None)
        return (total / len(table)).cpu().numpy(), token_names(names, self.columns_, self.layout_)


@document_parameters
@dataclass(kw_only=True, repr=False, eq=False)
class HybridTRIADSRegressor(RegressorTask, BaseHybridTRIADS):
    """Recursive network on composition features, or on any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. All members train as one batched computation. The defaults hold from a
    few hundred to a hundred thousand rows.

    Parameters
    ----------
    {common}
    {stacking}
    {regressor}
    calibrate : bool, default=False
        Whether the standard deviation that `predict` returns is scaled to the size of errors
        on inner folds. This trains further members, as stacking does.

    Attributes
    ----------
    {net}
    {fitted}
    target_scaler_ : TargetScaler
        Centre and scale of the target.
    single_target_ : bool
        Whether the target was one-dimensional.
    spread_scale_ : ndarray of shape (2,) or (2, n_outputs)
        Factor and floor that make the spread a standard deviation; 1 and 0 without `calibrate`.

    See Also
    --------
    HybridTRIADSClassifier : The same network for classes.
    trisk.featurizers.CompositionFeaturizer : Formulas to columns.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.estimators import HybridTRIADSRegressor
    >>> X = np.random.default_rng(0).uniform(size=(60, 3))
    >>> model = HybridTRIADSRegressor(n_members=2, max_epochs=40, random_state=0)
    >>> mean, std = model.fit(X, X[:, 0] * X[:, 1]).predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((60,), (60,))
    """

    calibrate: bool = False

    _texts = {"stacking": _STACKING_TEXT, "fitted": _FITTED_TEXT}
    _parameter_constraints = {
        **BaseHybridTRIADS._parameter_constraints,
        **RegressorTask._task_constraints,
        "calibrate": ["boolean"],
    }
    _search_space = {**BaseHybridTRIADS._search_space, **RegressorTask._task_search_space}
    _without_held_out = {"stack_with": None, "calibrate": False}

    def _fit_table(self, X, target, weight, y):
        self.spread_scale_ = np.stack([np.ones(y.shape[1:]), np.zeros(y.shape[1:])])
        return super()._fit_table(X, target, weight, y)

    def _ask_second(self, second, X):
        answer = second.predict(self._named(X))
        if self.single_target_:
            return answer
        return self.target_scaler_.inverse_transform(answer.reshape(len(answer), -1))

    def _second_target(self, y):
        # Several targets count alike only in units of their scale.
        return y if self.single_target_ else self.target_scaler_.transform(y)

    def _row_losses(self, y, answer):
        """Loss of every row, outputs in units of their scale."""
        scale = np.where(self.target_scaler_.scale > 0, self.target_scaler_.scale, 1)
        residual = (answer - y).reshape(len(y), -1) / scale
        losses = {"absolute_error": np.abs, "squared_error": np.square}
        return losses.get(self.loss, lambda r: huber(1.0, r))(residual).mean(1)

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.
        return_std : bool, default=False
            Whether to return a standard deviation too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, in the unit of the target.
        y_std : ndarray of the same shape
            Only with `return_std`: the spread of the members and of the stacked model around
            them, scaled to the size of held-out errors where `calibrate` is set.
        """
        center, spread = self._answer(X)
        if not return_std:
            return center
        factor, floor = self.spread_scale_
        return center, np.hypot(factor * spread, floor)


@document_parameters
@dataclass(kw_only=True, repr=False, eq=False)
class HybridTRIADSClassifier(ClassifierTask, BaseHybridTRIADS):
    """Recursive network for two or more classes on composition features or any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. Members' probabilities are averaged.

    Parameters
    ----------
    {common}
    {stacking}
    {classifier}

    Attributes
    ----------
    {net}
    {fitted}
    classes_ : ndarray of shape (n_classes,)
        Labels.

    See Also
    --------
    HybridTRIADSRegressor : The same network for numbers.
    trisk.featurizers.CompositionFeaturizer : Formulas to columns.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.estimators import HybridTRIADSClassifier
    >>> X = np.random.default_rng(0).uniform(size=(60, 3))
    >>> model = HybridTRIADSClassifier(n_members=2, max_epochs=40, random_state=0)
    >>> model.fit(X, X[:, 0] > X[:, 1]).predict_proba(X).shape
    (60, 2)
    """

    _texts = {"stacking": _STACKING_TEXT, "fitted": _FITTED_TEXT}
    _parameter_constraints = {
        **BaseHybridTRIADS._parameter_constraints,
        **ClassifierTask._task_constraints,
    }
    _search_space = {**BaseHybridTRIADS._search_space, **ClassifierTask._task_search_space}

    def _ask_second(self, second, X):
        return second.predict_proba(self._named(X))

    def _second_target(self, y):
        return y

    def _row_losses(self, y, answer):
        """Negative log-likelihood of every row."""
        of_label = np.take_along_axis(answer, np.searchsorted(self.classes_, y)[:, None], axis=1)
        # Trees can be certain, and wrong.
        return -np.log(np.maximum(of_label[:, 0], 1e-6))

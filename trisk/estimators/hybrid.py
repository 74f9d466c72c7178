"""HybridTRIADS for numeric tables, composition features above all."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy.special import huber
from sklearn.utils.validation import check_is_fitted

from trisk._compat import HasMethods, Interval, StrOptions
from trisk.estimators.base import CALIBRATE_TEXT, document
from trisk.estimators.calibration import MANY_ROWS, forget_calibration, warn_of_few_rows
from trisk.estimators.columns import divide_columns, token_names
from trisk.estimators.neighbors import NeighborDraws
from trisk.estimators.scaling import ColumnScaler
from trisk.estimators.stacking import HeldOutFit, mix
from trisk.estimators.tables import TableNetwork, TrainingSet, read_columns
from trisk.estimators.tasks import ClassifierTask, RegressorTask
from trisk.nn import HybridTRIADSNetwork, InputLayout
from trisk.training.datasets import member_seeds
from trisk.training.settings import MAX_LAYERS, STEPS, WIDTH, Choice, Options, Range

# Largest number of attention weights held at once.
_ATTENTION_ELEMENTS = 4_000_000

# Members up to a number of rows; neighbours up to the first of these numbers.
_MEMBERS = {4_999: 8, math.inf: 2}
_N_NEIGHBORS = 8

_MEMBERS_TEXT = """n_members : int or "auto", default="auto"
        Networks in the ensemble; ``"auto"`` goes by the number of rows, see Notes."""

_SIZES_TEXT = """The number of rows (distinct, of positive weight) decides what ``"auto"`` means:

    ============ ========= =========== ================= =================================
    rows         n_members n_neighbors stack_with        rows that judge
    ============ ========= =========== ================= =================================
    up to 4,999  8         8           ``"extra_trees"`` all, or 700 and more, in inner folds
    up to 20,000 2         none        ``"extra_trees"`` a fifth, in one inner fold
    more         2         none        none              1,000, kept out of all fits
    ============ ========= =========== ================= =================================

    The rows that judge set the weight of the stacked model and calibrate. On two cores 300 rows
    then take a quarter of a minute without inner folds, 5,000 half a minute, 100,000 five. A fit
    that will take more than ten minutes says so after its first epochs."""

_STACKING_TEXT = """
    stack_with : estimator, "auto", "extra_trees" or None, default=None
        A second model stacked beside the network inside `fit`: any scikit-learn estimator of the
        same kind (classifiers with ``predict_proba``), or ``"extra_trees"`` for 200 extremely
        randomised trees (their median where the loss is absolute; a :class:`HurdleRegressor`
        where a tenth of the targets and more are exactly zero) on all columns but logarithms of
        element fractions; ``"auto"`` is that up to 20,000 rows where no target is missing. The
        prediction is an average of both answers; the second's weight is the one that loses least
        on inner folds (with fewer than seven hundred rows there, the one nearest to one half
        within a standard error of it; one half below twenty rows, or where a class has one row).
        Fitting takes half as long again on thousands of rows, three times as long on hundreds.
    n_neighbors : int, "auto" or None, default="auto"
        Nearest training rows whose targets become further columns, for each block of columns
        that one of trisk's featurizers named, and for all others together; a training row never
        sees itself. None for none; ``"auto"`` goes by the number of rows, see Notes."""

_FITTED_TEXT = """
    n_members_, n_neighbors_ : int, int or None
        Networks in the ensemble, and neighbours in use.
    stacked_, stacked_weight_ : estimator or None, float
        The fitted model beside the network, and its weight in the prediction.
    neighbors_ : NeighborColumns or None
        Training rows that answer for their neighbourhood.
    neighbor_scaler_ : ColumnScaler
        Centre and scale of the columns they give.
    scaler_ : ColumnScaler
        Centre and scale of every column.
    columns_, layout_ : ndarray of int, InputLayout
        Columns that reach the network, in its order, and how many of them are property tokens,
        context and rest."""


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
        "n_steps": STEPS,
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "deep_supervision": ["boolean"],
        "confidence": ["boolean"],
        "scaling": [StrOptions({"robust", "standard"})],
    }

    def _check(self):
        super()._check()
        if self.attention_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide attention_dim={self.attention_dim}."
            )
        return self


@dataclass(kw_only=True, repr=False, eq=False)
class BaseHybridTRIADS(TableNetwork):
    """Table in, scaled columns to the network; a second model beside it."""

    n_members: Any = "auto"
    stack_with: Any = None
    n_neighbors: int | str | None = "auto"
    calibrate: bool = False

    _options = {**TableNetwork._options, "network": HybridTRIADSOptions}
    _texts = {
        "n_members": _MEMBERS_TEXT,
        "Parameters": _STACKING_TEXT + CALIBRATE_TEXT,
        "Attributes": _FITTED_TEXT,
        "sizes": _SIZES_TEXT,
    }
    _parameter_constraints = {
        "network": [HybridTRIADSOptions, None],
        "n_members": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "stack_with": [HasMethods(["fit", "predict"]), StrOptions({"auto", "extra_trees"}), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "calibrate": ["boolean"],
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

    def _fit_table(self, X, target, weight, y):
        options = self.options("network")
        complete = bool(np.isfinite(target).all())
        self._resolve_sizes(len(X), complete)
        if not complete and (self.n_neighbors_ or self.stack_with not in (None, "auto")):
            raise ValueError(
                "Targets are missing (NaN), which neighbours and a stacked model need: leave "
                'n_neighbors and stack_with "auto" or None.'
            )
        held_out = self._hold_out(X, y, weight, complete)
        if held_out is not None and held_out.kept is not None:
            X, target, weight = (values[held_out.kept] for values in (X, target, weight))
        names = getattr(self, "feature_names_in_", None)
        seeds = member_seeds(self.random_state, self.n_members_)
        self.neighbors_, drawn_columns, n_near = None, None, 0
        if self.n_neighbors_ is not None and len(X) > 1:
            draws = NeighborDraws(X, target, weight, names=names, n_neighbors=self.n_neighbors_)
            self.neighbors_ = draws.columns
            near = draws.draw(seeds[0], 0)
            scaler = self.neighbor_scaler_ = ColumnScaler.fit(near, weight, options.scaling)
            n_near = near.shape[1]

            def drawn_columns(seed, epoch, visible):
                return scaler.transform(draws.draw(seed, epoch, visible))

        self.scaler_ = ColumnScaler.fit(X, weight, options.scaling)
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
            X=self.scaler_.transform(X)[:, self.columns_],
            target=target,
            weight=weight,
            seeds=seeds,
            drawn_columns=drawn_columns,
            held_out=held_out,
        )

    def _resolve_sizes(self, n_rows, complete):
        """What ``"auto"`` means for so many rows, of which none or some lack targets."""
        few, n_members = n_rows <= min(_MEMBERS) and complete, self.n_members
        if n_members == "auto":
            n_members = next(n for most, n in _MEMBERS.items() if n_rows <= most)
        self.n_members_, self.n_neighbors_ = n_members, self.n_neighbors
        if self.n_neighbors == "auto":
            self.n_neighbors_ = _N_NEIGHBORS if few else None

    def _build(self, architecture):
        layout = InputLayout(*architecture["layout"])
        return HybridTRIADSNetwork(**{**architecture, "layout": layout})

    def _supervises_all_steps(self):
        return self.options("network").deep_supervision

    def _hold_out(self, X, y, weight, complete):
        """Fits on inner folds, where a parameter asks for what they tell."""
        self.stacked_, self.stacked_weight_ = None, 0.0
        forget_calibration(self)
        automatic = len(X) <= MANY_ROWS and complete
        stacks = self.stack_with is not None and (self.stack_with != "auto" or automatic)
        if not stacks and not self.calibrate:
            return None
        held_out = HeldOutFit(self, self._named(X), y, weight, stacks=stacks)
        if self.calibrate and not held_out.folds:
            warn_of_few_rows(len(X))
        return held_out

    #: Without the stacked model.
    _network_answer = TableNetwork._answer

    def _named(self, X):
        """The table as it was given: with column names, where it had them."""
        names = getattr(self, "feature_names_in_", None)
        return np.asarray(X, dtype=np.float64) if names is None else pd.DataFrame(X, columns=names)

    def _encode(self, X):
        X = read_columns(self, X, reset=False)
        scaled = self.scaler_.transform(X)[:, self.columns_]
        if self.neighbors_ is None:
            return scaled
        return np.hstack([scaled, self.neighbor_scaler_.transform(self.neighbors_.transform(X))])

    def _answer(self, X):
        return next(self._mixed([self._network_answer(X)], X))

    def _staged_answers(self, X):
        return self._mixed(super()._staged_answers(X), X)

    def _mixed(self, answers, X):
        """The network's answers with those of the stacked model, if there is one."""
        second = None if self.stacked_ is None else self._ask_second(self.stacked_, X)
        for center, spread in answers:
            if second is not None:
                center, spread = mix(self.stacked_weight_, center, spread, second)
            yield center, spread

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
        parameter, n_tokens = next(module.parameters()), self.layout_.n_tokens
        size = module.n_members * self.architecture_["n_heads"] * n_tokens**2
        n_rows = max(1, _ATTENTION_ELEMENTS // size)
        total = torch.zeros((), dtype=parameter.dtype, device=parameter.device)
        with torch.inference_mode():
            for start in range(0, len(table), n_rows):
                rows = torch.from_numpy(table[start : start + n_rows]).to(parameter)
                total = total + module.attention_weights(rows.expand(module.n_members, *rows.shape))
        names = getattr(self, "feature_names_in_", None)
        return (total / len(table)).cpu().numpy(), token_names(names, self.columns_, self.layout_)


@document
@dataclass(kw_only=True, repr=False, eq=False)
class HybridTRIADSRegressor(RegressorTask, BaseHybridTRIADS):
    """Recursive network on composition features, or on any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. All members train as one batched computation. The defaults hold from a
    few hundred to a hundred thousand rows.

    {Parameters}

    {Attributes}
    {scales}

    See Also
    --------
    HybridTRIADSClassifier : The same network for classes.
    trisk.featurizers.CompositionFeaturizer : Formulas to columns.

    Notes
    -----
    {sizes}

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

    _search_space = {**BaseHybridTRIADS._search_space, **RegressorTask._task_search_space}

    @property
    def _has_spread(self):
        if self.stacked_weight_ == 1 and not hasattr(self, "spread_scale_"):
            return False  # the stacked model gives none
        return super()._has_spread or self.stacked_weight_ > 0

    def _ask_second(self, second, X):
        answer = second.predict(self._named(X))
        if self.target_scaler_.link == "logit":
            answer = np.clip(answer, 0, 1)
        if self.single_target_:
            return answer
        return self.target_scaler_.inverse_transform(answer.reshape(len(answer), -1))

    def _second_target(self, y):
        # Several targets count alike only in units of their scale.
        return y if self.single_target_ else self.target_scaler_.transform(y)

    def _row_losses(self, y, answer):
        """Loss of every row, outputs in units of their scale."""
        scaler = self.target_scaler_
        scale = scaler.scale if scaler.link == "identity" else y.std(axis=0)
        scale = np.where(scale > 0, scale, 1)
        residual = (answer - y).reshape(len(y), -1) / scale
        losses = {"absolute_error": np.abs, "squared_error": np.square}
        return losses.get(self.loss, lambda r: huber(1.0, r))(residual).mean(1)


@document
@dataclass(kw_only=True, repr=False, eq=False)
class HybridTRIADSClassifier(ClassifierTask, BaseHybridTRIADS):
    """Recursive network for two or more classes on composition features or any numeric table.

    As :class:`HybridTRIADSRegressor`; the probabilities of all members are averaged.

    {Parameters}

    {Attributes}
    {temperature}

    Notes
    -----
    {sizes}

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.estimators import HybridTRIADSClassifier
    >>> X = np.random.default_rng(0).uniform(size=(60, 3))
    >>> model = HybridTRIADSClassifier(n_members=2, max_epochs=40, random_state=0)
    >>> model.fit(X, X[:, 0] > X[:, 1]).predict_proba(X).shape
    (60, 2)
    """

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

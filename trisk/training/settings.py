"""Parameters of a training, and how the automatic ones follow from the number of rows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from trisk._compat import Interval, StrOptions, validate_parameter_constraints

#: Upper limits of what a user, or a file, may ask of a network.
MAX_WIDTH, MAX_LAYERS, MAX_STEPS = 65_536, 100, 1000

WIDTH = [Interval(Integral, 1, MAX_WIDTH, closed="both")]
STEPS = [Interval(Integral, 1, MAX_STEPS, closed="both")]


class Range(NamedTuple):
    """Numbers worth trying between two ends, both included; integers where there is a step."""

    low: float
    high: float
    log: bool = False
    step: int | None = None


class Choice(NamedTuple):
    """Values worth trying."""

    values: tuple[Any, ...]


class Options(BaseEstimator):
    """Parameters of one kind, nested in an estimator's parameters."""

    _parameter_constraints: ClassVar[Mapping[str, Any]] = {}

    def _check(self):
        """Raise InvalidParameterError for a value that is out of bounds; return self."""
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), type(self).__name__
        )
        return self


@dataclass(kw_only=True, repr=False, eq=False)
class TrainingOptions(Options):
    """Details of training that seldom need a change.

    Parameters
    ----------
    weight_decay : float, default=1e-2
        Decoupled weight decay of AdamW; gains, biases and frequencies are not decayed.
    beta2 : float, default=0.99
        Second-moment decay of AdamW.
    max_grad_norm : float or None, default=1.0
        Limit on the norm of each network's gradient.
    schedule : {"cosine", "constant"}, default="cosine"
        Learning rate: a warm-up over 5 % of the steps and a cosine to zero, or no change.
    averaging : {"ema", "swa"} or None, default="ema"
        Average of the weights that validates and predicts: exponential over steps, or plain
        over the last third of the epochs (stochastic weight averaging, at half the learning
        rate).
    ema_decay : float, default=0.995
        Decay of the exponential average.
    validation_fraction : float, default=0.0
        Share of the training rows that each network, by its own draw, keeps for validation. The
        weights of its best epoch on them are restored. Zero trains on all rows.
    patience : int or None, default=None
        Stop when no network has improved on the validation rows it needs for so many epochs.
    mixed_precision : bool, default=False
        Whether to multiply matrices in bfloat16 while training on an accelerator.
    precision : {"auto", "double", "single"}, default="auto"
        Of predictions: ``"auto"`` is double on a CPU and single elsewhere, where double is slow
        or absent. Training is in single precision.
    """

    weight_decay: float = 1e-2
    beta2: float = 0.99
    max_grad_norm: float | None = 1.0
    schedule: str = "cosine"
    averaging: str | None = "ema"
    ema_decay: float = 0.995
    validation_fraction: float = 0.0
    patience: int | None = None
    mixed_precision: bool = False
    precision: str = "auto"

    _parameter_constraints: ClassVar[Mapping[str, Any]] = {
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "beta2": [Interval(Real, 0, 1, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions({"cosine", "constant"})],
        "averaging": [StrOptions({"ema", "swa"}), None],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "mixed_precision": ["boolean"],
        "precision": [StrOptions({"auto", "double", "single"})],
    }


@dataclass(frozen=True)
class AutomaticSchedule:
    """Batch size and number of epochs that grow with the training set.

    The batch grows with the rows, and the number of steps with their square root: `n_steps` on
    `n_rows`, in batches between `smallest` and `largest` of which an epoch has `n_batches`.
    """

    n_steps: int
    n_rows: int
    n_batches: int
    smallest: int
    largest: int

    def resolve(self, estimator, n_rows):
        """Batch size and number of epochs of an estimator on so many rows."""
        batch_size, max_epochs = estimator.batch_size, estimator.max_epochs
        if batch_size == "auto":
            power = 2 ** round(math.log2(n_rows / self.n_batches))
            batch_size = int(np.clip(power, self.smallest, self.largest))
        if max_epochs == "auto":
            n_steps = self.n_steps * math.sqrt(max(1.0, n_rows / self.n_rows))
            max_epochs = math.ceil(n_steps / math.ceil(n_rows / batch_size))
        return batch_size, max_epochs

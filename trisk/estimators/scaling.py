"""What happens to numbers before a network sees them; statistics of training rows only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

# Far outside any training range, and still far inside single precision.
_LIMIT = 1e6
# Of targets; the square of a larger one is no number, that of its inverse is zero.
_LARGEST_TARGET = 1e150

# How far the logit sees the ends of a bounded target from its bounds.
_END = 1e-3
#: What a network predicts of a target, and the target from that.
LINKS: dict[str, tuple[Callable, Callable]] = {
    "identity": (np.asarray, np.asarray),
    "log": (np.log, np.exp),
    "logit": (
        lambda y: logit((y + _END) / (1 + 2 * _END)),
        lambda p: np.clip((1 + 2 * _END) * expit(p) - _END, 0, 1),
    ),
}

# Quantiles of targets that span decades, and the least ratio of these.
_TAILS, _MANY_TIMES = (0.05, 0.95), 5.0
# From this share of exact zeros on, whether the target is zero is a question of its own.
_MANY_ZEROS = 0.1


@dataclass(frozen=True)
class ColumnScaler:
    """Centre and scale of every column.

    A column x becomes (x − center) / scale, a constant one zero; with `smooth_clip` the scaled
    value then becomes x / √(1 + (x/3)²), so that no outlier exceeds 3.
    """

    center: np.ndarray
    scale: np.ndarray
    smooth_clip: bool

    @classmethod
    def fit(cls, X: np.ndarray, weight=None, kind: str = "robust") -> "ColumnScaler":
        """Measure the columns of training rows, by quartiles or by moments, weighted or not."""
        X = np.asarray(X, dtype=np.float64)
        weight = np.ones(len(X)) if weight is None else weight
        low, high = X.min(0), X.max(0)
        # Halves first: the range of two huge numbers of opposite sign would overflow.
        spread = high / 2 - low / 2
        with np.errstate(over="ignore", invalid="ignore"):
            if kind == "standard":
                center = low + np.average(X - low, axis=0, weights=weight)
                scale = np.sqrt(np.average(np.square(X - center), axis=0, weights=weight))
            else:
                quartiles = np.quantile(
                    X, [0.25, 0.5, 0.75], axis=0, weights=weight, method="inverted_cdf"
                )
                center = quartiles[1]
                scale = quartiles[2] - quartiles[0]
        for column in np.flatnonzero(~np.isfinite(center + scale))[:1]:
            raise ValueError(
                f"Column {column} ranges from {low[column]:.3g} to {high[column]:.3g}, too far to "
                "be scaled. Give it in a larger unit."
            )
        scale = np.where(scale > 0, scale, spread)
        return cls(center, np.where(spread > 0, scale, np.inf), smooth_clip=kind == "robust")

    @property
    def varying(self) -> np.ndarray:
        """Columns that are not constant."""
        return np.isfinite(self.scale)

    def transform(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            scaled = np.clip((X - self.center) / self.scale, -_LIMIT, _LIMIT)
        return scaled / np.sqrt(1 + np.square(scaled / 3)) if self.smooth_clip else scaled


def scale_context(scaler, graphs):
    """Scaled columns of whole structures, without constant ones.

    The last columns, of a process, weigh as much as all others: one temperature among hundreds
    of columns of the composition would hardly be seen.
    """
    columns = scaler.transform(graphs.context)
    n_others = columns.shape[1] - len(graphs.names.get("process", ()))
    others, process = (part.sum() for part in np.split(scaler.varying, [n_others]))
    if others and process:
        columns[:, n_others:] *= max(1.0, np.sqrt(others / process))
    return columns[:, scaler.varying]


@dataclass(frozen=True)
class TargetScaler:
    """Mean and standard deviation of what a link makes of targets; constants become zero."""

    center: np.ndarray
    scale: np.ndarray
    link: str = "identity"

    @classmethod
    def fit(cls, y: np.ndarray, weight: np.ndarray, link: str = "identity") -> "TargetScaler":
        """Measure the targets of weighted training rows; NaN is a missing one."""
        y = LINKS[link][0](y)
        for value in y[np.abs(y) > _LARGEST_TARGET][:1]:
            raise ValueError(f"The target {value:.3g} is too large; give it in a larger unit.")
        low, high = np.nanmin(y, axis=0), np.nanmax(y, axis=0)
        for value in (high - low)[(high > low) & (high - low < 1 / _LARGEST_TARGET)][:1]:
            raise ValueError(f"Targets differ by {value:.3g}; give them in a smaller unit.")
        weights = weight[:, None] * ~np.isnan(y)
        center = low + np.average(np.nan_to_num(y - low), axis=0, weights=weights)
        square = np.nan_to_num(np.square(y - center))
        return cls(center, np.sqrt(np.average(square, axis=0, weights=weights)), link)

    def transform(self, y: np.ndarray) -> np.ndarray:
        y = LINKS[self.link][0](y)
        return (y - self.center) / np.where(self.scale > 0, self.scale, 1)

    def inverse_transform(self, y: np.ndarray) -> np.ndarray:
        return LINKS[self.link][1](y * self.scale + self.center)


def spans_decades(y: np.ndarray) -> bool:
    """Whether targets are positive, and so unequal that their logarithms are the better scale."""
    if np.nanmin(y) <= 0:
        return False
    low, high = np.nanquantile(y, _TAILS, axis=0)
    return bool((high >= _MANY_TIMES * low).all())


def has_many_zeros(y: np.ndarray) -> bool:
    """Whether a tenth of the targets and more are exactly zero, as gaps of all materials are."""
    return bool(np.mean(y == 0) >= _MANY_ZEROS)


def target_range(y: np.ndarray, link: str) -> tuple[np.ndarray, float]:
    """Ends that no target passes: zero where it is the end of many or logarithms tell, or −∞."""
    columns = [column[np.isfinite(column)] for column in y.reshape(len(y), -1).T]
    ends_at_zero = [
        link != "identity" or spans_decades(c) or (c.min() == 0 and has_many_zeros(c))
        for c in columns
    ]
    low = np.where(ends_at_zero, 0.0, -np.inf).reshape(y.shape[1:])
    return low, 1.0 if link == "logit" else np.inf

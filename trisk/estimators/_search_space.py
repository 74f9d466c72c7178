"""Which parameters are worth tuning, and between which values."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Range(NamedTuple):
    """Numbers between two ends, both included.

    Attributes
    ----------
    low, high : float
        The ends.
    log : bool
        Whether equal ratios, not equal differences, are equally likely.
    step : int or None
        Distance of integers; None for real numbers.
    """

    low: float
    high: float
    log: bool = False
    step: int | None = None


class Choice(NamedTuple):
    """One of several values.

    Attributes
    ----------
    values : tuple
        The values: numbers, strings, booleans or None.
    """

    values: tuple[Any, ...]


class SearchSpaceMixin:
    """Publishes what is worth tuning, as a class says it in ``_search_space``."""

    _search_space: Mapping[str, Any] = {}

    def search_space(self):
        """Tell which parameters are worth tuning, for :func:`trisk.model_selection.optuna_search`.

        Returns
        -------
        distributions : dict of str to optuna.distributions.BaseDistribution
            Values to try, by parameter; those of estimators inside are not among them.
        """
        return {name: _to_distribution(values) for name, values in self._search_space.items()}


def _to_distribution(values):
    """The same for Optuna, which is loaded here and not before."""
    from optuna import distributions

    if isinstance(values, Choice):
        return distributions.CategoricalDistribution(values.values)
    if values.step is not None:
        return distributions.IntDistribution(values.low, values.high, step=values.step)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)

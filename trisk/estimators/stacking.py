"""A second model beside the network, whose weight follows from rows that both left out."""

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from trisk._compat import routing_enabled, safe_indexing
from trisk.estimators.calibration import (
    ENOUGH_ROWS,
    MANY_ROWS,
    N_MEMBERS,
    inner_folds,
    inner_network,
    spread_ratio,
    temper,
)
from trisk.estimators.equality import equal_rows
from trisk.estimators.meta import HurdleRegressor, seeded
from trisk.estimators.scaling import has_many_zeros
from trisk.training.datasets import draw_seed

_N_TREES = 200
_MOST_REPEATED = 100  # copies of a row, on average, that stand for its weight
# How trisk's featurizer names logarithms of fractions, which trees split worse on.
_LOGARITHM = "ElementFraction log10"


class MedianTrees(ExtraTreesRegressor):
    """Extremely randomised trees whose answer is their median, which is better with long tails."""

    def predict(self, X):
        """Median over the trees."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return np.median([tree.predict(X) for tree in self.estimators_], axis=0)


class HeldOutFit:
    """Networks and stacked models fitted on parts of the rows and judged on the others.

    The networks are ordinary jobs of :func:`~trisk.estimators.tables.fit_together`, so that they
    train in one batch over all folds of a cross-validation; :meth:`finish` then compares. Of many
    rows the estimator itself is judged, on rows that it leaves out: its own are ``kept``. Rows of
    equal columns stay together, and `y` are their targets as the user gave them.
    """

    def __init__(self, estimator, X, y, weight, *, stacks):
        self.estimator, self.stacks = estimator, stacks
        self.X, self.y, self.weight = X, y, weight
        seeds = np.random.SeedSequence([draw_seed(estimator.random_state), 1]).generate_state(3)
        fold_seed, network_seed, self.seed = (seeds >> 1).tolist()
        if stacks:  # first, as it may be of the wrong kind
            self.second = _make_second(estimator, self.seed, getattr(X, "columns", ()), y)
        groups, classifies = equal_rows(X), is_classifier(estimator)
        self.folds = inner_folds(y, fold_seed, groups, stratified=classifies)
        self.kept = self.folds[0][0] if len(y) > MANY_ROWS and self.folds else None
        network = inner_network(
            estimator,
            n_members=min(N_MEMBERS, estimator.n_members_),
            n_neighbors=estimator.n_neighbors_,
            random_state=network_seed,
            checkpoint=None,
            stack_with=None,
        )
        self.networks = [clone(network) for _ in self.folds] if self.kept is None else [estimator]

    @property
    def jobs(self):
        """Fits of the inner networks: (estimator, X, y, sample_weight)."""
        if self.kept is not None:
            return []
        folds = zip(self.networks, self.folds, strict=True)
        return [(network, *self._rows(rows)) for network, (rows, _) in folds]

    def finish(self):
        """Fit the stacked model; set its weight, the temperature and the scale of the spread."""
        estimator, stacks = self.estimator, self.stacks
        if stacks:
            seconds = [self._fit_second(rows) for rows, _ in self.folds]
            kept = self.kept is not None
            estimator.stacked_ = seconds[0] if kept else self._fit_second(np.arange(len(self.y)))
            estimator.stacked_weight_ = 0.5
        if not self.folds:
            return
        answers = []
        for index, (_, held_out) in enumerate(self.folds):
            X = safe_indexing(self.X, held_out)
            answer, spread = self.networks[index]._network_answer(X)
            second = estimator._ask_second(seconds[index], X) if stacks else answer
            answers.append((answer, spread, second))
        answer, spread, second = map(np.concatenate, zip(*answers, strict=True))
        held_out = np.concatenate([rows for _, rows in self.folds])
        target, weight = self.y[held_out], self.weight[held_out]
        classifies = is_classifier(estimator)
        if estimator.calibrate and classifies:
            estimator._calibrate(target, answer, spread, weight)
            answer = temper(answer, estimator.temperature_)
        if stacks:
            estimator.stacked_weight_ = best_share(
                lambda share: estimator._row_losses(target, (1 - share) * answer + share * second),
                weight,
            )
        if estimator.calibrate and not classifies:
            spread = spread * spread_ratio(self.networks[0].n_members_, estimator.n_members_)
            center, spread = mix(estimator.stacked_weight_, answer, spread, second)
            estimator._calibrate(target, center, spread, weight)

    def _rows(self, rows):
        return safe_indexing(self.X, rows), self.y[rows], self.weight[rows]

    def _fit_second(self, rows):
        X, y, weight = self._rows(rows)
        return _fit_weighted(clone(self.second), X, self.estimator._second_target(y), weight)


def _make_second(estimator, seed, names, y):
    """Unfitted model to stack, seeded wherever its own seeds are None."""
    classifies = is_classifier(estimator)
    if isinstance(estimator.stack_with, str):
        if classifies:
            trees = ExtraTreesClassifier(_N_TREES, max_features=1 / 3, random_state=seed)
        else:
            of_median = estimator.loss == "absolute_error"
            if y.ndim == 1 and has_many_zeros(y):
                statistic = "median" if of_median else "mean"
                trees = HurdleRegressor(statistic=statistic, random_state=seed)
            else:
                kind = MedianTrees if of_median else ExtraTreesRegressor
                trees = kind(_N_TREES, random_state=seed)
        kept = [name for name in names if _LOGARITHM not in name]
        if len(kept) == len(names):
            return trees
        return make_pipeline(ColumnTransformer([("kept", "passthrough", kept)]), trees)
    second = clone(estimator.stack_with)
    answer = "predict_proba" if classifies else "predict"
    if is_classifier(second) != classifies or not hasattr(second, answer):
        kind = "classifier with predict_proba" if classifies else "regressor"
        raise ValueError(
            f"stack_with={second!r} is no {kind}, as {type(estimator).__name__} needs it."
        )
    return seeded(second, seed)


def _fit_weighted(second, X, y, weight):
    """Fit with weights; whole multiples become repeated rows for a model that takes none."""
    # Most regressors of scikit-learn warn about a target of one column.
    y = y[:, 0] if y.shape[1:] == (1,) else y
    name = _weight_parameter(second)
    if name is not None:
        return second.fit(X, y, **{name: weight})
    counts = weight / weight.min()
    whole = np.allclose(counts, np.rint(counts), rtol=0, atol=1e-6)
    if not whole or counts.sum() > _MOST_REPEATED * len(y):
        raise ValueError(
            f"stack_with={second!r} takes no sample_weight in fit. Give no weights and no "
            "class_weight, small whole multiples of one weight, or a model that takes them."
        )
    repeated = np.repeat(np.arange(len(y)), np.rint(counts).astype(np.intp))
    return second.fit(safe_indexing(X, repeated), y[repeated])


def _weight_parameter(model):
    """Name under which `fit` takes row weights, those of a pipeline's last step included."""
    if has_fit_parameter(model, "sample_weight"):
        return "sample_weight"
    # With routing, a pipeline takes what its user requested, under names of its own.
    if isinstance(model, Pipeline) and not routing_enabled():
        step, last = model.steps[-1]
        if has_fit_parameter(last, "sample_weight"):
            return f"{step}__sample_weight"
    return None


def mix(share, answer, spread, second):
    """Mean of two answers, the second with a share, and its spread with their disagreement."""
    center = (1 - share) * answer + share * second
    variance = (1 - share) * np.square(spread)
    return center, np.sqrt(variance + share * (1 - share) * np.square(answer - second))


def best_share(row_losses, weight):
    """Share of the stacked model, to two digits, that loses least on held-out rows.

    `row_losses` turns a share into the losses of all rows. Few rows cannot tell the best share
    from chance: below seven hundred it is the one nearest to one half whose loss is within one
    standard error of the least.
    """
    shares = np.linspace(0, 1, 101)
    losses = np.stack([row_losses(share) for share in shares])
    weight = weight / weight.sum()
    least = np.argmin(losses @ weight)
    if len(weight) >= ENOUGH_ROWS:
        return float(shares[least])
    excess = losses - losses[least]
    mean = excess @ weight
    error = np.sqrt(np.square((excess - mean[:, None]) * weight).sum(1))
    allowed = shares[mean <= error]
    return float(allowed[np.argmin(np.abs(allowed - 0.5))])

"""What more data would bring, with a forest beside it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable

from trisk.plotting._base import (
    COLORS,
    Display,
    attribute,
    class_name,
    legend_above,
    plain_axes,
    set_ticks,
    with_unit,
)


@dataclass(kw_only=True, eq=False, repr=False)
class LearningCurveDisplay(Display):
    """Score on left-out rows against the number of training rows, on logarithmic axes.

    On such axes the error of many models falls on a line, whose slope says what doubling the
    data brings. All models see the same rows.

    Parameters
    ----------
    train_sizes : array-like of shape (n_sizes,)
        Numbers of training rows.
    scores : dict of str to array-like of shape (n_sizes, n_folds)
        Scores on left-out rows, by model.
    label : str, default="score"
        What they are, for the axis.

    Attributes
    ----------
    ax_, figure_ : matplotlib.axes.Axes, matplotlib.figure.Figure
        Axes of the plot, and their figure.
    lines_ : dict of str to matplotlib.lines.Line2D
        Mean over folds, by model.
    legend_ : matplotlib.legend.Legend
        The legend.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Training scores too, one estimator at a time.
    """

    train_sizes: Any
    scores: dict[str, Any]
    label: str = "score"

    _size = (5.4, 4.2)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        baseline="forest",
        train_sizes=(0.1, 0.2, 0.4, 0.7, 1.0),
        cv=5,
        groups=None,
        scoring=None,
        random_state=None,
        ax=None,
        name=None,
        unit=None,
    ):
        """Fit an estimator and a baseline on growing parts of the training folds, and draw.

        Parameters
        ----------
        estimator : estimator instance
            Cloned for every size and fold. Folds of a trisk estimator train as one batch.
        X, y : array-like of shape (n_samples, ...)
            Inputs and targets.
        baseline : "forest", estimator instance or None, default="forest"
            What to draw beside it; ``"forest"`` is 300 extremely randomised trees behind the
            same transformers.
        train_sizes : array-like of shape (n_sizes,), default=(0.1, 0.2, 0.4, 0.7, 1.0)
            Shares of the training folds, or numbers of rows above one.
        cv : int, splitter or iterable, default=5
            Folds; a number means shuffled ones.
        groups : array-like of shape (n_samples,), default=None
            Group labels for the splitter.
        scoring : str or callable, default=None
            Score; mean absolute error or, for classes, log loss if None. Errors are drawn
            positive.
        random_state : int, RandomState instance or None, default=None
            Seed of the order in which training rows come in, and of the forest.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        name, unit : str, default=None
            Name of the estimator in the legend (its class if None), and unit of the score
            (``y.attrs["unit"]`` if None and the score is an error).

        Returns
        -------
        LearningCurveDisplay
            The display, drawn.
        """
        from trisk.model_selection._folds import score_folds, shuffled_folds

        X, y, groups = indexable(X, y, groups)
        rng = check_random_state(random_state)
        classification = is_classifier(estimator)
        folds = shuffled_folds(cv, X, y, groups, classification=classification)
        folds = [(rng.permutation(train), test) for train, test in folds]
        sizes = _absolute_sizes(train_sizes, min(len(train) for train, _ in folds))
        if scoring is None:
            scoring = "neg_log_loss" if classification else "neg_mean_absolute_error"
        models = {class_name(estimator) if name is None else name: estimator}
        if baseline is not None:
            if isinstance(baseline, str):
                baseline = _forest(estimator, rng.randint(np.iinfo(np.int32).max))
            models[class_name(baseline)] = baseline
        parts = [[(train[:n], test) for train, test in folds] for n in sizes]
        scores = {}
        for key, model in models.items():
            scorer = check_scoring(model, scoring)
            scores[key] = np.array([score_folds(model, X, y, part, scorer) for part in parts])
        label = scoring if isinstance(scoring, str) else "score"
        if label.startswith("neg_"):
            scores = {n: -values for n, values in scores.items()}
            label = label.removeprefix("neg_").replace("_", " ")
            label = with_unit(label, None if classification else attribute(unit, y, "unit"))
        return cls(train_sizes=sizes, scores=scores, label=label).plot(ax)

    def _draw(self, ax):
        from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

        self.lines_ = {}
        sizes = np.asarray(self.train_sizes)
        for color, (name, scores) in zip(COLORS, self.scores.items(), strict=False):
            mean, deviation = np.mean(scores, axis=1), np.std(scores, axis=1)
            label = f"{name}: {mean[-1]:.3g} with {sizes[-1]} rows"
            style = {"color": color, "marker": "o", "markersize": 4, "label": label}
            (self.lines_[name],) = ax.plot(sizes, mean, **style)
            band = {"color": color, "alpha": 0.15, "linewidth": 0}
            ax.fill_between(sizes, mean - deviation, mean + deviation, **band)
        lowest = min(np.min(scores) for scores in self.scores.values())
        ax.set(xscale="log", yscale="log" if lowest > 0 else "linear")
        ax.set(xlabel="training rows", ylabel=self.label)
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
        if lowest > 0:
            # Errors rarely span a decade, so ticks at its powers would be none.
            set_ticks(ax.yaxis)
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_formatter(NullFormatter())
        plain_axes(ax)
        self.legend_ = legend_above(ax)


def _absolute_sizes(train_sizes, n_rows):
    sizes = [round(size * n_rows) if size <= 1 else int(size) for size in train_sizes]
    for size, given in zip(sizes, train_sizes, strict=True):
        if not 2 <= size <= n_rows:
            raise ValueError(
                f"train_sizes={given!r} means {size} rows, but the smallest training fold has "
                f"{n_rows}, and two are the least."
            )
    return sorted(set(sizes))


def _forest(estimator, seed):
    """Extremely randomised trees behind the transformers of a pipeline."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    trees = ExtraTreesClassifier if is_classifier(estimator) else ExtraTreesRegressor
    forest = trees(n_estimators=300, random_state=seed, n_jobs=-1)
    if not isinstance(estimator, Pipeline):
        return forest
    return Pipeline([*estimator.steps[:-1], (estimator.steps[-1][0], forest)])

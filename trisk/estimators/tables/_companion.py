"""A second model beside the network: how it is made, fitted, asked, and mixed in."""

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from trisk.estimators._seeding import seed_parts

_N_TREES = 200


class MedianTrees(ExtraTreesRegressor):
    """Extremely randomised trees whose answer is their median.

    It has a smaller absolute error than their mean where targets have long tails. Parameters and
    attributes are those of scikit-learn's ``ExtraTreesRegressor``.
    """

    def predict(self, X):
        """Median over the trees.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Prediction.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return np.median([tree.predict(X) for tree in self.estimators_], axis=0)


def make_companion(estimator, seed):
    """Unfitted companion of an estimator, seeded wherever its own seeds are None.

    Parameters
    ----------
    estimator : BaseHybridTRIADS
        Its parameter ``companion`` says what to make.
    seed : int
        Seed.

    Returns
    -------
    companion : estimator
        A clone that may be fitted.
    """
    if estimator.companion == "extra_trees":
        if is_classifier(estimator):
            return ExtraTreesClassifier(_N_TREES, max_features=1 / 3, random_state=seed)
        trees = MedianTrees if estimator.loss == "absolute_error" else ExtraTreesRegressor
        return trees(_N_TREES, random_state=seed)
    companion = clone(estimator.companion)
    answer = "predict_proba" if is_classifier(estimator) else "predict"
    if is_classifier(companion) != is_classifier(estimator) or not hasattr(companion, answer):
        kind = "classifier with predict_proba" if is_classifier(estimator) else "regressor"
        raise ValueError(
            f"companion={companion!r} is no {kind}, as {type(estimator).__name__} needs it."
        )
    return seed_parts(companion, seed)


def fit_companion(companion, X, y, weight):
    """Fit a companion to distinct rows.

    Parameters
    ----------
    companion : estimator
        As :func:`make_companion` gives it.
    X : array or DataFrame of shape (n_rows, n_columns)
        Distinct rows.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets.
    weight : ndarray of shape (n_rows,)
        Their weights. Whole multiples, such as counts of equal rows, become repeated rows for
        a companion that takes no weights.

    Returns
    -------
    companion : estimator
        The same, fitted.

    Raises
    ------
    ValueError
        If a companion that takes no weights would need them.
    """
    # Most regressors of scikit-learn warn about a target of one column.
    y = y[:, 0] if y.shape[1:] == (1,) else y
    name = _weight_parameter(companion)
    if name is not None:
        return companion.fit(X, y, **{name: weight})
    counts = weight / weight.min()
    if not np.allclose(counts, np.rint(counts)):
        raise ValueError(
            f"companion={companion!r} takes no sample_weight in fit. Give no weights and no "
            "class_weight, or a companion that takes them."
        )
    repeated = np.repeat(np.arange(len(y)), np.rint(counts).astype(np.intp))
    return companion.fit(_safe_indexing(X, repeated), y[repeated])


def _weight_parameter(companion):
    """Name under which `fit` takes row weights, those of a pipeline's last step included."""
    if has_fit_parameter(companion, "sample_weight"):
        return "sample_weight"
    # With routing, a pipeline takes what its user requested, under names of its own.
    if isinstance(companion, Pipeline) and not _routing_enabled():
        step, last = companion.steps[-1]
        if has_fit_parameter(last, "sample_weight"):
            return f"{step}__sample_weight"
    return None


def mix(share, answer, spread, second):
    """Mix the network's answer with its companion's.

    Parameters
    ----------
    share : float
        Weight of the companion.
    answer, spread : ndarray
        Centre and standard deviation of the network's members.
    second : ndarray
        The companion's answer.

    Returns
    -------
    center, spread : ndarray
        Mean and standard deviation of the mixture, disagreement of the two included.
    """
    center = (1 - share) * answer + share * second
    variance = (1 - share) * np.square(spread)
    return center, np.sqrt(variance + share * (1 - share) * np.square(answer - second))

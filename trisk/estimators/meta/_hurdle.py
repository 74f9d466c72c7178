"""Targets that are exactly zero in many rows: a gate and a size."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import _safe_indexing, check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils._tags import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    _num_samples,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from trisk.estimators._search_space import Choice, SearchSpaceMixin
from trisk.estimators._seeding import seed_parts
from trisk.estimators._weights import check_takes_weights

_TREES = {"n_estimators": 200, "max_features": 1 / 3}


class HurdleRegressor(SearchSpaceMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Regression for targets of which many are exactly zero, such as band gaps of all materials.

    A classifier tells zero from the rest, and a regressor, fitted to the other rows only, says
    how large [1]_. Both answers make a distribution: a mass at zero and, with the remaining
    probability, the regressor's prediction with errors as it makes them on rows left out.

    Parameters
    ----------
    classifier : classifier or None, default=None
        Any classifier with ``predict_proba``. None means 200 extremely randomised trees.
    regressor : regressor or None, default=None
        Any regressor. None means 200 extremely randomised trees.
    statistic : {"median", "mean"}, default="median"
        Which statistic of the distribution to predict: its median, which has the least
        absolute error, or its mean, which has the least squared error.
    cv : int, splitter, iterable or None, default=3
        Folds of all rows in which the regressor's errors are measured, for the median only. A
        number means shuffled folds, None three.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, and of a classifier or regressor that is None.

    Attributes
    ----------
    classifier_ : classifier or None
        The fitted gate; None where all targets are zero, or none is.
    regressor_ : regressor or None
        Fitted to the rows that are not zero; None where all are.
    errors_ : ndarray of shape (n_errors,)
        Sorted errors of the regressor on rows left out: targets over predictions where both
        have one sign, otherwise targets minus predictions. A single zero where not measured.
    error_levels_ : ndarray of shape (n_errors,)
        Share of weight up to each of them.
    proportional_ : bool
        Whether they are ratios.
    sign_ : float
        Sign of all targets that are not zero; zero where both signs occur.
    share_ : float
        Share of rows, by weight, that are not zero.
    n_features_in_ : int
        Number of columns seen in `fit`, if the two estimators count them.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    HybridTRIADSRegressor : A network that can have this as its companion.

    References
    ----------
    .. [1] J. G. Cragg, "Some statistical models for limited dependent variables with
       application to the demand for durable goods", Econometrica 39, 829 (1971).
       https://doi.org/10.2307/1909582

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.estimators import HurdleRegressor
    >>> X = np.random.default_rng(0).uniform(size=(100, 3))
    >>> y = np.maximum(X[:, 0] - 0.5, 0)
    >>> model = HurdleRegressor(random_state=0).fit(X, y)
    >>> model.predict([[0.1, 0.5, 0.5], [0.9, 0.5, 0.5]]).round(1)
    array([0. , 0.4])
    """

    _parameter_constraints = {
        "classifier": [HasMethods(["fit", "predict_proba"]), None],
        "regressor": [HasMethods(["fit", "predict"]), None],
        "statistic": [StrOptions({"median", "mean"})],
        "cv": ["cv_object"],
        "random_state": ["random_state"],
    }
    _search_space = {"statistic": Choice(("median", "mean"))}

    def __init__(
        self, classifier=None, regressor=None, *, statistic="median", cv=3, random_state=None
    ):
        self.classifier = classifier
        self.regressor = regressor
        self.statistic = statistic
        self.cv = cv
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        parts = [get_tags(part) for part in (self.classifier, self.regressor) if part is not None]
        tags.input_tags.sparse = all(part.input_tags.sparse for part in parts)
        tags.input_tags.allow_nan = all(part.input_tags.allow_nan for part in parts)
        return tags

    @property
    def n_features_in_(self):
        """Number of columns seen in `fit`."""
        check_is_fitted(self)
        fitted = [part for part in (self.classifier_, self.regressor_) if part is not None]
        return fitted[0].n_features_in_

    def get_metadata_routing(self):
        """Tell scikit-learn which metadata go where.

        Returns
        -------
        routing : MetadataRouter
            Weights go to both estimators, to each if it asks for them.
        """
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(classifier=self._classifier(), method_mapping=to_fit)
            .add(regressor=self._regressor(), method_mapping=to_fit)
        )

    def fit(self, X, y, sample_weight=None):
        """Fit the classifier to all rows and the regressor to those that are not zero.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whatever the two estimators take: a table, or formulas for pipelines that begin with
            a featurizer.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; both estimators must take them.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If the target is missing or infinite, or weights are given to estimators that take
            none.
        """
        self._validate_params()
        if y is None:
            raise ValueError("HurdleRegressor requires y to be passed, but the target y is None.")
        X, y = indexable(X, y)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        _check_feature_names(self, X, reset=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        classifier_params, regressor_params = self._fit_params(sample_weight)
        seed, fold_seed = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=2
        )
        nonzero = np.flatnonzero(y)
        signs = np.unique(np.sign(y[nonzero]))
        self.sign_ = float(signs[0]) if len(signs) == 1 else 0.0
        self.share_ = float(np.average(y != 0, weights=sample_weight))
        self.classifier_, self.regressor_ = None, None
        self.errors_, self.error_levels_ = np.zeros(1), np.ones(1)
        self.proportional_ = False
        if 0 < len(nonzero) < len(y):
            self.classifier_ = self._classifier(seed).fit(X, y != 0, **classifier_params)
        if len(nonzero):
            if self.statistic == "median" and len(y) > 1:
                self._measure_errors(X, y, regressor_params, seed, fold_seed)
            self.regressor_ = self._fit_regressor(X, y, nonzero, regressor_params, seed)
        return self

    def _classifier(self, seed=None):
        if self.classifier is None:
            return ExtraTreesClassifier(**_TREES, min_samples_leaf=2, random_state=seed)
        return seed_parts(clone(self.classifier), seed)

    def _regressor(self, seed=None):
        if self.regressor is None:
            return ExtraTreesRegressor(**_TREES, random_state=seed)
        return seed_parts(clone(self.regressor), seed)

    def _fit_params(self, sample_weight):
        """Parameters of the two fits, as arrays."""
        if sample_weight is None:
            return {}, {}
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=sample_weight)
            return routed.classifier.fit, routed.regressor.fit
        for name in ("classifier", "regressor"):
            check_takes_weights(name, getattr(self, name), getattr(self, f"_{name}")())
        return {"sample_weight": sample_weight}, {"sample_weight": sample_weight}

    def _fit_regressor(self, X, y, rows, params, seed):
        params = {name: value[rows] for name, value in params.items()}
        return self._regressor(seed).fit(_safe_indexing(X, rows), y[rows], **params)

    def _measure_errors(self, X, y, params, seed, fold_seed):
        """Errors of the regressor on rows left out."""
        splitter = self.cv
        if splitter is None or isinstance(splitter, Integral):
            splitter = KFold(min(splitter or 3, len(y)), shuffle=True, random_state=fold_seed)
        weight = params.get("sample_weight", np.ones(len(y)))
        targets, predictions, weights = [], [], []
        for train, test in check_cv(splitter, y).split(X, y):
            rows, held_out = train[y[train] != 0], test[y[test] != 0]
            if len(rows) and len(held_out):
                regressor = self._fit_regressor(X, y, rows, params, seed)
                predictions.append(regressor.predict(_safe_indexing(X, held_out)))
                targets.append(y[held_out])
                weights.append(weight[held_out])
        if targets:
            target, prediction = np.concatenate(targets), np.concatenate(predictions)
            self.proportional_ = bool((prediction * self.sign_ > 0).all())
            errors = target / prediction if self.proportional_ else target - prediction
            order = np.argsort(errors)
            self.errors_ = errors[order]
            levels = np.cumsum(np.concatenate(weights)[order])
            self.error_levels_ = levels / levels[-1]

    def predict(self, X):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Median or mean, in the unit of the target.
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        if self.regressor_ is None:
            return np.zeros(_num_samples(X))
        size = self.regressor_.predict(X)
        probability = np.full(len(size), self.share_)
        if self.classifier_ is not None:
            probability = self.classifier_.predict_proba(X)[:, 1]
        if self.statistic == "mean":
            return probability * size
        return self._median(probability, size)

    def _median(self, probability, size):
        """Median of a mass at zero and, with a probability, sizes with their errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            # Levels at which the size's own distribution crosses the median from either side.
            low, high = 0.5 / probability, (probability - 0.5) / probability
        below, above = (self._quantile(size, level) for level in (low, high))
        return np.where(below < 0, below, np.where(above > 0, above, 0.0))

    def _quantile(self, size, level):
        """Quantile of the size; what lies beyond the distribution counts as zero."""
        inside = (level >= 0) & (level <= 1)
        level = np.where(inside, level, 0.5)
        if self.proportional_:
            level = level if self.sign_ > 0 else 1 - level
            value = size * self._error(level)
        else:
            value = size + self._error(level)
            if self.sign_:
                value = self.sign_ * np.maximum(self.sign_ * value, 0)
        return np.where(inside, value, 0.0)

    def _error(self, level):
        return self.errors_[np.searchsorted(self.error_levels_[:-1], level)]

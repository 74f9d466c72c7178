"""Regressors around other models: corrections to an estimate, and targets with many zeros."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import check_random_state, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
    validate_data,
)

from trisk._compat import (
    HasMethods,
    StrOptions,
    check_feature_names,
    check_method_params,
    check_sample_weight,
    routing_enabled,
    safe_indexing,
)
from trisk.estimators.base import NetworkEstimator
from trisk.structures import CrystalGraphs
from trisk.training.settings import Choice

_TREES = {"n_estimators": 200, "max_features": 1 / 3}


def seeded(model, seed):
    """The model with a seed wherever it, or a part of it, has none."""
    missing = (name for name, value in model.get_params().items() if value is None)
    names = [name for name in missing if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(names, seed))


class _AroundModels(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """What both share: fitted or not, what is worth tuning, and where weights go."""

    _search_space: dict[str, Choice] = {}
    #: Methods whose metadata go to the parts.
    _routed: tuple[str, ...] = ("fit",)

    search_space = NetworkEstimator.search_space

    def get_metadata_routing(self):
        """Tell scikit-learn which metadata go where.

        Returns
        -------
        routing : MetadataRouter
            Metadata go to the estimators inside, to each what it asks for.
        """
        methods = MethodMapping()
        for method in self._routed:
            methods.add(caller=method, callee=method)
        return MetadataRouter(owner=self).add(**self._parts(), method_mapping=methods)

    def fit(self, X, y, sample_weight=None, **fit_params):
        """Fit the models inside.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Whatever they take: a table, formulas for pipelines that begin with a featurizer, or
            graphs. For a :class:`DeltaRegressor` with the column of estimates (context of graphs).
        y : array-like of shape (n_samples,)
            Target; for a :class:`DeltaRegressor` in the unit of the estimates.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; all of them must take these.
        **fit_params
            Further metadata for the models inside.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        raise NotImplementedError

    def __sklearn_is_fitted__(self):
        """A fit that was interrupted leaves attributes, but no regressor."""
        return "regressor_" in vars(self)

    def _parts(self, seed=None):
        """The models inside by parameter, unfitted."""
        raise NotImplementedError

    def _fit_params(self, y, sample_weight, fit_params):
        """Parameters of the fit of each part: what it asks for, or the same for all."""
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, y, dtype=np.float64)
            fit_params = {**fit_params, "sample_weight": weight}
        if routing_enabled():
            routed = process_routing(self, "fit", **fit_params)
            return {name: routed[name].fit for name in self._parts()}
        for name, part in self._parts().items():
            if sample_weight is not None and not has_fit_parameter(part, "sample_weight"):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} takes no sample_weight in fit. Give no "
                    f"weights, or a {name} that takes them."
                )
        return dict.fromkeys(self._parts(), fit_params)


@dataclass(repr=False, eq=False)
class DeltaRegressor(_AroundModels):
    """Δ-learning: a regressor learns how far a cheap estimate in one column is off [1]_.

    Parameters
    ----------
    regressor : regressor
        Any regressor; it sees all columns, and the correction as its target. One that takes
        crystal graphs finds the estimate among their context.
    reference : str or int, default=0
        Name or position of the column that holds the estimate, such as
        ``"SpringModel highest pair frequency (1/cm)"`` for phonon frequencies or
        ``"Layer area per atom (A2)"`` for energies of exfoliation.
    kind : {"ratio", "difference"}, default="ratio"
        Whether the correction is target / estimate, for positive estimates that are off in
        proportion, or target − estimate.

    Attributes
    ----------
    regressor_ : regressor
        The fitted regressor.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns seen in `fit`, and their names, if strings; not for graphs.

    See Also
    --------
    trisk.featurizers.SpringModelFeaturizer : Estimates of vibrations without a potential.
    trisk.featurizers.LayerFeaturizer : Areas of layers, to which dispersion forces are in
        proportion.

    References
    ----------
    .. [1] R. Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015).
       https://doi.org/10.1021/acs.jctc.5b00099

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from trisk.estimators import DeltaRegressor
    >>> X = np.random.default_rng(0).uniform(1, 2, size=(100, 2))
    >>> y = X[:, 0] * (1 + 0.1 * X[:, 1])
    >>> model = DeltaRegressor(Ridge(alpha=1e-3)).fit(X, y)
    >>> model.predict([[10.0, 2.0]]).round(2)
    array([12.])
    """

    _search_space = {"kind": Choice(("ratio", "difference"))}
    _routed = ("fit", "predict")
    _parameter_constraints = {
        "regressor": [HasMethods(["fit", "predict"])],
        "reference": [str, Integral],
        "kind": [StrOptions({"ratio", "difference"})],
    }

    regressor: Any
    _: KW_ONLY
    reference: str | int = 0
    kind: str = "ratio"

    def __sklearn_tags__(self):
        tags, inner = super().__sklearn_tags__(), get_tags(self.regressor)
        tags.input_tags, tags.regressor_tags = inner.input_tags, inner.regressor_tags
        tags.input_tags.sparse = False
        tags.non_deterministic = inner.non_deterministic
        return tags

    def _parts(self, seed=None):
        return {"regressor": self.regressor}

    def fit(self, X, y, sample_weight=None, **fit_params):
        self.__dict__.pop("regressor_", None)
        self._validate_params()
        if isinstance(X, CrystalGraphs):
            y = column_or_1d(y, dtype=np.float64, warn=True)
            check_consistent_length(X, y)
        else:
            _, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, **self._checks())
        estimates = self._estimates(X)
        target = y / estimates if self.kind == "ratio" else y - estimates
        params = self._fit_params(y, sample_weight, fit_params)["regressor"]
        self.regressor_ = clone(self.regressor).fit(X, target, **params)
        return self

    def predict(self, X, **params):
        """Correct the estimates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            As in `fit`.
        **params
            Given to the regressor's ``predict``, such as ``return_std=True``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or tuple of two
            Predictions, with their spread where the regressor gives one.
        """
        check_is_fitted(self)
        estimates = self._estimates(X)
        if routing_enabled():
            params = process_routing(self, "predict", **params)["regressor"].predict
        corrections = self.regressor_.predict(X, **params)
        scale, shift = (estimates, 0.0) if self.kind == "ratio" else (1.0, estimates)
        if isinstance(corrections, tuple):
            mean, std = corrections
            return mean * scale + shift, std * scale
        return corrections * scale + shift

    def _checks(self):
        allow_nan = get_tags(self.regressor).input_tags.allow_nan
        return {"ensure_all_finite": "allow-nan" if allow_nan else True}

    def _estimates(self, X):
        """The column of estimates, all fit for a correction."""
        if isinstance(X, CrystalGraphs):
            # Of a graph without atoms the regressor predicts NaN, whatever its estimate.
            table = np.where((X.counts("atom") == 0)[:, None], 1.0, X.context)
            names = list(X.names["context"])
        else:
            table = validate_data(self, X, dtype=np.float64, reset=False, **self._checks())
            names = getattr(self, "feature_names_in_", np.array([])).tolist()
        position = self.reference
        if isinstance(position, str):
            if position not in names:
                what = f"there are {names[:3]} and others" if names else "the columns have no names"
                raise ValueError(f"There is no column reference={position!r}: {what}.")
            position = names.index(position)
        if not -table.shape[1] <= position < table.shape[1]:
            raise ValueError(f"reference={position} is no column: there are {table.shape[1]}.")
        estimates = table[:, position]
        usable = np.isfinite(estimates) & ((estimates > 0) | (self.kind == "difference"))
        for row in np.flatnonzero(~usable)[:1]:
            raise ValueError(
                f"The estimate of row {row} is {estimates[row]:g}, which cannot be corrected by "
                f'a {self.kind}. Drop such rows, or use kind="difference".'
            )
        return estimates


@dataclass(repr=False, eq=False)
class HurdleRegressor(_AroundModels):
    """Regression for targets of which many are exactly zero, such as band gaps of all materials.

    A classifier tells zero from the rest, and a regressor, fitted to the other rows only, says
    how large [1]_. Both answers make a distribution: a mass at zero and, with the remaining
    probability, the regressor's prediction with errors as it makes them on rows left out.

    Parameters
    ----------
    classifier, regressor : estimator or None, default=None
        Any classifier with ``predict_proba``, and any regressor; None for 200 extremely
        randomised trees.
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
    classifier_, regressor_ : estimator or None
        The fitted gate, None where all targets are zero, or none is; and what was fitted to the
        rows that are not zero, None where all are.
    errors_, error_levels_ : ndarray of shape (n_errors,)
        Sorted errors of the regressor on rows left out: targets over predictions where both have
        one sign, otherwise targets minus predictions; a single zero where not measured. Share of
        weight up to each of them.
    proportional_, sign_ : bool, float
        Whether these are ratios; sign of all targets but zeros, zero where both signs occur.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns seen in `fit`, and their names, if strings; not for formulas.

    See Also
    --------
    HybridTRIADSRegressor : A network that can be stacked with this.

    References
    ----------
    .. [1] J. G. Cragg, Econometrica 39, 829 (1971). https://doi.org/10.2307/1909582

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

    _search_space = {"statistic": Choice(("median", "mean"))}
    _parameter_constraints = {
        "classifier": [HasMethods(["fit", "predict_proba"]), None],
        "regressor": [HasMethods(["fit", "predict"]), None],
        "statistic": [StrOptions({"median", "mean"})],
        "cv": ["cv_object"],
        "random_state": ["random_state"],
    }

    classifier: Any = None
    regressor: Any = None
    _: KW_ONLY
    statistic: str = "median"
    cv: Any = 3
    random_state: Any = None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        parts = [get_tags(part) for part in (self.classifier, self.regressor) if part is not None]
        tags.input_tags.sparse = all(part.input_tags.sparse for part in parts)
        tags.input_tags.allow_nan = all(part.input_tags.allow_nan for part in parts)
        return tags

    def fit(self, X, y, sample_weight=None, **fit_params):
        self.__dict__.pop("regressor_", None)
        self._validate_params()
        if y is None:
            raise ValueError("HurdleRegressor requires y to be passed, but the target y is None.")
        X, y = indexable(X, y)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        validate_data(self, X, skip_check_array=True)
        params = self._fit_params(y, sample_weight, fit_params)
        seed, fold_seed = check_random_state(self.random_state).randint(
            np.iinfo(np.int32).max, size=2
        )
        nonzero = np.flatnonzero(y)
        counted = y[check_sample_weight(sample_weight, y) > 0]
        signs = np.unique(np.sign(counted[counted != 0]))
        self.sign_ = float(signs[0]) if len(signs) == 1 else 0.0
        self.errors_, self.error_levels_, self.proportional_ = np.zeros(1), np.ones(1), False
        self.classifier_ = regressor = None
        if 0 < np.count_nonzero(counted) < len(counted):
            gate = self._parts(seed)["classifier"]
            self.classifier_ = gate.fit(X, y != 0, **params["classifier"])
        if len(nonzero):
            if self.statistic == "median" and len(y) > 1:
                self._measure_errors(X, y, params["regressor"], seed, fold_seed)
            regressor = self._fit_regressor(X, y, nonzero, params["regressor"], seed)
        self.regressor_ = regressor
        return self

    def _parts(self, seed=None):
        parts = {
            "classifier": ExtraTreesClassifier(**_TREES, min_samples_leaf=2),
            "regressor": ExtraTreesRegressor(**_TREES),
        }
        for name, default in parts.items():
            given = getattr(self, name)
            part = parts[name] = seeded(default if given is None else clone(given), seed)
            if given is None and routing_enabled():
                part.set_fit_request(sample_weight=True)
        return parts

    def _fit_regressor(self, X, y, rows, params, seed):
        params = check_method_params(X, params, indices=rows)
        regressor = self._parts(seed)["regressor"]
        return regressor.fit(safe_indexing(X, rows), y[rows], **params)

    def _measure_errors(self, X, y, params, seed, fold_seed):
        """Errors of the regressor on rows left out."""
        splitter = self.cv
        if splitter is None or isinstance(splitter, Integral):
            splitter = KFold(min(splitter or 3, len(y)), shuffle=True, random_state=fold_seed)
        weight = np.asarray(params.get("sample_weight", np.ones(len(y))))
        targets, predictions, weights = [], [], []
        for train, test in check_cv(splitter, y).split(X, y):
            rows, held_out = train[y[train] != 0], test[y[test] != 0]
            if len(rows) and len(held_out):
                regressor = self._fit_regressor(X, y, rows, params, seed)
                predictions.append(regressor.predict(safe_indexing(X, held_out)))
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

    @property
    def _has_spread(self):
        """Whether errors were measured."""
        return self.statistic == "median"

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `fit`.
        return_std : bool, default=False
            Whether to return the standard deviation of the distribution too; for the median
            only, as it takes the errors on rows left out.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Median or mean, in the unit of the target.
        y_std : ndarray of shape (n_samples,)
            Standard deviation, only with `return_std`.
        """
        check_is_fitted(self)
        check_feature_names(self, X, reset=False)
        if return_std and not self._has_spread:
            raise ValueError('return_std=True needs statistic="median", which measures errors.')
        if self.regressor_ is None:
            zeros = np.zeros(X.shape[0] if hasattr(X, "shape") else len(X))
            return (zeros, zeros.copy()) if return_std else zeros
        size = self.regressor_.predict(X)
        probability = np.ones(len(size))
        if self.classifier_ is not None:
            probability = self.classifier_.predict_proba(X)[:, 1]
        if self.sign_ and (self.proportional_ or self.statistic == "mean"):
            size = self.sign_ * np.maximum(self.sign_ * size, 0)
        if self.statistic == "mean":
            return probability * size
        median = self._median(probability, size)
        return (median, self._deviation(probability, size)) if return_std else median

    def _deviation(self, probability, size):
        """Standard deviation of the same distribution, by the moments of the errors."""
        share = np.diff(self.error_levels_, prepend=0)
        first, second = share @ self.errors_, share @ np.square(self.errors_)
        if self.proportional_:
            first, second = size * first, np.square(size) * second
        else:
            first, second = size + first, np.square(size) + 2 * size * first + second
        return np.sqrt(np.maximum(probability * second - np.square(probability * first), 0))

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

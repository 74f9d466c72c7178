"""Learning the correction to an estimate that stands in one column."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils._tags import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from trisk.estimators._search_space import Choice, SearchSpaceMixin
from trisk.estimators._weights import check_takes_weights
from trisk.structures.graphs import CrystalGraphs


class DeltaRegressor(SearchSpaceMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
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
    n_features_in_ : int
        Number of columns seen in `fit`; not for graphs.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    trisk.featurizers.SpringModelFeaturizer : Estimates of vibrations without a potential.
    trisk.featurizers.LayerFeaturizer : Areas of layers, to which dispersion forces are in
        proportion.

    References
    ----------
    .. [1] R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, "Big data meets quantum
       chemistry approximations: the Δ-machine learning approach", J. Chem. Theory Comput. 11,
       2087 (2015). https://doi.org/10.1021/acs.jctc.5b00099

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
    _parameter_constraints = {
        "regressor": [HasMethods(["fit", "predict"])],
        "reference": [str, Integral],
        "kind": [StrOptions({"ratio", "difference"})],
    }

    def __init__(self, regressor, *, reference=0, kind="ratio"):
        self.regressor = regressor
        self.reference = reference
        self.kind = kind

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.regressor)
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.one_d_array = inner.input_tags.one_d_array
        tags.input_tags.two_d_array = inner.input_tags.two_d_array
        tags.regressor_tags = inner.regressor_tags
        tags.non_deterministic = inner.non_deterministic
        return tags

    def get_metadata_routing(self):
        """Tell scikit-learn which metadata go where.

        Returns
        -------
        routing : MetadataRouter
            Weights go to the regressor.
        """
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(regressor=self.regressor, method_mapping=to_fit)

    def fit(self, X, y, sample_weight=None):
        """Fit the regressor to the correction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Table, or graphs whose context has the column of estimates.
        y : array-like of shape (n_samples,)
            Target, in the unit of the estimates.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; the regressor must take them.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If there is no such column, an estimate cannot be corrected, or weights are given to
            a regressor that takes none.
        """
        self._validate_params()
        if isinstance(X, CrystalGraphs):
            y = column_or_1d(y, dtype=np.float64, warn=True)
            check_consistent_length(X, y)
        else:
            _, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, **self._checks())
        estimates = self._estimates(X)
        target = y / estimates if self.kind == "ratio" else y - estimates
        params = {}
        if sample_weight is not None:
            check_takes_weights("regressor", self.regressor, self.regressor)
            params["sample_weight"] = _check_sample_weight(sample_weight, y)
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

        Raises
        ------
        ValueError
            If an estimate cannot be corrected.
        """
        check_is_fitted(self)
        estimates = self._estimates(X)
        corrections = self.regressor_.predict(X, **params)
        scale = estimates if self.kind == "ratio" else 1.0
        shift = 0.0 if self.kind == "ratio" else estimates
        if isinstance(corrections, tuple):
            mean, std = corrections
            return mean * scale + shift, std * scale
        return corrections * scale + shift

    def _checks(self):
        allow_nan = get_tags(self.regressor).input_tags.allow_nan
        return {"ensure_all_finite": "allow-nan" if allow_nan else True}

    def _named_columns(self, X):
        """Columns that may hold the estimate, and their names."""
        if isinstance(X, CrystalGraphs):
            # Of a graph without atoms the regressor predicts NaN, whatever its estimate.
            empty = X.counts("atom") == 0
            return np.where(empty[:, None], 1.0, X.context), list(X.names["context"])
        table = validate_data(self, X, dtype=np.float64, reset=False, **self._checks())
        return table, getattr(self, "feature_names_in_", np.array([])).tolist()

    def _estimates(self, X):
        """The column of estimates, all fit for a correction."""
        table, names = self._named_columns(X)
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

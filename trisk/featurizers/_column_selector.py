"""Columns chosen by name, for a model that fares better without the others."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from trisk._column_names import match_columns


class ColumnSelector(SelectorMixin, BaseEstimator):
    """Keep the columns of a table whose names match a pattern.

    Two models that look at one table do not always want the same of it: a network gains from
    logarithms of element fractions on which trees split worse. This step before one of them, such
    as the companion of a network, picks its columns; unlike scikit-learn's ``ColumnTransformer``
    it can be saved by :func:`trisk.save`.

    Parameters
    ----------
    pattern : str, default=""
        Regular expression, searched anywhere in a name; the empty one keeps all columns, which
        then need no names.

    Attributes
    ----------
    support_ : ndarray of bool of shape (n_features_in_,)
        Which columns are kept.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where all are strings.

    Examples
    --------
    >>> from trisk.featurizers import ColumnSelector, ElementFractionFeaturizer
    >>> X = ElementFractionFeaturizer(scale="both").fit_transform(["Fe2O3", "NaCl"])
    >>> ColumnSelector("log10").fit(X).get_feature_names_out()[0]
    'ElementFraction log10 H'
    """

    _parameter_constraints: dict = {"pattern": [str]}

    def __init__(self, pattern=""):
        self.pattern = pattern

    def fit(self, X, y=None):
        """Look at the names of the columns.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_columns)
            Table; without names only where all columns are kept.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted selector.

        Raises
        ------
        ValueError
            If no column matches, or columns have no names.
        """
        self._validate_params()
        validate_data(self, X, ensure_all_finite="allow-nan")
        names = getattr(self, "feature_names_in_", None)
        if names is None and not self.pattern:
            names = np.full(self.n_features_in_, "")
        self.support_ = match_columns("pattern", self.pattern, names)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

"""What transformers of structures share: a table of named columns."""

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted


class NamedColumns(TransformerMixin):
    """Gives columns that ``_feature_names(self) -> list of str`` of a subclass names."""

    def _as_table(self, values, X):
        """Put values under their names and under the index of X, if it has one."""
        import pandas as pd

        index = X.index if hasattr(X, "iloc") else None
        return pd.DataFrame(values, columns=self._feature_names(), index=index)

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored.

        Returns
        -------
        ndarray of str objects of shape (n_features_out,)
            The names.
        """
        check_is_fitted(self)
        return np.asarray(self._feature_names(), dtype=object)

"""What transformers that give a data frame share, of formulas and structures as of embeddings."""

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from trisk._compat import check_feature_names_in


class FrameTransformer(TransformerMixin):
    """Gives a data frame with the columns ``_feature_names()``, which needs a fit."""

    def _feature_names(self):
        raise NotImplementedError

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, but for a check against the names or the number seen in ``fit``.

        Returns
        -------
        ndarray of str objects of shape (n_features_out,)
            The names.
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._feature_names(), dtype=object)

    def _as_frame(self, values, X):
        """Values under the names of the columns and the index of X."""
        index = X.index if hasattr(X, "iloc") else None
        return pd.DataFrame(values, columns=self._feature_names(), index=index, copy=False)

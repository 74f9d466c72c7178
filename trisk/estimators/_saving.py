"""Estimators on disk."""

from sklearn.utils.validation import check_is_fitted


class SavingMixin:
    """An estimator that writes itself to a file."""

    def save(self, path):
        """Write the fitted estimator to one file that holds no code.

        Parameters
        ----------
        path : str or path-like
            File to write; :func:`trisk.load` brings the estimator back.
        """
        from trisk.persistence import save

        check_is_fitted(self)
        save(self, path)

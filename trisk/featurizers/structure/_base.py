"""What all featurizers of structures share."""

from trisk.featurizers._rows import RowFeaturizer


class StructureFeaturizer(RowFeaturizer):
    """Base of the transformers that turn each structure of a collection into features.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized.
    n_jobs : int, default=None
        Number of joblib workers; None is 1, -1 all processors.
    """

    def fit(self, X, y=None):
        """Check the parameters and read what is needed; nothing is learned from X.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Structures: pymatgen ``Structure`` objects or their dicts, ASE ``Atoms``, paths of
            files (CIF, POSCAR, …), texts of CIFs, or a mixture.
        y : None
            Ignored.

        Returns
        -------
        StructureFeaturizer
            The fitted featurizer itself.
        """
        return self._fit_rows(X, "structures")

"""Structures → tables of embeddings, one named block of columns for each stream."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from trisk.estimators.triforces._columns import NamedColumns
from trisk.estimators.triforces._crystal_estimator import BaseCrystalEstimator
from trisk.estimators.triforces._crystals import read_crystals


class StreamEmbedder(NamedColumns, BaseCrystalEstimator):
    """Embeds structures with all streams, in the container that ``set_output`` asks for."""

    def transform(self, X):
        """Embed structures with all streams; see :class:`StreamChoice`."""
        import torch

        from trisk.nn import BatchInvariance

        check_is_fitted(self)
        graphs = read_crystals(X, self.cutoff)
        encoder = self.nets_[0].module_.encoder
        values = np.full((len(graphs), sum(encoder.widths.values())), np.nan)
        with torch.no_grad(), BatchInvariance():
            for rows, batch in self._predict_batches(graphs):
                blocks = encoder(batch).structures
                values[rows] = torch.cat([blocks[s] for s in encoder.widths], dim=1).cpu().numpy()
        return self._as_table(values, X)

    def _feature_names(self):
        return self._names(None)

    def _names(self, streams):
        widths = self.nets_[0].module_.encoder.widths
        streams = tuple(widths) if streams is None else streams
        streams = (streams,) if isinstance(streams, str) else tuple(streams)
        unknown = [s for s in streams if s not in widths]
        if unknown or not streams:
            raise ValueError(f"streams must name some of {tuple(widths)}, but is {streams!r}.")
        return [f"{name} {i}" for name in streams for i in range(widths[name])]


class StreamChoice:
    """Leaves out streams, to stand before an embedder in a list of bases.

    scikit-learn puts the names of all columns on what a transformer's own ``transform`` returns;
    one that a class inherits from here it leaves alone.
    """

    def transform(self, X, streams=None):
        """Embed structures.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals.
        streams : str or tuple of str, default=None
            Streams whose blocks are wanted, in this order; all if None.

        Returns
        -------
        DataFrame of shape (n_samples, n_features_out)
            Columns ``"composition 0"``, …, ``"structure 0"``, …, ``"interaction 0"``, …; NaN for
            a structure without atoms. Of pandas, under the index of X if X is a pandas object,
            unless ``set_output`` asks for polars.

        Raises
        ------
        ValueError
            If a structure cannot be used, or a stream is none that was trained.
        """
        check_is_fitted(self)
        names = self._names(streams)  # type: ignore[attr-defined]
        table = super().transform(X)  # type: ignore[misc]
        return table if streams is None else table[names]

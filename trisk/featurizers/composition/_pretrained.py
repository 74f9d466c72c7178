"""Columns from an encoder that was pre-trained on calculated formation energies and band gaps."""

import os

import numpy as np

from trisk._encoder_weights import read_encoder
from trisk.featurizers.composition._base import BaseCompositionFeaturizer
from trisk.featurizers.composition._encoder_forward import encode_compositions


class PretrainedFeaturizer(BaseCompositionFeaturizer):
    """Calculated properties and an embedding, predicted from the composition alone.

    An encoder (attention among the elements of a formula, weighted by their fractions) was
    trained on the lowest formation energy and the band gap of 95,000 formulas of the Materials
    Project, with elements hidden in part of the rows [1]_. Its weights come with trisk; nothing
    is downloaded, and torch is not needed. What it knows of chemistry helps most where the task
    at hand has few rows.

    Parameters
    ----------
    weights : str or path-like, default="default"
        ``"default"`` for the weights that come with trisk, or a safetensors file written by
        ``benchmarks/pretrain_compositions.py``.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    missing : {"mean", "nan", "raise"}, default="mean"
        Without effect: every element has a vector. Those of elements that no formula of the
        training data holds come from their Magpie properties and mat2vec vectors.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows; None is 1, -1 all processors.

    Attributes
    ----------
    encoder_ : dict of str to ndarray
        The encoder's arrays.
    target_names_ : list of str
        What it predicts: formation energy (eV/atom), band gap of the most stable polymorph and
        largest band gap of any (eV), and the logit of being a metal.
    errors_ : pandas.DataFrame
        Rows that the latest ``transform`` could not featurize: row, formula, featurizer, cause.
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of predicted properties and of components of the embedding.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    References
    ----------
    .. [1] A. Jain et al., "Commentary: The Materials Project", APL Materials 1, 011002 (2013),
       doi:10.1063/1.4812323.

    Examples
    --------
    >>> from trisk.featurizers import PretrainedFeaturizer
    >>> X = PretrainedFeaturizer().fit_transform(["NaCl", "Fe"])
    >>> X["Pretrained band gap"].round().astype(int).tolist()
    [5, 0]
    """

    _parameter_constraints: dict = {
        **BaseCompositionFeaturizer._parameter_constraints,
        "weights": [str, os.PathLike],
    }

    def __init__(self, *, weights="default", on_error="raise", missing="mean", n_jobs=None):
        super().__init__(on_error=on_error, missing=missing, n_jobs=n_jobs)
        self.weights = weights

    def _prepare(self):
        self.encoder_, self.target_names_ = read_encoder(os.fspath(self.weights))

    def _feature_names(self):
        n_components = len(self.encoder_["narrow.bias"])
        components = [str(component) for component in range(n_components)]
        return [f"Pretrained {name}" for name in (*self.target_names_, *components)]

    def _compute(self, table):
        return np.hstack(encode_compositions(self.encoder_, table)), []

"""Pre-trained composition encoders that are trained on for a task."""

import os
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils.validation import check_non_negative

from trisk._encoder_weights import encoder_sizes, read_encoder
from trisk.estimators.base import document
from trisk.estimators.tables import TableNetwork, TrainingSet, read_columns
from trisk.estimators.tasks import ClassifierTask, RegressorTask
from trisk.nn import CompositionEncoderNetwork
from trisk.structures.elements import ELEMENT_SYMBOLS, N_ELEMENTS
from trisk.training.datasets import member_seeds
from trisk.training.settings import Options

_ENCODER_TEXT = """
    pretrained : str, path-like or None, default="default"
        ``"default"`` for the weights that come with trisk, a safetensors file written by
        ``tools/train_composition_encoder.py``, or None for random weights.
    fine_tune : bool, default=True
        Whether the encoder trains on for the task, or only the head that reads its embedding
        and its answers."""


class CompositionEncoderOptions(Options):
    """Architecture of a composition encoder: that of its weights."""


@dataclass(kw_only=True, repr=False, eq=False)
class BaseCompositionEncoder(TableNetwork):
    """Fractions of elements in, an encoder with a head."""

    n_members: int = 4
    learning_rate: float = 5e-4
    pretrained: str | os.PathLike | None = "default"
    fine_tune: bool = True

    _options = {**TableNetwork._options, "network": CompositionEncoderOptions}
    # Of a table of any numbers, the ratios within a row tell little.
    _poor_score = True
    _texts = {"Parameters": _ENCODER_TEXT}
    _parameter_constraints = {
        "network": [CompositionEncoderOptions, None],
        "pretrained": [str, os.PathLike, None],
        "fine_tune": ["boolean"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _fit_table(self, X, target, weight, y):
        if self.pretrained is None and not self.fine_tune:
            raise ValueError(
                "fine_tune=False keeps the encoder as it is, but pretrained=None gives it random "
                'weights: use pretrained="default".'
            )
        seeds = member_seeds(self.random_state, self.n_members)
        self.architecture_ = {"n_outputs": target.shape[1], "seeds": seeds}
        if self.pretrained is not None:
            self.architecture_ |= encoder_sizes(self._read_weights())
        return TrainingSet(X=_to_tokens(X), target=target, weight=weight, seeds=seeds)

    def _read_weights(self):
        return read_encoder(str(self.pretrained))[0]

    def _build(self, architecture):
        return CompositionEncoderNetwork(**architecture)

    def _build_to_train(self, architecture):
        module = self._build(architecture)
        if self.pretrained is not None:
            arrays = self._read_weights()
            module.load_encoder({name: torch.from_numpy(a) for name, a in arrays.items()})
        module.encoder.requires_grad_(self.fine_tune)
        return module

    def _check_table(self, X):
        if X.shape[1] > N_ELEMENTS:
            raise ValueError(
                f"X has {X.shape[1]} columns, but there are {N_ELEMENTS} elements: give their "
                "amounts by atomic number, as trisk.featurizers.ElementFractionFeaturizer does."
            )
        names = [str(n).rpartition(" ")[2] for n in getattr(self, "feature_names_in_", ())]
        if set(names) <= set(ELEMENT_SYMBOLS) and names != list(ELEMENT_SYMBOLS[: len(names)]):
            raise ValueError("Columns of elements go by atomic number, from H on, none left out.")
        check_non_negative(X, "a composition encoder, whose columns are amounts of elements")
        empty = np.flatnonzero(X.sum(1) == 0)
        if len(empty):
            raise ValueError(
                f"{len(empty)} rows of X hold no element, first row {empty[0]}; every row needs an "
                "amount above zero."
            )

    def _encode(self, X):
        X = read_columns(self, X, reset=False)
        self._check_table(X)
        return _to_tokens(X)


def _to_tokens(X):
    """Atomic numbers of each row's elements, then their fractions, largest first, filled up."""
    fractions = X / X.sum(1, keepdims=True)
    longest = int((X > 0).sum(1).max())
    columns = np.argsort(-fractions, axis=1, kind="stable")[:, :longest]
    return np.hstack([columns + 1.0, np.take_along_axis(fractions, columns, axis=1)])


@document
@dataclass(kw_only=True, repr=False, eq=False)
class CompositionEncoderRegressor(RegressorTask, BaseCompositionEncoder):
    """Pre-trained encoder of compositions, trained on for a number.

    Attention among the elements of a composition, weighted by their fractions, that learned
    calculated formation energies and band gaps of 92,000 formulas; a head reads its embedding.
    Takes the table of element fractions that
    :class:`trisk.featurizers.ElementFractionFeaturizer` gives. Stacked with a
    :class:`HybridTRIADSRegressor` that is trained from scratch, it gets the weight that inner
    folds give it: none where it does harm.

    {Parameters}

    {Attributes}

    See Also
    --------
    CompositionEncoderClassifier : The same encoder for classes.
    trisk.featurizers.PretrainedFeaturizer : The encoder as it is, as columns.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from trisk import load_band_gaps
    >>> from trisk.estimators import CompositionEncoderRegressor
    >>> from trisk.featurizers import ElementFractionFeaturizer
    >>> X, y = load_band_gaps()
    >>> encoder = CompositionEncoderRegressor(n_members=1, max_epochs=2, random_state=0)
    >>> model = make_pipeline(ElementFractionFeaturizer(), encoder).fit(X[:60], y[:60])
    >>> model.predict(["GaAs", "NaCl"]).shape
    (2,)
    """

    _search_space = {**BaseCompositionEncoder._search_space, **RegressorTask._task_search_space}


@document
@dataclass(kw_only=True, repr=False, eq=False)
class CompositionEncoderClassifier(ClassifierTask, BaseCompositionEncoder):
    """Pre-trained encoder of compositions, trained on for two or more classes.

    As :class:`CompositionEncoderRegressor`; the probabilities of all members are averaged.

    {Parameters}

    {Attributes}
    """

    _search_space = {**BaseCompositionEncoder._search_space, **ClassifierTask._task_search_space}

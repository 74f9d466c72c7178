"""Pre-trained composition encoders that are trained on for a task."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_non_negative, validate_data

from trisk._encoder_weights import read_encoder
from trisk.estimators._parameters import (
    ENCODER_CONSTRAINTS,
    OPTIMISATION_CONSTRAINTS,
    OPTIMISATION_SEARCH_SPACE,
    document_parameters,
)
from trisk.estimators._search_space import Choice
from trisk.estimators._seeding import member_seeds
from trisk.estimators._training import MemberNet
from trisk.estimators.tables._batches import TrainingSet
from trisk.estimators.tables._networks import (
    BaseTableNetwork,
    TableClassifierMixin,
    TableRegressorMixin,
)
from trisk.nn import CompositionEncoderNetwork
from trisk.structures.elements import N_ELEMENTS


class EncoderNet(MemberNet):
    """A net whose encoder starts from trained weights.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`MemberNet`.
    initial : dict of str to ndarray, default=None
        Weights of an encoder; None starts from random ones.
    fine_tune : bool, default=True
        Whether the encoder trains on, or its head only.
    """

    def __init__(self, *args, initial=None, fine_tune=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial = initial
        self.fine_tune = fine_tune

    def initialize_module(self):
        """Make the network and give it the weights."""
        super().initialize_module()
        if self.initial is not None:
            arrays = {name: torch.from_numpy(array) for name, array in self.initial.items()}
            self.module_.load_encoder(arrays)
            self.initial = None  # the module holds them from now on
        self.module_.encoder.requires_grad_(self.fine_tune)
        return self


class BaseCompositionEncoder(BaseTableNetwork):
    """Fractions of elements in, an encoder with a head."""

    _module = CompositionEncoderNetwork
    _net_class = EncoderNet
    _parameter_constraints = {**ENCODER_CONSTRAINTS, **OPTIMISATION_CONSTRAINTS}
    _search_space: Mapping[str, Any] = OPTIMISATION_SEARCH_SPACE

    def __init__(
        self,
        *,
        pretrained,
        fine_tune,
        n_members,
        max_epochs,
        batch_size,
        learning_rate,
        weight_decay,
        beta2,
        max_grad_norm,
        schedule,
        averaging,
        ema_decay,
        validation_fraction,
        patience,
        callbacks,
        device,
        random_state,
        verbose,
    ):
        self.pretrained = pretrained
        self.fine_tune = fine_tune
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.beta2 = beta2
        self.max_grad_norm = max_grad_norm
        self.schedule = schedule
        self.averaging = averaging
        self.ema_decay = ema_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _fit_table(self, X, target, weight, y, loss):
        if self.pretrained is None and not self.fine_tune:
            raise ValueError(
                "fine_tune=False keeps the encoder as it is, but pretrained=None gives it random "
                'weights: use pretrained="default".'
            )
        training_set = TrainingSet(
            X=_to_fractions(X),
            target=target,
            weight=weight,
            seeds=member_seeds(self.random_state, self.n_members),
            validation_fraction=self.validation_fraction,
        )
        module_params = {"n_outputs": target.shape[1], **self._encoder_sizes()}
        return training_set, module_params, {"kind": loss}

    def _encoder_sizes(self):
        """Parameters of the network that the weights prescribe."""
        if self.pretrained is None:
            return {}
        arrays = self._read_weights()
        return {
            "dim": arrays["element"].shape[1],
            "n_layers": sum(name.endswith("weight_of_fraction") for name in arrays),
            "n_heads": len(arrays["pool.bias"]),
            "embedding_dim": len(arrays["narrow.bias"]),
            "n_answers": len(arrays["answer.bias"]),
        }

    def _read_weights(self):
        return read_encoder(os.fspath(self.pretrained))[0]

    def _net_params(self):
        initial = None if self.pretrained is None else self._read_weights()
        return {"initial": initial, "fine_tune": self.fine_tune}

    def _check_table(self, X):
        if X.shape[1] > N_ELEMENTS:
            raise ValueError(
                f"X has {X.shape[1]} columns, but there are {N_ELEMENTS} elements: give their "
                "amounts by atomic number, as trisk.featurizers.ElementFractionFeaturizer does."
            )
        check_non_negative(X, "a composition encoder, whose columns are amounts of elements")
        empty = np.flatnonzero(X.sum(1) == 0)
        if len(empty):
            raise ValueError(
                f"{len(empty)} rows of X hold no element, first row {empty[0]}; every row needs an "
                "amount above zero."
            )

    def _encode(self, X):
        X = validate_data(self, X, reset=False, dtype=np.float64)
        self._check_table(X)
        return _to_fractions(X)


def _to_fractions(X):
    """Amounts of elements as fractions of their sum."""
    return X / X.sum(1, keepdims=True)


@document_parameters
class CompositionEncoderRegressor(TableRegressorMixin, BaseCompositionEncoder):
    """Pre-trained encoder of compositions, trained on for a number.

    Attention among the elements of a composition, weighted by their fractions, that learned
    calculated formation energies and band gaps of 92,000 formulas; a head reads its embedding.
    Takes the table of element fractions that
    :class:`trisk.featurizers.ElementFractionFeaturizer` gives. As the companion of a
    :class:`HybridTRIADSRegressor` that is trained from scratch, it gets the weight that inner
    folds give it: none where it does harm.

    Parameters
    ----------
    loss : {{"absolute_error", "squared_error", "huber"}}, default="absolute_error"
        Loss on the standardised target.
    aggregation : {{"mean", "median"}}, default="mean"
        How members' predictions are combined.
    {encoder}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    target_scaler_ : TargetScaler
        Centre and scale of the target.
    single_target_ : bool
        Whether the target was one-dimensional.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

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

    _parameter_constraints = {
        **BaseCompositionEncoder._parameter_constraints,
        "loss": [StrOptions({"absolute_error", "squared_error", "huber"})],
        "aggregation": [StrOptions({"mean", "median"})],
    }
    _search_space = {
        **BaseCompositionEncoder._search_space,
        "loss": Choice(("absolute_error", "squared_error", "huber")),
    }

    def __init__(
        self,
        *,
        loss="absolute_error",
        aggregation="mean",
        pretrained="default",
        fine_tune=True,
        n_members=4,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=5e-4,
        weight_decay=2e-2,
        beta2=0.99,
        max_grad_norm=1.0,
        schedule="cosine",
        averaging="ema",
        ema_decay=0.995,
        validation_fraction=0.0,
        patience=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            pretrained=pretrained,
            fine_tune=fine_tune,
            n_members=n_members,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta2=beta2,
            max_grad_norm=max_grad_norm,
            schedule=schedule,
            averaging=averaging,
            ema_decay=ema_decay,
            validation_fraction=validation_fraction,
            patience=patience,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.aggregation = aggregation

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Of a table of any numbers, the ratios within a row tell little.
        tags.regressor_tags.poor_score = True
        return tags


@document_parameters
class CompositionEncoderClassifier(TableClassifierMixin, BaseCompositionEncoder):
    """Pre-trained encoder of compositions, trained on for two or more classes.

    Attention among the elements of a composition, weighted by their fractions, that learned
    calculated formation energies and band gaps of 92,000 formulas; a head reads its embedding.
    Takes the table of element fractions that
    :class:`trisk.featurizers.ElementFractionFeaturizer` gives.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as in scikit-learn.
    {encoder}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    CompositionEncoderRegressor : The same encoder for numbers.
    trisk.featurizers.PretrainedFeaturizer : The encoder as it is, as columns.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from trisk import load_band_gaps
    >>> from trisk.estimators import CompositionEncoderClassifier
    >>> from trisk.featurizers import ElementFractionFeaturizer
    >>> X, y = load_band_gaps()
    >>> encoder = CompositionEncoderClassifier(n_members=1, max_epochs=2, random_state=0)
    >>> model = make_pipeline(ElementFractionFeaturizer(), encoder).fit(X[:60], y[:60] > 2)
    >>> model.predict_proba(["GaAs", "NaCl"]).shape
    (2, 2)
    """

    _parameter_constraints = {
        **BaseCompositionEncoder._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _search_space = {
        **BaseCompositionEncoder._search_space,
        "class_weight": Choice((None, "balanced")),
    }

    def __init__(
        self,
        *,
        class_weight=None,
        pretrained="default",
        fine_tune=True,
        n_members=4,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=5e-4,
        weight_decay=2e-2,
        beta2=0.99,
        max_grad_norm=1.0,
        schedule="cosine",
        averaging="ema",
        ema_decay=0.995,
        validation_fraction=0.0,
        patience=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            pretrained=pretrained,
            fine_tune=fine_tune,
            n_members=n_members,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta2=beta2,
            max_grad_norm=max_grad_norm,
            schedule=schedule,
            averaging=averaging,
            ema_decay=ema_decay,
            validation_fraction=validation_fraction,
            patience=patience,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Of a table of any numbers, the ratios within a row tell little.
        tags.classifier_tags.poor_score = True
        return tags

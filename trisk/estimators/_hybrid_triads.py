"""HybridTRIADS for numeric tables, composition features above all."""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from trisk.estimators._base import BaseMemberEstimator
from trisk.estimators._batches import TrainingSet
from trisk.estimators._columns import divide_columns
from trisk.estimators._neighbors import NeighborDraws
from trisk.estimators._parameters import (
    NETWORK_CONSTRAINTS,
    OPTIMISATION_CONSTRAINTS,
    document_parameters,
)
from trisk.estimators._preprocessing import ColumnScaler, TargetScaler, merge_duplicates
from trisk.nn import HybridTRIADSNetwork

_MODULE_PARAMETERS = (
    "attention_dim",
    "n_heads",
    "shared_projection",
    "embedding_dim",
    "n_frequencies",
    "frequency_scale",
    "hidden_dim",
    "feedforward_dim",
    "n_steps",
    "dropout",
    "confidence",
)


class _BaseHybridTRIADS(BaseMemberEstimator):
    """Table in, scaled columns to the network."""

    _module = HybridTRIADSNetwork
    _parameter_constraints = {**NETWORK_CONSTRAINTS, **OPTIMISATION_CONSTRAINTS}

    def __init__(
        self,
        *,
        n_attention_layers,
        attention_dim,
        n_heads,
        shared_projection,
        embedding_dim,
        n_frequencies,
        frequency_scale,
        hidden_dim,
        feedforward_dim,
        n_steps,
        dropout,
        deep_supervision,
        confidence,
        scaling,
        n_neighbors,
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
        self.n_attention_layers = n_attention_layers
        self.attention_dim = attention_dim
        self.n_heads = n_heads
        self.shared_projection = shared_projection
        self.embedding_dim = embedding_dim
        self.n_frequencies = n_frequencies
        self.frequency_scale = frequency_scale
        self.hidden_dim = hidden_dim
        self.feedforward_dim = feedforward_dim
        self.n_steps = n_steps
        self.dropout = dropout
        self.deep_supervision = deep_supervision
        self.confidence = confidence
        self.scaling = scaling
        self.n_neighbors = n_neighbors
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

    def _fit_table(self, X, target, weight, n_outputs, loss):
        """Measure the columns and return the training set with its network."""
        if self.attention_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide attention_dim={self.attention_dim}."
            )
        X, target, weight = merge_duplicates(X, target, weight)
        if len(X) - round(self.validation_fraction * len(X)) < 1:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of the {len(X)} "
                "distinct rows to train on."
            )
        names = getattr(self, "feature_names_in_", None)
        seeds = self._draw_seeds()
        self.neighbors_, draws, n_near = None, None, 0
        if self.n_neighbors is not None and len(X) > 1:
            draws = NeighborDraws(X, target, weight, names=names, n_neighbors=self.n_neighbors)
            self.neighbors_ = draws.columns
            near = draws.draw(seeds[0], 0)
            self.neighbor_scaler_ = ColumnScaler.fit(near, weight, self.scaling)
            n_near = near.shape[1]
        self.scaler_ = ColumnScaler.fit(X, weight, self.scaling)
        self.columns_, self.layout_ = divide_columns(
            names,
            X.shape[1],
            self.scaler_.varying,
            attention=self.n_attention_layers is not None,
        )
        module_params = {name: getattr(self, name) for name in _MODULE_PARAMETERS}
        n_rest = self.layout_.n_rest + n_near
        module_params |= {
            "layout": self.layout_._replace(n_rest=n_rest),
            "n_outputs": n_outputs,
            "n_attention_layers": self.n_attention_layers or 0,
        }
        scaled = self.scaler_.transform(X)[:, self.columns_]
        training_set = TrainingSet(
            X=scaled,
            target=target,
            weight=weight,
            seeds=seeds,
            validation_fraction=self.validation_fraction,
            draws=draws,
            draw_scaler=self.neighbor_scaler_ if draws else None,
        )
        return training_set, module_params, {"kind": loss, "deep": self.deep_supervision}

    def _encode(self, X):
        X = validate_data(self, X, reset=False, dtype=np.float64)
        scaled = self.scaler_.transform(X)[:, self.columns_]
        if self.neighbors_ is None:
            return scaled
        return np.hstack([scaled, self.neighbor_scaler_.transform(self.neighbors_.transform(X))])


@document_parameters
class HybridTRIADSRegressor(RegressorMixin, _BaseHybridTRIADS):
    """Recursive network on composition features, or on any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. The defaults hold from a few hundred to a hundred thousand rows.

    Parameters
    ----------
    loss : {{"absolute_error", "squared_error", "huber"}}, default="absolute_error"
        Loss on the standardised target.
    aggregation : {{"mean", "median"}}, default="mean"
        How members' predictions are combined.
    {network}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    neighbors_ : NeighborColumns or None
        Training rows that answer for their neighbourhood.
    neighbor_scaler_ : ColumnScaler
        Centre and scale of the columns they give.
    scaler_ : ColumnScaler
        Centre and scale of every column.
    target_scaler_ : TargetScaler
        Centre and scale of the target.
    single_target_ : bool
        Whether the target was one-dimensional.
    columns_ : ndarray of int
        Columns that reach the network, in its order.
    layout_ : InputLayout
        How many of them are property tokens, context and rest.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    HybridTRIADSClassifier : The same network for classes.
    trisk.featurizers.CompositionFeaturizer : Formulas to columns.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.estimators import HybridTRIADSRegressor
    >>> X = np.random.default_rng(0).uniform(size=(60, 3))
    >>> model = HybridTRIADSRegressor(n_members=2, max_epochs=40, random_state=0)
    >>> mean, std = model.fit(X, X[:, 0] * X[:, 1]).predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((60,), (60,))
    """

    _parameter_constraints = {
        **_BaseHybridTRIADS._parameter_constraints,
        "loss": [StrOptions({"absolute_error", "squared_error", "huber"})],
        "aggregation": [StrOptions({"mean", "median"})],
    }

    def __init__(
        self,
        *,
        loss="absolute_error",
        aggregation="mean",
        n_attention_layers=None,
        attention_dim=64,
        n_heads=4,
        shared_projection=False,
        embedding_dim=4,
        n_frequencies=16,
        frequency_scale=0.7,
        hidden_dim=128,
        feedforward_dim=192,
        n_steps=2,
        dropout=0.1,
        deep_supervision=True,
        confidence=False,
        scaling="robust",
        n_neighbors=8,
        n_members=8,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=3e-3,
        weight_decay=1e-2,
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
            n_attention_layers=n_attention_layers,
            attention_dim=attention_dim,
            n_heads=n_heads,
            shared_projection=shared_projection,
            embedding_dim=embedding_dim,
            n_frequencies=n_frequencies,
            frequency_scale=frequency_scale,
            hidden_dim=hidden_dim,
            feedforward_dim=feedforward_dim,
            n_steps=n_steps,
            dropout=dropout,
            deep_supervision=deep_supervision,
            confidence=confidence,
            scaling=scaling,
            n_neighbors=n_neighbors,
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
        tags.target_tags.multi_output = True
        return tags

    def _prepare(self, X, y, sample_weight):
        self._validate_params()
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            y_numeric=True,
            multi_output=True,
            ensure_min_samples=2,
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self.single_target_ = y.ndim == 1
        target = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        self.target_scaler_ = TargetScaler.fit(target[weight > 0], weight[weight > 0])
        scaled = self.target_scaler_.transform(target)
        return self._fit_table(X, scaled, weight, target.shape[1], self.loss)

    def _aggregate(self, outputs):
        """Combine members: arrays with members first → centre and spread, in the target's unit."""
        predictions = self.target_scaler_.inverse_transform(outputs)
        if self.single_target_:
            predictions = predictions[..., 0]
        combine = np.median if self.aggregation == "median" else np.mean
        return combine(predictions, axis=0), predictions.std(axis=0)

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.
        return_std : bool, default=False
            Whether to return the standard deviation over members too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, in the unit of the target.
        y_std : ndarray of the same shape
            Spread of the members, only with `return_std`.
        """
        center, spread = self._aggregate(self._member_outputs(X)["answer"])
        return (center, spread) if return_std else center

    def staged_predict(self, X):
        """Predict after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Yields
        ------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction after steps 1, 2, … `n_steps`.
        """
        steps = self._member_outputs(X)["steps"]
        for step in range(steps.shape[1]):
            yield self._aggregate(steps[:, step])[0]


@document_parameters
class HybridTRIADSClassifier(ClassifierMixin, _BaseHybridTRIADS):
    """Recursive network for two or more classes on composition features or any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. Members' probabilities are averaged.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as in scikit-learn.
    {network}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    neighbors_ : NeighborColumns or None
        Training rows that answer for their neighbourhood.
    neighbor_scaler_ : ColumnScaler
        Centre and scale of the columns they give.
    scaler_ : ColumnScaler
        Centre and scale of every column.
    columns_ : ndarray of int
        Columns that reach the network, in its order.
    layout_ : InputLayout
        How many of them are property tokens, context and rest.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    HybridTRIADSRegressor : The same network for numbers.
    trisk.featurizers.CompositionFeaturizer : Formulas to columns.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.estimators import HybridTRIADSClassifier
    >>> X = np.random.default_rng(0).uniform(size=(60, 3))
    >>> model = HybridTRIADSClassifier(n_members=2, max_epochs=40, random_state=0)
    >>> model.fit(X, X[:, 0] > X[:, 1]).predict_proba(X).shape
    (60, 2)
    """

    _parameter_constraints = {
        **_BaseHybridTRIADS._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        *,
        class_weight=None,
        n_attention_layers=None,
        attention_dim=64,
        n_heads=4,
        shared_projection=False,
        embedding_dim=4,
        n_frequencies=16,
        frequency_scale=0.7,
        hidden_dim=128,
        feedforward_dim=192,
        n_steps=2,
        dropout=0.1,
        deep_supervision=True,
        confidence=False,
        scaling="robust",
        n_neighbors=8,
        n_members=8,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=3e-3,
        weight_decay=1e-2,
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
            n_attention_layers=n_attention_layers,
            attention_dim=attention_dim,
            n_heads=n_heads,
            shared_projection=shared_projection,
            embedding_dim=embedding_dim,
            n_frequencies=n_frequencies,
            frequency_scale=frequency_scale,
            hidden_dim=hidden_dim,
            feedforward_dim=feedforward_dim,
            n_steps=n_steps,
            dropout=dropout,
            deep_supervision=deep_supervision,
            confidence=confidence,
            scaling=scaling,
            n_neighbors=n_neighbors,
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

    def _prepare(self, X, y, sample_weight):
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but all have "
                f"the class {self.classes_.tolist()[0]!r}."
            )
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weight
        )
        n_classes = len(self.classes_)
        target = np.eye(n_classes)[labels]
        return self._fit_table(X, target, weight * of_class[labels], n_classes, "cross_entropy")

    def _probabilities(self, outputs):
        """Average members' probabilities; arrays with members first."""
        shifted = np.exp(outputs - outputs.max(-1, keepdims=True))
        return (shifted / shifted.sum(-1, keepdims=True)).mean(axis=0)

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return self._probabilities(self._member_outputs(X)["answer"])

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def staged_predict_proba(self, X):
        """Predict class probabilities after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Yields
        ------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities after steps 1, 2, … `n_steps`.
        """
        steps = self._member_outputs(X)["steps"]
        for step in range(steps.shape[1]):
            yield self._probabilities(steps[:, step])

    def staged_predict(self, X):
        """Predict the most probable class after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Yields
        ------
        y : ndarray of shape (n_samples,)
            Labels after steps 1, 2, … `n_steps`.
        """
        for probabilities in self.staged_predict_proba(X):
            yield self.classes_[probabilities.argmax(axis=1)]

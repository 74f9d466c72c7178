"""HybridTRIADS for numeric tables, composition features above all."""

import numpy as np
from scipy.special import huber
from sklearn.utils._param_validation import StrOptions

from trisk.estimators._parameters import document_parameters
from trisk.estimators._prediction import mean_probabilities
from trisk.estimators._search_space import Choice
from trisk.estimators.tables._base import BaseHybridTRIADS
from trisk.estimators.tables._companion import mix
from trisk.estimators.tables._networks import TableClassifierMixin, TableRegressorMixin


@document_parameters
class HybridTRIADSRegressor(TableRegressorMixin, BaseHybridTRIADS):
    """Recursive network on composition features, or on any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. The defaults hold from a few hundred to a hundred thousand rows.

    Parameters
    ----------
    loss : {{"absolute_error", "squared_error", "huber"}}, default="absolute_error"
        Loss on the standardised target.
    aggregation : {{"mean", "median"}}, default="mean"
        How members' predictions are combined.
    calibrate : bool, default=False
        Whether the standard deviation that `predict` returns is scaled to the size of errors
        on inner folds. This trains further members, as a companion does.
    {network}
    {companion}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    companion_ : estimator or None
        The fitted companion.
    companion_weight_ : float
        Its weight in the prediction.
    spread_scale_ : ndarray of shape (2,) or (2, n_outputs)
        Factor and floor that make the spread a standard deviation; 1 and 0 without `calibrate`.
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
        **BaseHybridTRIADS._parameter_constraints,
        "loss": [StrOptions({"absolute_error", "squared_error", "huber"})],
        "aggregation": [StrOptions({"mean", "median"})],
        "calibrate": ["boolean"],
    }
    _without_held_out = {**BaseHybridTRIADS._without_held_out, "calibrate": False}
    _search_space = {
        **BaseHybridTRIADS._search_space,
        "loss": Choice(("absolute_error", "squared_error", "huber")),
    }

    def __init__(
        self,
        *,
        loss="absolute_error",
        aggregation="mean",
        calibrate=False,
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
        companion=None,
        companion_only=None,
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
            companion=companion,
            companion_only=companion_only,
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
        self.calibrate = calibrate

    def _fit_table(self, X, target, weight, y, loss):
        self.spread_scale_ = np.stack([np.ones(y.shape[1:]), np.zeros(y.shape[1:])])
        return super()._fit_table(X, target, weight, y, loss)

    def _network_answer(self, X):
        return self._aggregate(self._member_outputs(X)["answer"])

    def _ask_companion(self, companion, X):
        answer = companion.predict(self._named(X))
        if self.single_target_:
            return answer
        return self.target_scaler_.inverse_transform(answer.reshape(len(answer), -1))

    def _companion_target(self, y):
        # Several targets count alike only in units of their scale.
        return y if self.single_target_ else self.target_scaler_.transform(y)

    def _row_losses(self, y, answer):
        """Loss of every row, outputs in units of their scale."""
        scale = np.where(self.target_scaler_.scale > 0, self.target_scaler_.scale, 1)
        residual = ((answer - y).reshape(len(y), -1) / scale).ravel()
        if self.loss == "absolute_error":
            losses = np.abs(residual)
        elif self.loss == "squared_error":
            losses = np.square(residual)
        else:
            losses = huber(1.0, residual)
        return losses.reshape(len(y), -1).mean(1)

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.
        return_std : bool, default=False
            Whether to return a standard deviation too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, in the unit of the target.
        y_std : ndarray of the same shape
            Only with `return_std`: the spread of the members and of the companion around
            them, scaled to the size of held-out errors where `calibrate` is set.
        """
        center, spread = self._network_answer(X)
        if self.companion_ is not None:
            second = self._ask_companion(self.companion_, X)
            center, spread = mix(self.companion_weight_, center, spread, second)
        if not return_std:
            return center
        factor, floor = self.spread_scale_
        return center, np.hypot(factor * spread, floor)

    def staged_predict(self, X):
        """Predict after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Yields
        ------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction after steps 1, 2, … `n_steps`; a companion has its share in each.
        """
        steps = self._member_outputs(X)["steps"]
        second = 0.0 if self.companion_ is None else self._ask_companion(self.companion_, X)
        for step in range(steps.shape[1]):
            center, spread = self._aggregate(steps[:, step])
            yield mix(self.companion_weight_, center, spread, second)[0]


@document_parameters
class HybridTRIADSClassifier(TableClassifierMixin, BaseHybridTRIADS):
    """Recursive network for two or more classes on composition features or any numeric table.

    An ensemble of small networks that refine their answer in a few weight-tied steps, each of
    them supervised [1]_. Members' probabilities are averaged.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as in scikit-learn.
    {network}
    {companion}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    companion_ : estimator or None
        The fitted companion.
    companion_weight_ : float
        Its weight in the prediction.
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
        **BaseHybridTRIADS._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _search_space = {
        **BaseHybridTRIADS._search_space,
        "class_weight": Choice((None, "balanced")),
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
        companion=None,
        companion_only=None,
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
            companion=companion,
            companion_only=companion_only,
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

    def _network_answer(self, X):
        probabilities = mean_probabilities(self._member_outputs(X)["answer"])
        return probabilities, np.zeros_like(probabilities)

    def _ask_companion(self, companion, X):
        return companion.predict_proba(self._named(X))

    def _companion_target(self, y):
        return y

    def _row_losses(self, y, answer):
        """Negative log-likelihood of every row."""
        of_label = np.take_along_axis(answer, np.searchsorted(self.classes_, y)[:, None], axis=1)
        # Trees can be certain, and wrong.
        return -np.log(np.maximum(of_label[:, 0], 1e-6))

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
        probabilities, _ = self._network_answer(X)
        if self.companion_ is None:
            return probabilities
        second = self._ask_companion(self.companion_, X)
        return mix(self.companion_weight_, probabilities, 0.0, second)[0]

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
        second = 0.0 if self.companion_ is None else self._ask_companion(self.companion_, X)
        for step in range(steps.shape[1]):
            yield mix(self.companion_weight_, mean_probabilities(steps[:, step]), 0.0, second)[0]

"""TriForces for numbers."""

from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
)

from trisk.estimators._prediction import members_last
from trisk.estimators.scaling import TargetScaler
from trisk.estimators.triforces._property import PropertyTriForces
from trisk.estimators.triforces._streams import CONSTRAINTS, document_parameters


@document_parameters
class TriForcesRegressor(RegressorMixin, PropertyTriForces):
    """Three streams on crystals, for numbers.

    One stream sees the composition, one the structure without its elements, one both together;
    their named blocks feed one head [1]_. Structures are ASE ``Atoms``, pymatgen ``Structure``
    objects or the output of a :class:`~trisk.featurizers.CrystalGraphFeaturizer`.

    Parameters
    ----------
    loss : {{"absolute_error", "squared_error", "huber"}}, default="absolute_error"
        Loss on the standardised target.
    pooling : {{"attention", "mean", "sum"}}, default="attention"
        For properties that a supercell shares, averages over atoms weighted by attention, which
        can follow the few atoms that matter, or the mean; for extensive ones, the sum.
    dropout : float, default=0.0
        Dropout rate in the head.
    context : bool, default=False
        Whether the head also sees what a :class:`~trisk.featurizers.CrystalGraphFeaturizer` put
        into the context of its graphs: columns of the composition, and sensors of the structure
        such as those of a :class:`~trisk.featurizers.PotentialFeaturizer`. It must then stand
        before the estimator.
    {encoder}
    {fine_tuning}
    {training}

    Attributes
    ----------
    nets_ : list of skorch.NeuralNet
        The trained net of every member: ``nets_[0].history``, ``nets_[0].module_``.
    target_scaler_ : TargetScaler
        Centre and scale of the target (per atom, with sum pooling).
    single_target_ : bool
        Whether the target was one-dimensional.
    context_columns_ : tuple of str
        Names of the context columns seen in `fit`; only with `context`.
    context_scaler_ : ColumnScaler
        Centre and scale of these columns; only with `context`.

    See Also
    --------
    TriForcesClassifier : The same for classes.
    TriForcesPotential : Energies, forces and stresses.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesRegressor
    >>> crystals = [bulk("Cu", a=a) for a in (3.4, 3.5, 3.6, 3.7)]
    >>> model = TriForcesRegressor(hidden_dim=8, max_epochs=5, random_state=0)
    >>> model.fit(crystals, [9.8, 10.7, 11.7, 12.7]).predict(crystals).shape
    (4,)
    """

    _parameter_constraints = {
        **CONSTRAINTS,
        "loss": [StrOptions({"absolute_error", "squared_error", "huber"})],
        "pooling": [StrOptions({"mean", "attention", "sum"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "context": ["boolean"],
    }

    def __init__(
        self,
        *,
        loss="absolute_error",
        pooling="attention",
        dropout=0.0,
        context=False,
        backbone="builtin",
        backbone_params=None,
        streams=("composition", "structure", "interaction"),
        cutoff=6.0,
        hidden_dim=64,
        n_layers=3,
        stoichiometry="counts",
        class_token=False,
        pretrained=None,
        fine_tune="full",
        pretrained_rate="auto",
        n_members=1,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=2e-3,
        weight_decay=1e-2,
        max_grad_norm=10.0,
        ema_decay=0.995,
        validation_fraction=0.0,
        patience=None,
        checkpoint=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            backbone=backbone,
            backbone_params=backbone_params,
            streams=streams,
            cutoff=cutoff,
            hidden_dim=hidden_dim,
            n_layers=n_layers,
            stoichiometry=stoichiometry,
            class_token=class_token,
            pretrained=pretrained,
            fine_tune=fine_tune,
            pretrained_rate=pretrained_rate,
            n_members=n_members,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            max_grad_norm=max_grad_norm,
            ema_decay=ema_decay,
            validation_fraction=validation_fraction,
            patience=patience,
            checkpoint=checkpoint,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.pooling = pooling
        self.dropout = dropout
        self.context = context

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _sizes(self, graphs):
        """What a target scales with, ``(n_structures, 1)``."""
        counts = graphs.counts("atom") if self.pooling == "sum" else np.ones(len(graphs))
        return counts[:, None].astype(float)

    def fit(self, X, y, sample_weight=None):
        """Fit the ensemble.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of structures in the loss.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a structure cannot be used, or targets are missing, infinite or too few.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the estimator is then fitted with the weights reached so far.
        """
        graphs = self._read_training(X)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(graphs, y)
        weight = _check_sample_weight(
            sample_weight, np.empty((len(y), 1)), dtype=np.float64, ensure_non_negative=True
        )
        self.single_target_ = y.ndim == 1
        target, sizes = y.reshape(len(y), -1), self._sizes(graphs)
        used = weight > 0
        graphs, target, sizes, weight = graphs[used], target[used], sizes[used], weight[used]
        self.target_scaler_ = TargetScaler.fit(target / sizes, weight)
        scaled = self.target_scaler_.transform(target / sizes) * sizes
        self._fit_outputs(graphs, scaled, weight, self.loss, self.pooling)
        return self

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals.
        return_std : bool, default=False
            Whether to return the standard deviation over members too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, in the unit of the target; NaN for a structure without atoms.
        y_std : ndarray of the same shape
            Spread of the members, only with `return_std`.
        """
        check_is_fitted(self)
        graphs = self._read(X)
        sizes = self._sizes(graphs)
        scaled = self._outputs(graphs) / np.maximum(sizes, 1)
        predictions = self.target_scaler_.inverse_transform(scaled) * sizes
        if self.single_target_:
            predictions = predictions[..., 0]
        predictions = members_last(predictions)
        mean = predictions.mean(axis=-1)
        return (mean, predictions.std(axis=-1)) if return_std else mean

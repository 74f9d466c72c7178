"""TriForces for classes."""

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from trisk.estimators._prediction import mean_probabilities
from trisk.estimators.triforces._property import PropertyTriForces
from trisk.estimators.triforces._streams import CONSTRAINTS, document_parameters


@document_parameters
class TriForcesClassifier(ClassifierMixin, PropertyTriForces):
    """Three streams on crystals, for classes.

    One stream sees the composition, one the structure without its elements, one both together;
    their named blocks feed one head [1]_. Members' probabilities are averaged.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as in scikit-learn.
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
    classes_ : ndarray of shape (n_classes,)
        Labels.
    context_columns_ : tuple of str
        Names of the context columns seen in `fit`; only with `context`.
    context_scaler_ : ColumnScaler
        Centre and scale of these columns; only with `context`.

    See Also
    --------
    TriForcesRegressor : The same for numbers.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesClassifier
    >>> crystals = [bulk(metal) for metal in ("Cu", "Ag", "Fe", "W")]
    >>> model = TriForcesClassifier(hidden_dim=8, max_epochs=5, random_state=0)
    >>> model.fit(crystals, ["fcc", "fcc", "bcc", "bcc"]).predict_proba(crystals).shape
    (4, 2)
    """

    _parameter_constraints = {
        **CONSTRAINTS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "context": ["boolean"],
    }

    def __init__(
        self,
        *,
        class_weight=None,
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
        self.class_weight = class_weight
        self.dropout = dropout
        self.context = context

    def fit(self, X, y, sample_weight=None):
        """Fit the ensemble.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of structures in the loss.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a structure cannot be used, or there is one class only.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the estimator is then fitted with the weights reached so far.
        """
        graphs = self._read_training(X)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        check_consistent_length(graphs, y)
        weight = _check_sample_weight(
            sample_weight, np.empty((len(y), 1)), dtype=np.float64, ensure_non_negative=True
        )
        used = weight > 0
        self.classes_ = np.unique(y[used])
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but all have "
                f"the class {self.classes_.tolist()[0]!r}."
            )
        labels = np.searchsorted(self.classes_, y[used])
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y[used], sample_weight=weight[used]
        )
        target = np.eye(len(self.classes_))[labels]
        weight = weight[used] * of_class[labels]
        self._fit_outputs(graphs[used], target, weight, "cross_entropy")
        return self

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; NaN for a structure without atoms.
        """
        check_is_fitted(self)
        return mean_probabilities(self._outputs(self._read(X)))

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If a structure has no atoms, because a featurizer could not read it.
        """
        probabilities = self.predict_proba(X)
        missing = np.flatnonzero(np.isnan(probabilities).any(axis=1))
        if len(missing):
            raise ValueError(
                f"The structures in rows {missing[:5].tolist()} have no atoms, so there is no "
                "class to predict. Leave these rows out, or use predict_proba, which gives NaN for "
                "them."
            )
        return self.classes_[probabilities.argmax(axis=1)]

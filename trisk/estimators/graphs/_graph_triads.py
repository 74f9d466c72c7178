"""GraphTRIADS for crystal structures."""

import numpy as np
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d

from trisk.estimators._parameters import document_parameters
from trisk.estimators._prediction import MemberClassifierMixin, MemberRegressorMixin
from trisk.estimators.scaling import TargetScaler
from trisk.estimators.graphs._base import BaseGraphTRIADS


@document_parameters
class GraphTRIADSRegressor(MemberRegressorMixin, BaseGraphTRIADS):
    """Recursive network on crystal graphs.

    Every cycle of the recursion passes messages from dihedral angles to bond angles to bonds to
    atoms with one set of weights; each is supervised, and a gate ends the recursion of each
    crystal [1]_. Takes the graphs of a :class:`trisk.featurizers.CrystalGraphFeaturizer`.

    Parameters
    ----------
    loss : {{"absolute_error", "squared_error", "huber"}}, default="absolute_error"
        Loss on the standardised target.
    link : {{"identity", "log"}}, default="identity"
        Whether the network predicts the target or its logarithm. With ``"log"``, for positive
        targets that span decades, relative errors count.
    aggregation : {{"mean", "median"}}, default="mean"
        How members' predictions are combined.
    {graph_network}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    scaler_ : GraphScaler
        Scaling of the features of atoms, bonds and compositions.
    target_scaler_ : TargetScaler
        Centre and scale of the target.
    single_target_ : bool
        Whether the target was one-dimensional.
    columns_ : dict
        Names of the columns of the graphs seen in `fit`.

    See Also
    --------
    GraphTRIADSClassifier : The same network for classes.
    trisk.featurizers.CrystalGraphFeaturizer : Structures to graphs.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from trisk.estimators import GraphTRIADSRegressor
    >>> from trisk.featurizers import CrystalGraphFeaturizer
    >>> from trisk.testing import make_structures
    >>> structures, frequency, kind = make_structures(24)
    >>> network = GraphTRIADSRegressor(n_members=2, max_epochs=4, random_state=0)
    >>> model = make_pipeline(CrystalGraphFeaturizer(), network)
    >>> model.fit(structures, frequency).predict(structures).shape
    (24,)
    """

    _parameter_constraints = {
        **BaseGraphTRIADS._parameter_constraints,
        "loss": [StrOptions({"absolute_error", "squared_error", "huber"})],
        "link": [StrOptions({"identity", "log"})],
        "aggregation": [StrOptions({"mean", "median"})],
    }

    def __init__(
        self,
        *,
        loss="absolute_error",
        link="identity",
        aggregation="mean",
        order=3,
        physics=True,
        n_radial=40,
        n_angular=8,
        element_dim=16,
        hidden_dim=64,
        bond_dim=48,
        angle_dim=16,
        feedforward_dim=128,
        n_heads=4,
        min_cycles=4,
        max_cycles=16,
        halting_threshold=0.1,
        openness_cost=0.01,
        dropout=0.1,
        deep_supervision=True,
        mixed_precision=False,
        n_members=4,
        max_epochs=60,
        batch_size=32,
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
            order=order,
            physics=physics,
            n_radial=n_radial,
            n_angular=n_angular,
            element_dim=element_dim,
            hidden_dim=hidden_dim,
            bond_dim=bond_dim,
            angle_dim=angle_dim,
            feedforward_dim=feedforward_dim,
            n_heads=n_heads,
            min_cycles=min_cycles,
            max_cycles=max_cycles,
            halting_threshold=halting_threshold,
            openness_cost=openness_cost,
            dropout=dropout,
            deep_supervision=deep_supervision,
            mixed_precision=mixed_precision,
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
        self.link = link
        self.aggregation = aggregation

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _prepare_target(self, y, sample_weight, n_structures):
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", allow_nd=False)
        _check_length(y, n_structures)
        weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
        self.single_target_ = y.ndim == 1
        target = y.reshape(len(y), -1)
        log = self.link == "log"
        if log and target.min() <= 0:
            row = int(np.flatnonzero((target <= 0).any(axis=1))[0])
            raise ValueError(
                f"link='log' needs positive targets, but row {row} has {target[row].min():g}. Use "
                "link='identity'."
            )
        self.target_scaler_ = TargetScaler.fit(target[weight > 0], weight[weight > 0], log=log)
        return self.target_scaler_.transform(target), weight, target.shape[1], self.loss


@document_parameters
class GraphTRIADSClassifier(MemberClassifierMixin, BaseGraphTRIADS):
    """Recursive network on crystal graphs for two or more classes.

    Every cycle of the recursion passes messages from dihedral angles to bond angles to bonds to
    atoms with one set of weights; each is supervised, and a gate ends the recursion of each
    crystal [1]_. Takes the graphs of a :class:`trisk.featurizers.CrystalGraphFeaturizer`.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, as in scikit-learn.
    {graph_network}
    {optimisation}

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net: ``net_.history``, ``net_.module_``, callbacks.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    scaler_ : GraphScaler
        Scaling of the features of atoms, bonds and compositions.
    columns_ : dict
        Names of the columns of the graphs seen in `fit`.

    See Also
    --------
    GraphTRIADSRegressor : The same network for numbers.
    trisk.featurizers.CrystalGraphFeaturizer : Structures to graphs.

    References
    ----------
    .. [1] TRIADS, "Tiny Recursive Information-Attention with Deep Supervision", 2026.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from trisk.estimators import GraphTRIADSClassifier
    >>> from trisk.featurizers import CrystalGraphFeaturizer
    >>> from trisk.testing import make_structures
    >>> structures, frequency, kind = make_structures(24)
    >>> network = GraphTRIADSClassifier(n_members=2, max_epochs=4, random_state=0)
    >>> model = make_pipeline(CrystalGraphFeaturizer(), network)
    >>> model.fit(structures, kind).predict(structures).shape
    (24,)
    """

    _parameter_constraints = {
        **BaseGraphTRIADS._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        *,
        class_weight=None,
        order=3,
        physics=True,
        n_radial=40,
        n_angular=8,
        element_dim=16,
        hidden_dim=64,
        bond_dim=48,
        angle_dim=16,
        feedforward_dim=128,
        n_heads=4,
        min_cycles=4,
        max_cycles=16,
        halting_threshold=0.1,
        openness_cost=0.01,
        dropout=0.1,
        deep_supervision=True,
        mixed_precision=False,
        n_members=4,
        max_epochs=60,
        batch_size=32,
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
            order=order,
            physics=physics,
            n_radial=n_radial,
            n_angular=n_angular,
            element_dim=element_dim,
            hidden_dim=hidden_dim,
            bond_dim=bond_dim,
            angle_dim=angle_dim,
            feedforward_dim=feedforward_dim,
            n_heads=n_heads,
            min_cycles=min_cycles,
            max_cycles=max_cycles,
            halting_threshold=halting_threshold,
            openness_cost=openness_cost,
            dropout=dropout,
            deep_supervision=deep_supervision,
            mixed_precision=mixed_precision,
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

    def _prepare_target(self, y, sample_weight, n_structures):
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        _check_length(y, n_structures)
        weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
        kept = weight > 0
        self.classes_ = np.unique(y[kept])
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but all have "
                f"the class {self.classes_.tolist()[0]!r}."
            )
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y[kept], sample_weight=weight[kept]
        )
        # Labels of weight zero may be unknown; their row counts for nothing.
        labels = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        target = np.eye(len(self.classes_))[labels]
        return target, weight * of_class[labels], len(self.classes_), "cross_entropy"

    def _labels(self, probabilities):
        missing = np.flatnonzero(np.isnan(probabilities).any(axis=1))
        if len(missing):
            shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
            raise ValueError(
                f"{len(missing)} structures have no atoms (rows {shown}), so there is no class to "
                "predict. Leave these rows out, or use predict_proba, which gives NaN for them."
            )
        return super()._labels(probabilities)


def _check_length(y, n_structures):
    if len(y) != n_structures:
        raise ValueError(f"y has {len(y)} samples, but there are {n_structures} structures.")

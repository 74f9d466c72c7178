"""Structures → what a network that was trained before predicts of them, as columns."""

import os

from sklearn.utils.validation import check_is_fitted

from trisk.estimators._saving import SavingMixin
from trisk.estimators._structure_input import StructureInputMixin
from trisk.estimators.triforces._columns import NamedColumns
from trisk.estimators.triforces._pretrained import load_pretrained
from trisk.estimators.triforces._regressor import TriForcesRegressor

#: Measurements that the weights ``"sensors"`` predict, in their order; the names are those of
#: :class:`trisk.featurizers.PotentialFeaturizer`.
SENSORS = (
    "energy (eV/atom)",
    "pressure (GPa)",
    "von Mises stress (GPa)",
    "largest force (eV/A)",
    "gamma highest 1 (1/cm)",
    "gamma highest 2 (1/cm)",
    "gamma lowest (1/cm)",
    "gamma mean (1/cm)",
    "gamma geometric mean (1/cm)",
    "Einstein highest (1/cm)",
    "Einstein lowest (1/cm)",
    "Einstein geometric mean (1/cm)",
)


class TriForcesSensors(NamedColumns, StructureInputMixin, SavingMixin):
    """Predicted measurements of crystals, as columns for a forest or any other model.

    The network that comes with trisk predicts what a universal interatomic potential measures of a
    crystal: energy, pressure, stress, largest force, and frequencies of its vibrations. The
    potential is not needed, and nothing is learned from the data. Where there are few labels, a
    model on these columns beside Magpie's is a quick companion of
    ``TriForcesRegressor(pretrained="sensors")``, which trains the same network further.

    Parameters
    ----------
    pretrained : TriForcesRegressor, str or path-like, default="sensors"
        A fitted regressor without context, the file of one, or ``"sensors"`` for the one that
        comes with trisk.

    Attributes
    ----------
    regressor_ : TriForcesRegressor
        The network.
    columns_ : list of str
        Names of the columns: ``"Sensor energy"``, …, or ``"Sensor 0"``, … of a network that does
        not come with trisk.

    See Also
    --------
    trisk.featurizers.PotentialFeaturizer : The measurements themselves, with a potential.
    TriForcesPretrainer : Embeddings learned without any label.

    Notes
    -----
    The columns of ``"sensors"`` have no unit: each is the normal variable of the measurement's rank
    among the 12,459 crystals of the training, and the energy is what a linear fit to the elements
    leaves. `benchmarks/pretrain_sensors.py` says how they were measured with TensorNet-MatPES [1]_,
    [2]_ on decorated prototypes, and the model card beside the weights how well they are predicted.

    References
    ----------
    .. [1] G. Simeon, G. De Fabritiis, "TensorNet: Cartesian tensor representations for efficient
       learning of molecular potentials", arXiv:2306.06482 (2023).
    .. [2] A. D. Kaplan et al., "A foundational potential energy surface dataset for materials",
       arXiv:2503.04070 (2025).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesSensors
    >>> X = TriForcesSensors().fit_transform([bulk("C"), bulk("Si"), bulk("Pb")])
    >>> X["Sensor gamma highest 1"].round(1).tolist()
    [0.3, 0.1, -2.3]
    """

    _parameter_constraints: dict = {"pretrained": [TriForcesRegressor, str, os.PathLike]}

    def __init__(self, pretrained="sensors"):
        self.pretrained = pretrained

    def __sklearn_clone__(self):
        """A clone that has the same fitted regressor, which a clone of it would not be."""
        return type(self)(self.pretrained)

    def fit(self, X, y=None):
        """Load the network; nothing is learned from X.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Ignored.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TypeError
            If it is no TriForcesRegressor.
        ValueError
            If the network needs context.
        """
        self._validate_params()
        regressor = load_pretrained(self.pretrained)
        if not isinstance(regressor, TriForcesRegressor):
            raise TypeError(
                f"pretrained={self.pretrained!r} is a {type(regressor).__name__}, which predicts "
                'no columns; give a TriForcesRegressor, or "sensors".'
            )
        if regressor.context:
            raise ValueError(
                "pretrained was trained with context=True and needs more than structures."
            )
        self.regressor_ = regressor
        if self.pretrained == "sensors":
            names = [name.partition(" (")[0] for name in SENSORS]
        else:
            names = [str(k) for k in range(len(regressor.target_scaler_.center))]
        self.columns_ = [f"Sensor {name}" for name in names]
        return self

    def transform(self, X):
        """Predict the columns.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals. A :class:`~trisk.featurizers.CrystalGraphFeaturizer` before this transformer
            reads files and dicts too, and goes on after bad ones with ``on_error="nan"``.

        Returns
        -------
        DataFrame of shape (n_samples, n_features_out)
            One row per structure, NaN without atoms, under the index of X if X is a pandas object.

        Raises
        ------
        ValueError
            If a structure cannot be used.
        """
        check_is_fitted(self)
        values = self.regressor_.predict(X).reshape(-1, len(self.columns_))
        return self._as_table(values, X)

    def _feature_names(self):
        return self.columns_

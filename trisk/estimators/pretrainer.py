"""Streams that learn from structures alone, and columns that trained streams predict."""

import os
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from trisk._compat import Interval
from trisk._frames import FrameTransformer
from trisk._optional import if_absent
from trisk.estimators.base import document
from trisk.estimators.triforces import (
    BaseTriForces,
    TriForcesRegressor,
    as_potential,
    build_encoder,
    load_pretrained,
)
from trisk.nn import PretrainingLoss, PretrainingNetwork
from trisk.structures import read_structures
from trisk.training.datasets import draw_seed
from trisk.training.net import drawing_from, resolve_device, train
from trisk.training.pretraining import PretrainingNet, ViewDataset, ViewMaker
from trisk.training.settings import AutomaticSchedule

#: Measurements that the weights ``"default"`` predict, in their order; the names are those of
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


@document
@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesPretrainer(BaseTriForces):
    """Three streams that learn from structures without targets, and embed structures.

    Every structure is seen twice, each time with its atoms displaced, some elements hidden and a
    cutoff of its own. The streams learn to guess the displacements (denoising) and the hidden
    elements (masking), and to embed both views alike while the embeddings of all structures
    spread like a Gaussian (LeJEPA) [1]_ [2]_.

    {Parameters}
    denoising_weight : float, default=1.0
        Weight of the mean squared error of the displacements, in units of their standard
        deviation. Zero switches the objective off. It needs the interaction stream.
    masking_weight : float, default=0.3
        Weight of the cross-entropy of hidden elements, guessed from all streams together, and of
        all elements, read from each stream that sees them; zero switches it off.
    lejepa_weight : float, default=0.3
        Weight of LeJEPA for atoms and structures in each stream; zero switches it off.
    noise : tuple of float or None, default=(0.02, 0.15)
        Smallest and largest standard deviation of the displacements, in Å. None displaces none.
    masked_share : tuple of float or None, default=(0.1, 0.3)
        Smallest and largest share of atoms whose element is hidden, at least one atom, in one of
        the two views. None hides none.
    cutoff_range : tuple of float or None, default=(0.7, 1.0)
        Smallest and largest part of the cutoff within which a view has neighbours. None keeps
        the cutoff as it is.
    sigreg_weight : float, default=0.02
        Part of LeJEPA's weight that asks for a Gaussian; the rest asks the views to agree.
    n_slices : int, default=128
        Random projections in which a distribution is compared with a Gaussian.

    {Attributes}
    history_ : pandas.DataFrame
        Of every epoch: its number, the weighted loss, and each objective by name.

    See Also
    --------
    TriForcesRegressor : Takes a fitted pre-trainer as ``pretrained``.

    Notes
    -----
    Under ``torchrun`` or ``accelerate launch``, every process runs the same script, `batch_size`
    is that of each process, and all of them end with the same weights, which are those of one
    process with the whole batch. One of them writes the checkpoint. This needs
    ``trisk[accelerate]``. One network is trained, whatever `n_members` says.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.
    .. [2] R. Balestriero, Y. LeCun, "LeJEPA", arXiv:2511.08544 (2025).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesOptions, TriForcesPretrainer
    >>> crystals = [bulk("NaCl", "rocksalt", a=a) for a in (5.4, 5.5, 5.6, 5.7)]
    >>> small = TriForcesOptions(hidden_dim=8, cutoff=4.0)
    >>> pretrainer = TriForcesPretrainer(network=small, max_epochs=2, random_state=0)
    >>> embeddings = pretrainer.fit_transform(crystals)
    >>> embeddings.shape
    (4, 24)
    >>> embeddings.filter(like="structure").shape
    (4, 8)
    """

    denoising_weight: float = 1.0
    masking_weight: float = 0.3
    lejepa_weight: float = 0.3
    noise: tuple[float, float] | None = (0.02, 0.15)
    masked_share: tuple[float, float] | None = (0.1, 0.3)
    cutoff_range: tuple[float, float] | None = (0.7, 1.0)
    sigreg_weight: float = 0.02
    n_slices: int = 128

    _schedule = AutomaticSchedule(n_steps=2500, n_rows=1000, n_batches=40, smallest=8, largest=64)
    _parameter_constraints = {
        "denoising_weight": [Interval(Real, 0, None, closed="left")],
        "masking_weight": [Interval(Real, 0, None, closed="left")],
        "lejepa_weight": [Interval(Real, 0, None, closed="left")],
        "noise": [tuple, list, None],
        "masked_share": [tuple, list, None],
        "cutoff_range": [tuple, list, None],
        "sigreg_weight": [Interval(Real, 0, 1, closed="both")],
        "n_slices": [Interval(Integral, 1, None, closed="left")],
    }

    def fit(self, X, y=None):  # type: ignore[override]
        """Train the streams.

        Parameters
        ----------
        X : CrystalGraphs or iterable of structures, of length n_samples
            Structures; an iterable is read once.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted pre-trainer.

        Raises
        ------
        ValueError, FloatingPointError, KeyboardInterrupt
            If a structure cannot be used, or an objective lacks what it needs; if the loss
            diverges; after an interruption, with the weights reached so far.
        """
        self._validate_params()
        options, training = self.options("network"), self.options("training")
        if training.validation_fraction or training.patience:
            raise ValueError("training__validation_fraction and patience are for targets of rows.")
        weights = self._objective_weights(options)
        if self.masked_share is not None and as_potential(options._backbone()) is not None:
            raise ValueError("A universal potential needs masked_share=None, masking_weight=0.")
        graphs = self._read_training(X)
        make_views = ViewMaker(
            options.cutoff,
            _limits("noise", self.noise, np.inf),
            _limits("masked_share", self.masked_share, 1),
            _limits("cutoff_range", self.cutoff_range, 1),
            rotate=options.backbone == "orb",
        )
        processes = _join_processes(self.device)
        part = slice(None)
        if processes is not None:
            part = slice(processes.process_index, None, processes.num_processes)
        seed = draw_seed(self.random_state)
        self.architecture_ = options._encoder() | {"n_slices": self.n_slices}
        with drawing_from(seed):
            module = self._build(self.architecture_)
        module.seeds = [seed]
        net = train(
            self,
            module,
            PretrainingLoss(weights, self.sigreg_weight, distributed=processes is not None),
            ViewDataset(
                graphs,
                make_views,
                seed=seed,
                device=processes.device if processes else resolve_device(self.device),
                part=part,
            ),
            seed=seed,
            checkpoint=self.checkpoint,
            net_class=partial(PretrainingNet, processes=processes),
            processes=processes,
        )
        # What trains together is no part of the fitted estimator.
        net.processes = None
        self.nets_ = [net]
        net.raise_if_interrupted()
        return self

    def _connect(self, X, **limits):
        """Views find neighbours of their own."""
        return read_structures(X)[0] if not self.__sklearn_is_fitted__() else super()._connect(X)

    def _build(self, architecture):
        width, n_slices = architecture["hidden_dim"], architecture["n_slices"]
        return PretrainingNetwork(build_encoder(architecture), width, n_slices=n_slices)

    def _objective_weights(self, options):
        """Weights by objective, after a check that each has what it needs."""
        weights = {
            "denoising": self.denoising_weight,
            "masking": self.masking_weight,
            "lejepa": self.lejepa_weight,
        }
        if not any(weights.values()):
            raise ValueError("All objectives have weight zero; give at least one a weight.")
        if self.denoising_weight and "interaction" not in options.streams:
            raise ValueError(
                "Denoising needs the interaction stream; add it to streams, or set "
                "denoising_weight=0."
            )
        for name, source in (("denoising", "noise"), ("masking", "masked_share")):
            if weights[name] and getattr(self, source) is None:
                raise ValueError(
                    f"{name.capitalize()} needs {source}, which is None; set {name}_weight=0 or "
                    f"give {source}."
                )
        return weights

    @property
    def history_(self):
        """Losses of every epoch."""
        check_is_fitted(self)
        rows = [
            {k: v for k, v in epoch.items() if not k.endswith(("_best", "_count"))}
            for epoch in self.net_.plain_history()
        ]
        return pd.DataFrame(rows).rename(columns={"train_loss": "loss", "dur": "seconds"})


def _limits(name, limits, highest):
    """A pair of numbers in ascending order, or None."""
    if limits is None:
        return None
    values = np.asarray(limits, dtype=float)
    if values.shape != (2,) or not 0 < values[0] <= values[1] <= highest:
        raise ValueError(
            f"{name} must be None or two numbers in ascending order, above 0 and up to {highest}, "
            f"but is {limits!r}."
        )
    return tuple(values.tolist())


def _join_processes(device):
    """Join the processes that ``torchrun`` or ``accelerate launch`` started, if several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    with if_absent("Several processes need Accelerate: pip install 'trisk[accelerate]'"):
        from accelerate import Accelerator
    return Accelerator(cpu=torch.device(resolve_device(device)).type == "cpu")


@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesSensors(FrameTransformer, BaseEstimator):
    """Predicted measurements of crystals, as columns for a forest or any other model.

    The network that comes with trisk predicts what a universal interatomic potential measures of a
    crystal: energy, pressure, stress, largest force, and frequencies of its vibrations. Nothing is
    learned from the data. Where there are few labels, a model on these columns beside Magpie's is
    a quick alternative to ``TriForcesRegressor(pretrained="default")``, which trains on.

    Parameters
    ----------
    pretrained : TriForcesRegressor, str or path-like, default="default"
        A fitted regressor without context, the file of one, or ``"default"`` for the one that
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

    Notes
    -----
    The columns of ``"default"`` have no unit: each is the normal variable of the measurement's rank
    among the 12,459 crystals of the training, and the energy is what a linear fit to the elements
    leaves. They were measured with TensorNet-MatPES [1]_, [2]_ on decorated prototypes; the model
    card beside the weights says how well they are predicted.

    References
    ----------
    .. [1] G. Simeon, G. De Fabritiis, "TensorNet", arXiv:2306.06482 (2023).
    .. [2] A. D. Kaplan et al., "MatPES", arXiv:2503.04070 (2025).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesSensors
    >>> X = TriForcesSensors().fit_transform([bulk("C"), bulk("Si"), bulk("Pb")])
    >>> X["Sensor gamma highest 1"].round(1).tolist()
    [0.3, 0.1, -2.3]
    """

    pretrained: Any = "default"

    _parameter_constraints = {"pretrained": [TriForcesRegressor, str, os.PathLike]}

    def __sklearn_clone__(self):
        """A clone that has the same fitted regressor, which a clone of it would not be."""
        return type(self)(pretrained=self.pretrained)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def fit(self, X, y=None):
        """Load the network; nothing is learned from X.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Ignored.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If there is no such file, it holds no TriForcesRegressor, or this needs context.
        """
        self._validate_params()
        regressor = load_pretrained(self.pretrained)
        if not isinstance(regressor, TriForcesRegressor):
            raise TypeError(
                f"pretrained={self.pretrained!r} is a {type(regressor).__name__}, which predicts "
                'no columns; give a TriForcesRegressor, or "default".'
            )
        if regressor.context:
            raise ValueError(
                "pretrained was trained with context=True and needs more than structures."
            )
        self.regressor_ = regressor
        if isinstance(self.pretrained, str) and self.pretrained == "default":
            names = [name.partition(" (")[0] for name in SENSORS]
        else:
            names = [str(k) for k in range(len(regressor.target_scaler_.center))]
        self.columns_ = [f"Sensor {name}" for name in names]
        return self

    def transform(self, X):
        """Predict the columns.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Structures. A :class:`~trisk.featurizers.CrystalGraphFeaturizer` before this
            transformer goes on after bad ones with ``on_error="nan"``.

        Returns
        -------
        DataFrame of shape (n_samples, n_features_out)
            One row per structure, NaN without atoms, under the index of X if X is a pandas object.
        """
        check_is_fitted(self)
        values = self.regressor_.predict(X).reshape(-1, len(self.columns_))
        return self._as_frame(values, X)

    def _feature_names(self):
        return self.columns_

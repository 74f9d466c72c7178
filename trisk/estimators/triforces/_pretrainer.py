"""Streams that learn from structures alone."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from trisk.estimators._base import pass_on_interruption
from trisk.estimators._schedule import AutomaticSchedule
from trisk.estimators._training import resolve_device
from trisk.estimators.triforces._crystal_training import train_crystals
from trisk.estimators.triforces._crystals import check_atoms, read_atoms
from trisk.estimators.triforces._embedding import StreamChoice, StreamEmbedder
from trisk.estimators.triforces._pretrained import load_pretrained
from trisk.estimators.triforces._streams import (
    ENCODER_CONSTRAINTS,
    OPTIMISATION_CONSTRAINTS,
    build_pretraining_network,
    document_parameters,
)


@document_parameters
class TriForcesPretrainer(StreamChoice, StreamEmbedder):
    """Three streams that learn from structures without targets, and embed structures.

    Every crystal is seen twice, each time with its atoms displaced, some elements hidden and a
    cutoff of its own. The streams learn to guess the displacements (denoising) and the hidden
    elements (masking), and to embed both views alike while the embeddings of all crystals spread
    like a Gaussian (LeJEPA) [1]_ [2]_.

    Parameters
    ----------
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
    reach : tuple of float or None, default=(0.7, 1.0)
        Smallest and largest part of the cutoff within which a view has neighbours. None keeps
        the cutoff as it is.
    sigreg_weight : float, default=0.02
        Part of LeJEPA's weight that asks for a Gaussian; the rest asks the views to agree.
    n_slices : int, default=128
        Random projections in which a distribution is compared with a Gaussian.
    {encoder}
    {optimisation}

    Attributes
    ----------
    nets_ : list of skorch.NeuralNet
        The trained net.
    history_ : pandas.DataFrame
        Of every epoch: its number, the weighted loss, each objective by name, and the norms of
        the objectives' weighted gradients in each stream, such as
        ``"masking gradient composition"``, at the first batch of the epoch.

    See Also
    --------
    TriForcesRegressor : Takes a fitted pre-trainer as ``pretrained``.

    Notes
    -----
    Under ``torchrun`` or ``accelerate launch``, every process runs the same script, `batch_size`
    is that of each process, and all of them end with the same weights, which are those of one
    process with the whole batch. One of them writes the checkpoint. This needs
    ``trisk[accelerate]``.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.
    .. [2] R. Balestriero, Y. LeCun, "LeJEPA: provable and scalable self-supervised learning
       without the heuristics", arXiv:2511.08544 (2025).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.estimators import TriForcesPretrainer
    >>> crystals = [bulk("NaCl", "rocksalt", a=a) for a in (5.4, 5.5, 5.6, 5.7)]
    >>> pretrainer = TriForcesPretrainer(hidden_dim=8, cutoff=4.0, max_epochs=2, random_state=0)
    >>> embeddings = pretrainer.fit_transform(crystals)
    >>> embeddings.shape
    (4, 24)
    >>> list(embeddings.columns[:2])
    ['composition 0', 'composition 1']
    >>> pretrainer.transform(crystals, streams="structure").shape
    (4, 8)
    """

    _build = staticmethod(build_pretraining_network)
    _schedule = AutomaticSchedule(n_steps=2500, n_rows=1000, n_batches=40, smallest=8, largest=64)
    _documented = {
        "learning_rate": 2e-3,
        "max_grad_norm": 1.0,
        "ema_decay": 0.999,
        "drawn": "views and projections",
    }
    _parameter_constraints = {
        **ENCODER_CONSTRAINTS,
        **OPTIMISATION_CONSTRAINTS,
        "denoising_weight": [Interval(Real, 0, None, closed="left")],
        "masking_weight": [Interval(Real, 0, None, closed="left")],
        "lejepa_weight": [Interval(Real, 0, None, closed="left")],
        "noise": [tuple, list, None],
        "masked_share": [tuple, list, None],
        "reach": [tuple, list, None],
        "sigreg_weight": [Interval(Real, 0, 1, closed="both")],
        "n_slices": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        denoising_weight=1.0,
        masking_weight=0.3,
        lejepa_weight=0.3,
        noise=(0.02, 0.15),
        masked_share=(0.1, 0.3),
        reach=(0.7, 1.0),
        sigreg_weight=0.02,
        n_slices=128,
        backbone="builtin",
        backbone_params=None,
        streams=("composition", "structure", "interaction"),
        cutoff=6.0,
        hidden_dim=64,
        n_layers=3,
        stoichiometry="counts",
        class_token=False,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=2e-3,
        weight_decay=1e-2,
        max_grad_norm=1.0,
        ema_decay=0.999,
        checkpoint=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.denoising_weight = denoising_weight
        self.masking_weight = masking_weight
        self.lejepa_weight = lejepa_weight
        self.noise = noise
        self.masked_share = masked_share
        self.reach = reach
        self.sigreg_weight = sigreg_weight
        self.n_slices = n_slices
        self.backbone = backbone
        self.backbone_params = backbone_params
        self.streams = streams
        self.cutoff = cutoff
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.stoichiometry = stoichiometry
        self.class_token = class_token
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.ema_decay = ema_decay
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_pretrained(cls, source="default"):
        """Bring a pre-trainer that was fitted before.

        Parameters
        ----------
        source : str or path-like, default="default"
            A file written by :meth:`save`, or ``"default"`` for the weights that come with trisk.

        Returns
        -------
        TriForcesPretrainer
            Fitted.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TypeError
            If the file holds another estimator.
        """
        found = load_pretrained(source)
        if not isinstance(found, cls):
            raise TypeError(f"{str(source)!r} holds a {type(found).__name__}, not a {cls.__name__}")
        return found

    def fit(self, X, y=None):
        """Train the streams.

        Parameters
        ----------
        X : CrystalGraphs or iterable of Atoms or Structure, of length n_samples
            Crystals; an iterable is read once.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted pre-trainer.

        Raises
        ------
        ValueError
            If a structure cannot be used, or an objective lacks what it needs.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the pre-trainer is then fitted with the weights reached so far.
        """
        # The estimators that only start from pre-trained streams need none of this.
        from trisk.estimators.triforces._pretraining import (
            PretrainingNet,
            ViewDataset,
            join_processes,
        )
        from trisk.pretraining.crystals import PretrainingLoss, ViewMaker

        self._validate_params()
        self.__dict__.pop("nets_", None)
        self._check_streams()
        weights = self._objective_weights()
        graphs = read_atoms(X)
        check_atoms(graphs)
        make_views = ViewMaker(
            self.cutoff,
            _limits("noise", self.noise, np.inf),
            _limits("masked_share", self.masked_share, 1),
            _limits("reach", self.reach, 1),
            rotate=self.backbone == "orb",
        )
        processes = join_processes(self.device)
        device = processes.device if processes else resolve_device(self.device)
        loss = {
            "weights": weights,
            "sigreg_weight": self.sigreg_weight,
            "n_slices": self.n_slices,
            "distributed": processes is not None,
        }
        net = train_crystals(
            self,
            (ViewDataset(graphs, make_views, device), None),
            self._build,
            self._encoder_params(),
            (PretrainingLoss, loss),
            seed=check_random_state(self.random_state).randint(np.iinfo(np.int32).max),
            checkpoint=self.checkpoint,
            net_class=PretrainingNet,
            processes=processes,
        )
        # What trains together is no part of the fitted estimator.
        net.processes = None
        self.nets_ = [net]
        pass_on_interruption(net)
        return self

    def _objective_weights(self):
        """Weights by objective, after a check that each has what it needs."""
        weights = {
            "denoising": self.denoising_weight,
            "masking": self.masking_weight,
            "lejepa": self.lejepa_weight,
        }
        if not any(weights.values()):
            raise ValueError("All objectives have weight zero; give at least one a weight.")
        if self.denoising_weight and "interaction" not in self.streams:
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
        """Losses and gradient norms of every epoch."""
        import pandas as pd

        check_is_fitted(self)
        ignored = ("batches", "train_loss_best", "train_batch_count")
        rows = [
            {k: v for k, v in epoch.items() if k not in ignored and not k.endswith("_best")}
            for epoch in self.nets_[0].history.to_list()
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

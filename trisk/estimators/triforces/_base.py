"""What all TriForces estimators with a target do: streams trained with a head."""

from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from trisk.estimators._base import pass_on_interruption
from trisk.estimators._schedule import AutomaticSchedule
from trisk.estimators._seeding import draw_validation, member_seeds
from trisk.estimators._training import NetSnapshot
from trisk.estimators.triforces._crystal_estimator import BaseCrystalEstimator
from trisk.estimators.triforces._crystal_training import train_crystals
from trisk.estimators.triforces._crystals import check_atoms, read_crystals
from trisk.estimators.triforces._pretrained import find_weights
from trisk.estimators.triforces._streams import CONSTRAINTS, SEARCH_SPACE


class BaseTriForces(BaseCrystalEstimator):
    """Streams with a head; a subclass names the head, its targets and its loss."""

    _parameter_constraints: dict = CONSTRAINTS
    _search_space = SEARCH_SPACE

    _schedule = AutomaticSchedule(n_steps=2500, n_rows=300, n_batches=40, smallest=4, largest=64)
    #: Defaults that the documentation names.
    _documented: Mapping[str, Any] = {"learning_rate": 2e-3}

    def __init__(
        self,
        *,
        backbone,
        backbone_params,
        streams,
        cutoff,
        hidden_dim,
        n_layers,
        stoichiometry,
        class_token,
        pretrained,
        fine_tune,
        pretrained_rate,
        n_members,
        max_epochs,
        batch_size,
        learning_rate,
        weight_decay,
        max_grad_norm,
        ema_decay,
        validation_fraction,
        patience,
        checkpoint,
        callbacks,
        device,
        random_state,
        verbose,
    ):
        self.backbone = backbone
        self.backbone_params = backbone_params
        self.streams = streams
        self.cutoff = cutoff
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.stoichiometry = stoichiometry
        self.class_token = class_token
        self.pretrained = pretrained
        self.fine_tune = fine_tune
        self.pretrained_rate = pretrained_rate
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.ema_decay = ema_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @property
    def n_trainings(self):
        """Networks that `fit` trains, one after the other."""
        return self.n_members

    @contextmanager
    def lend_net(self, net, members):
        """Predict for a while with a net that is still training.

        Parameters
        ----------
        net : CrystalNet
            The net.
        members : slice
            Not used: a net is one member.

        Yields
        ------
        None
            While the estimator predicts with it.
        """
        self.nets_: list[Any] = [NetSnapshot(net.member_module(members))]
        try:
            yield
        finally:
            del self.nets_

    def __sklearn_clone__(self):
        """A clone that starts from the same fitted streams, which a clone of them would not be."""
        params = {k: clone(v, safe=False) for k, v in self.get_params(deep=False).items()}
        return type(self)(**params | {"pretrained": self.pretrained})

    def _read_training(self, X):
        """Check the parameters and read structures to train on."""
        self._validate_params()
        self.__dict__.pop("nets_", None)
        self._check_streams()
        if self.fine_tune != "full" and self.pretrained is None:
            raise ValueError(
                f"fine_tune={self.fine_tune!r} says what to keep of `pretrained`, which is None."
            )
        graphs = read_crystals(X, self.cutoff)
        check_atoms(graphs)
        return graphs

    def _train(self, dataset, module_params, criterion):
        """Fit all members."""
        source = find_weights(self.pretrained, self._encoder_params())
        nets = []
        for member, seed in enumerate(member_seeds(self.random_state, self.n_members)):
            seed %= np.iinfo(np.int32).max
            path = None if self.checkpoint is None else Path(self.checkpoint)
            if path is not None and self.n_members > 1:
                path = path.with_name(f"{path.name}.{member}")
            nets.append(
                train_crystals(
                    self,
                    self._split(dataset, seed),
                    self._build,
                    module_params,
                    criterion,
                    seed=seed,
                    checkpoint=path,
                    start=lambda net: self._start_from(net, source),
                )
            )
            if nets[-1].interrupted_:
                break
        self.nets_ = nets
        pass_on_interruption(nets[-1])

    def _split(self, dataset, seed):
        """Structures to train on and to validate on."""
        training, held_out = draw_validation(seed, len(dataset), self.validation_fraction)
        if len(held_out) == 0:
            return dataset, None
        if len(training) == 0:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of the "
                f"{len(dataset)} structures to train on."
            )
        return dataset.take(training), dataset.take(held_out)

    def _start_from(self, net, source):
        """Give a fresh net its pre-trained streams and what of their head fits."""
        if source is None:
            return
        encoder, head = source
        module = net.module_
        module.encoder.load_state_dict(encoder)
        started = set() if head is None else module.head.start_from(head)
        net.slow_down({f"encoder.{k}" for k in encoder} | {f"head.{k}" for k in started})
        if self.fine_tune == "head":
            module.encoder.requires_grad_(False)

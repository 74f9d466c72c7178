"""What all TriForces estimators do: structures in, streams trained with a head."""

import math
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from trisk.estimators._base import pass_on_interruption
from trisk.estimators._search_space import SearchSpaceMixin
from trisk.estimators._training import NetSnapshot, resolve_device, restore_net
from trisk.estimators.graphs._batches import pack
from trisk.estimators.triforces._crystal_training import CrystalNet, train_crystals
from trisk.estimators.triforces._crystals import read_crystals, to_batch
from trisk.estimators.triforces._streams import CONSTRAINTS, ENCODER_PARAMETERS, SEARCH_SPACE
from trisk.nn._triforces import STREAMS

# Atoms, and tenths of bonds, that a prediction takes at once.
_PREDICTION_COST = 4000


class BaseTriForces(SearchSpaceMixin, BaseEstimator):
    """Streams with a head; a subclass names the head, its targets and its loss."""

    _parameter_constraints: dict = CONSTRAINTS
    _search_space = SEARCH_SPACE

    # Steps of an automatic schedule, on how many structures, limits of the batch size, and the
    # default learning rate: for the schedule and for the documentation.
    _schedule: dict[str, float] = {
        "n_steps": 2500,
        "n_rows": 300,
        "smallest": 4,
        "largest": 64,
        "learning_rate": 2e-3,
    }

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

    def save(self, path):
        """Write the fitted estimator to one file that holds no code.

        Parameters
        ----------
        path : str or path-like
            File to write; :func:`trisk.load` brings the estimator back.
        """
        from trisk.persistence import save

        check_is_fitted(self)
        save(self, path)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags

    def __sklearn_is_fitted__(self):
        """A fit that failed half-way leaves attributes, but no nets."""
        return hasattr(self, "nets_")

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

    def __trisk_state__(self):
        """Fitted attributes for :mod:`trisk.persistence`, the nets as parameters and arrays."""
        state = {k: v for k, v in vars(self).items() if k.endswith("_") and k != "nets_"}
        state["nets_"] = [net.portable_state() for net in self.nets_]
        return state

    def __trisk_restore__(self, state):
        """Take fitted attributes back and rebuild the nets."""
        nets = state.pop("nets_")
        self.__dict__.update(state)
        device = resolve_device(self.device)
        self.nets_ = [restore_net(CrystalNet, self._build, net, device) for net in nets]

    def _read_training(self, X):
        """Check the parameters and read structures to train on."""
        self._validate_params()
        self.__dict__.pop("nets_", None)
        wrong = [s for s in self.streams if s not in STREAMS]
        if wrong or not self.streams:
            raise ValueError(
                f"streams must name some of {STREAMS}, but is {tuple(self.streams)!r}."
            )
        if self.fine_tune != "full" and self.pretrained is None:
            raise ValueError(
                f"fine_tune={self.fine_tune!r} says what to keep of `pretrained`, which is None."
            )
        graphs = read_crystals(X, self.cutoff)
        empty = np.flatnonzero(graphs.counts("atom") == 0)
        if len(empty):
            raise ValueError(
                f"There are no atoms in {len(empty)} structures, first in rows "
                f"{empty[:5].tolist()}. Drop the rows that the featurizer reported."
            )
        return graphs

    def _encoder_params(self):
        params = {name: getattr(self, name) for name in ENCODER_PARAMETERS}
        return params | {
            "streams": tuple(s for s in STREAMS if s in self.streams),
            "backbone_params": dict(self.backbone_params or {}),
        }

    def _train(self, dataset, module_params, criterion):
        """Fit all members."""
        entropy = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        seeds = np.random.SeedSequence(entropy).generate_state(self.n_members).tolist()
        source = self._find_pretrained()
        nets = []
        for member, seed in enumerate(seeds):
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
                    start=lambda module: self._start_from(module, source),
                )
            )
            if nets[-1].interrupted_:
                break
        self.nets_ = nets
        pass_on_interruption(nets[-1])

    def _split(self, dataset, seed):
        """Structures to train on and to validate on."""
        n_held_out = round(self.validation_fraction * len(dataset))
        if n_held_out == 0:
            return dataset, None
        if n_held_out == len(dataset):
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of the "
                f"{len(dataset)} structures to train on."
            )
        order = np.random.default_rng([seed, 0]).permutation(len(dataset))
        return dataset.take(np.sort(order[n_held_out:])), dataset.take(np.sort(order[:n_held_out]))

    def _resolve_schedule(self, n_rows):
        """Batch size and number of epochs."""
        plan, batch_size, max_epochs = self._schedule, self.batch_size, self.max_epochs
        if batch_size == "auto":
            power = 2 ** round(math.log2(max(n_rows / 40, 1)))
            batch_size = int(np.clip(power, plan["smallest"], plan["largest"]))
        if max_epochs == "auto":
            n_steps = plan["n_steps"] * math.sqrt(max(n_rows / plan["n_rows"], 1))
            max_epochs = math.ceil(n_steps / math.ceil(n_rows / batch_size))
        return batch_size, max_epochs

    @property
    def _frozen_share(self):
        return 0.25 if self.fine_tune == "gradual" else 0.0

    def _find_pretrained(self):
        """Weights of pre-trained streams, or None."""
        source = self.pretrained
        if source is None:
            return None
        if isinstance(source, str | Path):
            from trisk.persistence import load

            source = load(source)
        if not hasattr(source, "_encoder_params"):
            raise TypeError(
                f"pretrained is a {type(source).__name__}; it must be a fitted TriForces estimator "
                "or the path of one."
            )
        check_is_fitted(source)
        own, other = self._encoder_params(), source._encoder_params()
        for name, value in own.items():
            if other[name] != value:
                raise ValueError(
                    f"The pre-trained streams have {name}={other[name]!r}, but this estimator has "
                    f"{value!r}."
                )
        return source.nets_[0].module_.encoder.state_dict()

    def _start_from(self, module, source):
        """Give a fresh network its pre-trained streams."""
        if source is not None:
            module.encoder.load_state_dict(source)
        if self.fine_tune == "head":
            module.encoder.requires_grad_(False)

    def _predict_batches(self, graphs):
        """Yield rows with atoms and their batch, in double precision."""
        check_is_fitted(self)
        device = next(self.nets_[0].module_.parameters()).device
        rows = np.flatnonzero(graphs.counts("atom") > 0)
        if len(rows) < len(graphs):
            warnings.warn(
                f"{len(graphs) - len(rows)} structures have no atoms; their predictions are NaN.",
                UserWarning,
                stacklevel=3,
            )
        costs = (graphs.counts("atom") + 0.1 * graphs.counts("bond"))[rows]
        n_batches = min(len(rows), math.ceil(costs.sum() / _PREDICTION_COST))
        for part in pack(costs, n_batches) if n_batches else ():
            yield rows[part], to_batch(graphs.take(rows[part]), device, torch.float64)

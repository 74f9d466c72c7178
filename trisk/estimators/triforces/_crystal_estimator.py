"""What all estimators with the three streams do: structures in, files out."""

import math
import warnings

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from trisk.estimators._saving import SavingMixin
from trisk.estimators._search_space import SearchSpaceMixin
from trisk.estimators._structure_input import StructureInputMixin
from trisk.estimators._training import resolve_device, restore_net
from trisk.estimators.graphs._batches import pack
from trisk.estimators.triforces._crystal_training import CrystalNet
from trisk.estimators.triforces._crystals import to_batch
from trisk.estimators.triforces._streams import ENCODER_PARAMETERS
from trisk.nn._triforces import STREAMS

# Atoms, and tenths of bonds, that a prediction takes at once.
_PREDICTION_COST = 4000


class BaseCrystalEstimator(StructureInputMixin, SavingMixin, SearchSpaceMixin, BaseEstimator):
    """Trained nets with an encoder; a subclass says how they are built and trained."""

    def __sklearn_is_fitted__(self):
        """A fit that failed half-way leaves attributes, but no nets."""
        return hasattr(self, "nets_")

    def __trisk_state__(self):
        """Fitted attributes for :mod:`trisk.persistence`, the nets as parameters and arrays."""
        state = {k: v for k, v in vars(self).items() if k.endswith("_") and k != "nets_"}
        # There are none where it is a parameter of a model that trained a copy.
        if hasattr(self, "nets_"):
            state["nets_"] = [net.portable_state() for net in self.nets_]
        return state

    def __trisk_restore__(self, state):
        """Take fitted attributes back and rebuild the nets."""
        nets = state.pop("nets_", None)
        self.__dict__.update(state)
        if nets is not None:
            device = resolve_device(self.device)
            self.nets_ = [restore_net(CrystalNet, self._build, net, device) for net in nets]

    def _check_streams(self):
        """Raise unless `streams` names some of the three."""
        wrong = [s for s in self.streams if s not in STREAMS]
        if wrong or not self.streams:
            raise ValueError(
                f"streams must name some of {STREAMS}, but is {tuple(self.streams)!r}."
            )

    def _encoder_params(self):
        params = {name: getattr(self, name) for name in ENCODER_PARAMETERS}
        return params | {
            "streams": tuple(s for s in STREAMS if s in self.streams),
            "backbone_params": dict(self.backbone_params or {}),
        }

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

"""What TriForces regressors and classifiers share: one row of outputs for each structure."""

import numpy as np
import torch

from trisk.estimators._training import resolve_device
from trisk.estimators.triforces._base import BaseTriForces
from trisk.estimators.triforces._crystal_batches import CrystalDataset
from trisk.estimators.triforces._streams import build_property_network
from trisk.nn import PropertyLoss


class PropertyTriForces(BaseTriForces):
    """What regressors and classifiers share: one row of outputs for each structure."""

    _build = staticmethod(build_property_network)

    def _fit_outputs(self, graphs, target, weight, loss, pooling="mean"):
        """Train on scaled targets."""
        params = self._encoder_params() | {
            "n_outputs": target.shape[1],
            "pooling": pooling,
            "dropout": self.dropout,
        }
        dataset = CrystalDataset(
            graphs,
            {"target": target, "weight": weight / weight.mean()},
            device=resolve_device(self.device),
        )
        self._train(dataset, params, (PropertyLoss, {"kind": loss}))

    def _outputs(self, graphs):
        """Raw outputs ``(n_members, n_structures, n_outputs)``; NaN where there are no atoms."""
        n_outputs = self.nets_[0].module_.head.readout[-1].out_features
        outputs = np.full((len(self.nets_), len(graphs), n_outputs), np.nan)
        with torch.no_grad():
            for rows, batch in self._predict_batches(graphs):
                for member, net in enumerate(self.nets_):
                    outputs[member, rows] = net.module_(batch).cpu().numpy()
        return outputs

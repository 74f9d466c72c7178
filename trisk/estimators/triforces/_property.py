"""What TriForces regressors and classifiers share: one row of outputs for each structure."""

from dataclasses import replace

import numpy as np
import torch

from trisk.estimators.scaling import ColumnScaler
from trisk.estimators._training import resolve_device
from trisk.estimators.triforces._base import BaseTriForces
from trisk.estimators.triforces._crystal_batches import CrystalDataset
from trisk.estimators.triforces._crystals import read_crystals, with_context
from trisk.estimators.triforces._streams import build_property_network
from trisk.nn import BatchInvariance, PropertyLoss


class PropertyTriForces(BaseTriForces):
    """What regressors and classifiers share: one row of outputs for each structure."""

    _build = staticmethod(build_property_network)

    def _read_training(self, X):
        return self._with_context(super()._read_training(X), X)

    def _read(self, X):
        """Atoms and bonds of structures, and their context where the head sees it."""
        return self._with_context(read_crystals(X, self.cutoff), X)

    def _with_context(self, graphs, X):
        return with_context(graphs, X) if self.context else graphs

    def _fit_outputs(self, graphs, target, weight, loss, pooling="attention"):
        """Train on scaled targets."""
        if self.context:
            self.context_columns_ = graphs.names["context"]
            columns = graphs.context.astype(np.float64)
            self.context_scaler_ = ColumnScaler.fit(columns, np.ones(len(columns)), "robust")
        params = self._encoder_params() | {
            "n_outputs": target.shape[1],
            "pooling": pooling,
            "dropout": self.dropout,
            "n_context": graphs.context.shape[1],
        }
        dataset = CrystalDataset(
            self._scale_context(graphs),
            {"target": target, "weight": weight / weight.mean()},
            device=resolve_device(self.device),
        )
        self._train(dataset, params, (PropertyLoss, {"kind": loss}))

    def _scale_context(self, graphs):
        """The graphs with scaled columns of context, which are those seen in `fit`."""
        if not self.context:
            return graphs
        if graphs.names["context"] != self.context_columns_:
            raise ValueError(
                "These graphs have other columns of context than those seen in fit; build them "
                "with the same CrystalGraphFeaturizer."
            )
        return replace(graphs, context=self.context_scaler_.transform(graphs.context))

    def _outputs(self, graphs):
        """Raw outputs ``(n_members, n_structures, n_outputs)``; NaN where there are no atoms."""
        graphs = self._scale_context(graphs)
        n_outputs = self.nets_[0].module_.head.readout[-1].out_features
        outputs = np.full((len(self.nets_), len(graphs), n_outputs), np.nan)
        with torch.no_grad(), BatchInvariance():
            for rows, batch in self._predict_batches(graphs):
                for member, net in enumerate(self.nets_):
                    outputs[member, rows] = net.module_(batch).cpu().numpy()
        return outputs

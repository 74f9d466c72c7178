"""What HybridTRIADS regressors and classifiers share: a numeric table in, scaled columns out."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from trisk.estimators._parameters import (
    COMPANION_CONSTRAINTS,
    NETWORK_CONSTRAINTS,
    NETWORK_SEARCH_SPACE,
    OPTIMISATION_CONSTRAINTS,
    OPTIMISATION_SEARCH_SPACE,
)
from trisk.estimators._preprocessing import ColumnScaler
from trisk.estimators._seeding import member_seeds
from trisk.estimators.tables._batches import TrainingSet
from trisk.estimators.tables._columns import divide_columns, hide_columns, token_names
from trisk.estimators.tables._held_out import HeldOutFit
from trisk.estimators.tables._neighbors import NeighborDraws
from trisk.estimators.tables._networks import BaseTableNetwork
from trisk.nn import HybridTRIADSNetwork

# Largest number of attention weights held at once.
_ATTENTION_ELEMENTS = 4_000_000
_MODULE_PARAMETERS = (
    "attention_dim",
    "n_heads",
    "shared_projection",
    "embedding_dim",
    "n_frequencies",
    "frequency_scale",
    "hidden_dim",
    "feedforward_dim",
    "n_steps",
    "dropout",
    "confidence",
)


class BaseHybridTRIADS(BaseTableNetwork):
    """Table in, scaled columns to the network."""

    _module = HybridTRIADSNetwork
    _parameter_constraints = {
        **NETWORK_CONSTRAINTS,
        **COMPANION_CONSTRAINTS,
        **OPTIMISATION_CONSTRAINTS,
    }
    #: Parameters with which the same network is fitted without inner folds.
    _without_held_out: dict[str, Any] = {"companion": None}
    _search_space = {**NETWORK_SEARCH_SPACE, **OPTIMISATION_SEARCH_SPACE}

    def __init__(
        self,
        *,
        n_attention_layers,
        attention_dim,
        n_heads,
        shared_projection,
        embedding_dim,
        n_frequencies,
        frequency_scale,
        hidden_dim,
        feedforward_dim,
        n_steps,
        dropout,
        deep_supervision,
        confidence,
        scaling,
        n_neighbors,
        companion,
        companion_only,
        n_members,
        max_epochs,
        batch_size,
        learning_rate,
        weight_decay,
        beta2,
        max_grad_norm,
        schedule,
        averaging,
        ema_decay,
        validation_fraction,
        patience,
        callbacks,
        device,
        random_state,
        verbose,
    ):
        self.n_attention_layers = n_attention_layers
        self.attention_dim = attention_dim
        self.n_heads = n_heads
        self.shared_projection = shared_projection
        self.embedding_dim = embedding_dim
        self.n_frequencies = n_frequencies
        self.frequency_scale = frequency_scale
        self.hidden_dim = hidden_dim
        self.feedforward_dim = feedforward_dim
        self.n_steps = n_steps
        self.dropout = dropout
        self.deep_supervision = deep_supervision
        self.confidence = confidence
        self.scaling = scaling
        self.n_neighbors = n_neighbors
        self.companion = companion
        self.companion_only = companion_only
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.beta2 = beta2
        self.max_grad_norm = max_grad_norm
        self.schedule = schedule
        self.averaging = averaging
        self.ema_decay = ema_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _fit_table(self, X, target, weight, y, loss):
        if self.attention_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide attention_dim={self.attention_dim}."
            )
        if len(X) - round(self.validation_fraction * len(X)) < 1:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of the {len(X)} "
                "distinct rows to train on."
            )
        names, table = getattr(self, "feature_names_in_", None), X
        if self.companion_only is not None:
            names, table = hide_columns(names, X, self.companion_only)
        seeds = member_seeds(self.random_state, self.n_members)
        self.neighbors_, draws, n_near = None, None, 0
        if self.n_neighbors is not None and len(X) > 1:
            draws = NeighborDraws(table, target, weight, names=names, n_neighbors=self.n_neighbors)
            self.neighbors_ = draws.columns
            near = draws.draw(seeds[0], 0)
            self.neighbor_scaler_ = ColumnScaler.fit(near, weight, self.scaling)
            n_near = near.shape[1]
        self.scaler_ = ColumnScaler.fit(table, weight, self.scaling)
        self.columns_, self.layout_ = divide_columns(
            names,
            X.shape[1],
            self.scaler_.varying,
            attention=self.n_attention_layers is not None,
        )
        module_params = {name: getattr(self, name) for name in _MODULE_PARAMETERS}
        n_rest = self.layout_.n_rest + n_near
        module_params |= {
            "layout": self.layout_._replace(n_rest=n_rest),
            "n_outputs": target.shape[1],
            "n_attention_layers": self.n_attention_layers or 0,
        }
        scaled = self.scaler_.transform(table)[:, self.columns_]
        training_set = TrainingSet(
            X=scaled,
            target=target,
            weight=weight,
            seeds=seeds,
            validation_fraction=self.validation_fraction,
            draws=draws,
            draw_scaler=self.neighbor_scaler_ if draws else None,
            held_out=self._hold_out(X, y, weight),
        )
        return training_set, module_params, {"kind": loss, "deep": self.deep_supervision}

    def _hold_out(self, X, y, weight):
        """Fits on inner folds, where a parameter asks for what they tell."""
        self.companion_, self.companion_weight_ = None, 0.0
        if all(getattr(self, k) == v for k, v in self._without_held_out.items()):
            return None
        return HeldOutFit(self, self._named(X), y, weight)

    def _named(self, X):
        """The table as it was given: with column names, where it had them."""
        names = getattr(self, "feature_names_in_", None)
        return np.asarray(X, dtype=np.float64) if names is None else pd.DataFrame(X, columns=names)

    def attention(self, X):
        """Attention between property tokens, averaged over rows, heads and members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with the columns seen in `fit`.

        Returns
        -------
        weights : ndarray of shape (n_layers, n_tokens, n_tokens)
            Share of the attention of one token (line) that another (column) has.
        properties : list of str
            What the tokens are: elemental properties, or columns.

        Raises
        ------
        ValueError
            If the network has no attention.
        """
        check_is_fitted(self)
        if not self.n_attention_layers:
            raise ValueError(
                f"n_attention_layers={self.n_attention_layers!r} makes no attention between "
                "properties: fit with n_attention_layers=1 or more."
            )
        table, module = self._encode(X), self.net_.module_
        device, n_tokens = next(module.parameters()).device, self.layout_.n_tokens
        size = module.n_members * self.n_heads * n_tokens**2
        n_rows = max(1, _ATTENTION_ELEMENTS // size)
        total = torch.zeros((), dtype=torch.float64, device=device)
        with torch.inference_mode():
            for start in range(0, len(table), n_rows):
                rows = torch.from_numpy(table[start : start + n_rows]).to(device, torch.float64)
                total = total + module.attention_weights(rows.expand(module.n_members, *rows.shape))
        names = getattr(self, "feature_names_in_", None)
        return (total / len(table)).cpu().numpy(), token_names(names, self.columns_, self.layout_)

    def _encode(self, X):
        X = validate_data(self, X, reset=False, dtype=np.float64)
        scaled = self.scaler_.transform(X)[:, self.columns_]
        if self.neighbors_ is None:
            return scaled
        return np.hstack([scaled, self.neighbor_scaler_.transform(self.neighbors_.transform(X))])

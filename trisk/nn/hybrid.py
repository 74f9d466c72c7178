"""The HybridTRIADS network: property tokens, context and table features into one recursion."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn.attention import ContextAttention, SelfAttentionLayer, TokenProjection
from trisk.nn.members import MemberLayerNorm, MemberLinear, PeriodicEmbedding, SeededNetwork
from trisk.nn.recursion import RecursiveCore


class InputLayout(NamedTuple):
    """How the columns of a table are divided, in this order.

    First ``n_tokens`` property tokens of ``token_width`` columns each, such as six statistics of
    one property, then ``n_context`` columns of the context, such as a mat2vec vector, then the
    ``n_rest`` others.
    """

    n_tokens: int
    token_width: int
    n_context: int
    n_rest: int


class HybridTRIADSNetwork(SeededNetwork):
    """Member-batched HybridTRIADS network.

    1. Property tokens are projected, pass `n_attention_layers` of self-attention and a
       cross-attention to the context, and are averaged.
    2. The remaining columns (each embedded in `embedding_dim` columns, if that is set) join after
       the average; one layer gives the input x of the recursion.
    3. A latent state and an answer state are refined `n_steps` times with shared weights.
    4. A linear head reads the answer state after every step; the prediction is the last step's
       or, with `confidence`, an average weighted by a learned confidence in each step.

    There is one seed per member; their number is the number of members, K. Input
    ``(K, B, n_columns)``; output a dictionary with ``steps`` ``(K, n_steps, B, n_outputs)``,
    ``answer`` ``(K, B, n_outputs)`` and, with `confidence`, ``confidence`` ``(K, n_steps, B)``.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        layout: InputLayout,
        n_outputs: int,
        *,
        attention_dim: int,
        n_attention_layers: int,
        n_heads: int,
        shared_projection: bool,
        embedding_dim: int | None,
        n_frequencies: int,
        frequency_scale: float,
        hidden_dim: int,
        feedforward_dim: int,
        n_steps: int,
        dropout: float,
        confidence: bool,
    ):
        super().__init__(seeds)
        self.layout = layout
        k = self.n_members
        pooled = layout.n_rest
        if layout.n_tokens:
            self.project = TokenProjection(
                k, layout.n_tokens, layout.token_width, attention_dim, shared=shared_projection
            )
            self.attention = nn.ModuleList(
                SelfAttentionLayer(k, attention_dim, n_heads, dropout)
                for _ in range(n_attention_layers)
            )
            if layout.n_context:
                self.context = ContextAttention(k, layout.n_context, attention_dim)
        if embedding_dim is not None and layout.n_rest:
            self.embed = PeriodicEmbedding(
                k,
                layout.n_rest,
                n_frequencies=n_frequencies,
                dim=embedding_dim,
                frequency_scale=frequency_scale,
            )
            pooled = self.embed.out_features
        if layout.n_tokens:
            pooled += attention_dim
        self.inject = MemberLinear(k, pooled, hidden_dim)
        self.inject_norm = MemberLayerNorm(k, hidden_dim)
        self.core = RecursiveCore(k, hidden_dim, feedforward_dim, n_steps, dropout)
        self.head = MemberLinear(k, hidden_dim, n_outputs)
        if confidence:
            self.confidence_inner = MemberLinear(k, hidden_dim, hidden_dim // 2)
            self.confidence_outer = MemberLinear(k, hidden_dim // 2, 1)
        self.reset_parameters()

    def _project_tokens(self, x: Tensor) -> Tensor:
        return self.project(x[..., : self.layout.n_tokens * self.layout.token_width])

    def attention_weights(self, x: Tensor) -> Tensor:
        """Attention from token to token summed over rows, ``(n_layers, n_tokens, n_tokens)``.

        Members and heads are averaged.
        """
        tokens, weights = self._project_tokens(x), []
        for layer in self.attention:
            assert isinstance(layer, SelfAttentionLayer)
            weights.append(layer.attend(tokens)[1].mean((0, 2)).sum(0))
            tokens = layer(tokens)
        return torch.stack(weights)

    def pool_tokens(self, x: Tensor) -> Tensor:
        """Average of the property tokens after attention, ``(K, B, attention_dim)``."""
        n_token_columns = self.layout.n_tokens * self.layout.token_width
        tokens = self._project_tokens(x)
        for layer in self.attention:
            tokens = layer(tokens)
        if self.layout.n_context:
            stop = n_token_columns + self.layout.n_context
            tokens = self.context(tokens, x[..., n_token_columns:stop])
        return tokens.mean(2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        rest = x[..., x.shape[-1] - self.layout.n_rest :]
        parts = []
        if self.layout.n_tokens:
            parts.append(self.pool_tokens(x))
        if self.layout.n_rest:
            parts.append(self.embed(rest) if hasattr(self, "embed") else rest)
        pooled = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        states = self.core(F.gelu(self.inject_norm(self.inject(pooled))))
        steps = self.head(states)
        if not hasattr(self, "confidence_outer"):
            return {"steps": steps, "answer": steps[:, -1]}
        logits = self.confidence_outer(F.gelu(self.confidence_inner(states)))
        confidence = logits.softmax(1)
        return {
            "steps": steps,
            "answer": (steps * confidence).sum(1),
            "confidence": confidence.squeeze(-1),
        }

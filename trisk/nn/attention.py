"""Attention among tokens: what all networks share, and the layers of HybridTRIADS."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn.members import MemberDropout, MemberLayerNorm, MemberLinear


def attend(
    projected: Tensor,
    n_heads: int,
    *,
    bias: Tensor | None = None,
    dropout: MemberDropout | None = None,
) -> tuple[Tensor, Tensor]:
    """Multi-head attention of tokens ``(..., T, 3 * dim)`` that hold query, key and value.

    Returns the mixed values ``(..., T, dim)`` and the weights ``(..., n_heads, T, T)``; `bias`,
    of a shape that fits the latter, is added to the scores.
    """
    width = projected.shape[-1]
    heads = projected.view(*projected.shape[:-1], 3, n_heads, width // (3 * n_heads))
    query, key, value = heads.transpose(-2, -4).unbind(-3)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(-1)
    mixed = (weights if dropout is None else dropout(weights)) @ value
    return mixed.transpose(-2, -3).reshape(*projected.shape[:-1], width // 3), weights


class TokenProjection(nn.Module):
    """Lift tokens of a few numbers each to the width of the attention.

    With `shared`, one map serves all tokens, as published (the network then cannot tell one
    property from another). Shapes: ``(K, B, T * token_width)`` to ``(K, B, T, dim)``.
    """

    def __init__(self, n_members: int, n_tokens: int, token_width: int, dim: int, *, shared: bool):
        super().__init__()
        self.n_tokens = n_tokens
        n_maps = 1 if shared else n_tokens
        self.weight = nn.Parameter(torch.empty(n_members, n_maps, token_width, dim))
        self.bias = nn.Parameter(torch.empty(n_members, 1, n_maps, dim))
        self.norm = MemberLayerNorm(n_members, dim)

    def reset_member(self, member: int, generator: torch.Generator) -> None:
        """Draw one member's maps; identical tokens start apart through their biases."""
        for token_map in self.weight[member]:
            nn.init.xavier_uniform_(token_map, generator=generator)
        if self.weight.shape[1] == 1:
            nn.init.zeros_(self.bias[member])
        else:
            nn.init.normal_(self.bias[member], generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(*x.shape[:2], self.n_tokens, -1)
        maps = self.weight.expand(-1, self.n_tokens, -1, -1)
        lifted = torch.einsum("kbts,ktsd->kbtd", tokens, maps)
        return F.gelu(self.norm((lifted + self.bias).contiguous()))


class SelfAttentionLayer(nn.Module):
    """Post-norm self-attention and a feed-forward layer of twice the width, ``(K, B, T, dim)``."""

    def __init__(self, n_members: int, dim: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = MemberLinear(n_members, dim, 3 * dim)
        self.weight_dropout = MemberDropout(dropout)
        self.mix = MemberLinear(n_members, dim, dim)
        self.norm = MemberLayerNorm(n_members, dim)
        self.inner = MemberLinear(n_members, dim, 2 * dim)
        self.inner_dropout = MemberDropout(dropout)
        self.outer = MemberLinear(n_members, 2 * dim, dim)
        self.outer_norm = MemberLayerNorm(n_members, dim)

    def attend(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed values and the attention weights ``(K, B, n_heads, T, T)``."""
        return attend(self.query_key_value(tokens), self.n_heads, dropout=self.weight_dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens + self.mix(self.attend(tokens)[0]))
        hidden = self.inner_dropout(F.gelu(self.inner(tokens)))
        return self.outer_norm(tokens + self.outer(hidden))


class ContextAttention(nn.Module):
    """Cross-attention of every token ``(K, B, T, dim)`` to one context vector.

    With a single key the softmax is one whatever the query, so the published layer reduces
    exactly to adding a projected value; its query and key weights never act and are left out.
    """

    def __init__(self, n_members: int, context_features: int, dim: int):
        super().__init__()
        self.project = MemberLinear(n_members, context_features, dim)
        self.project_norm = MemberLayerNorm(n_members, dim)
        self.value = MemberLinear(n_members, dim, dim)
        self.mix = MemberLinear(n_members, dim, dim)
        self.norm = MemberLayerNorm(n_members, dim)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """Add the context ``(K, B, context_features)`` to every token."""
        context = F.gelu(self.project_norm(self.project(context)))
        added = self.mix(self.value(context))
        return self.norm(tokens + added.unsqueeze(2))

"""Attention over property tokens, one set of weights per member."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn._members import MemberDropout, MemberLayerNorm, MemberLinear


class TokenProjection(nn.Module):
    """Lift tokens of a few numbers each to the width of the attention.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    n_tokens : int
        Number of tokens, T.
    token_width : int
        Numbers per token, S.
    dim : int
        Width of the attention.
    shared : bool
        One map for all tokens, as published (the network then cannot tell one property from
        another), or one map per token.

    Notes
    -----
    Shapes: input ``(K, B, T * S)``, output ``(K, B, T, dim)``.
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
        """Project, normalise and activate every token."""
        tokens = x.reshape(*x.shape[:2], self.n_tokens, -1)
        maps = self.weight.expand(-1, self.n_tokens, -1, -1)
        lifted = torch.einsum("kbts,ktsd->kbtd", tokens, maps)
        return F.gelu(self.norm((lifted + self.bias).contiguous()))


class SelfAttentionLayer(nn.Module):
    """Post-norm multi-head self-attention and a feed-forward layer of twice the width.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    dim : int
        Width of the tokens.
    n_heads : int
        Number of heads; must divide `dim`.
    dropout : float or sequence of float
        Dropout rate on attention weights and in the feed-forward layer, of all members or of
        each.

    Notes
    -----
    Shapes: input and output ``(K, B, T, dim)``.
    """

    def __init__(self, n_members: int, dim: int, n_heads: int, dropout: float | Sequence[float]):
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
        n_members, n_rows, n_tokens, dim = tokens.shape
        projected = self.query_key_value(tokens)
        heads = projected.view(n_members, n_rows, n_tokens, 3, self.n_heads, -1)
        query, key, value = heads.permute(3, 0, 1, 4, 2, 5).unbind(0)
        scores = query @ key.transpose(-1, -2) / (dim // self.n_heads) ** 0.5
        weights = scores.softmax(-1)
        mixed = self.weight_dropout(weights) @ value
        return mixed.transpose(2, 3).reshape(tokens.shape), weights

    def forward(self, tokens: Tensor) -> Tensor:
        """Let tokens look at one another."""
        tokens = self.norm(tokens + self.mix(self.attend(tokens)[0]))
        hidden = self.inner_dropout(F.gelu(self.inner(tokens)))
        return self.outer_norm(tokens + self.outer(hidden))


class ContextAttention(nn.Module):
    """Cross-attention of every token to one context vector.

    With a single key the softmax is one whatever the query, so the published layer reduces
    exactly to adding a projected value; its query and key weights never act and are left out.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    context_features : int
        Width of the context.
    dim : int
        Width of the tokens.

    Notes
    -----
    Shapes: tokens ``(K, B, T, dim)``, context ``(K, B, context_features)``.
    """

    def __init__(self, n_members: int, context_features: int, dim: int):
        super().__init__()
        self.project = MemberLinear(n_members, context_features, dim)
        self.project_norm = MemberLayerNorm(n_members, dim)
        self.value = MemberLinear(n_members, dim, dim)
        self.mix = MemberLinear(n_members, dim, dim)
        self.norm = MemberLayerNorm(n_members, dim)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """Add the context to every token."""
        context = F.gelu(self.project_norm(self.project(context)))
        added = self.mix(self.value(context))
        return self.norm(tokens + added.unsqueeze(2))

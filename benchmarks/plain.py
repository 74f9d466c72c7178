"""The published HybridTRIADS in plain PyTorch, one at a time: a peer of the speed suite."""

import torch
from torch import nn
from torch.nn import functional as F

#: Of the published HybridTRIADS: batch, epochs, recursion steps.
BATCH_SIZE, N_EPOCHS, N_STEPS = 32, 300, 20


class AttentionLayer(nn.Module):
    """Self-attention and feed-forward with norms behind them."""

    def __init__(self, dim, n_heads, dropout):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, n_heads, dropout=dropout, batch_first=True)
        self.norm, self.feedforward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )

    def forward(self, tokens):
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        tokens = self.norm(tokens + mixed)
        return self.feedforward_norm(tokens + self.feedforward(tokens))


class PlainHybridTRIADS(nn.Module):
    """The published network: property tokens, attention, context, 20 recursion steps."""

    def __init__(self, n_tokens=22, n_context=200, n_rest=31, dim=64, hidden=96, wide=150):
        super().__init__()
        token_width = 6
        self.sizes, self.n_tokens = [n_tokens * token_width, n_context, n_rest], n_tokens
        self.project = self._encode(token_width, dim)
        self.attention = nn.Sequential(*(AttentionLayer(dim, 4, 0.2) for _ in range(2)))
        self.context = self._encode(n_context, dim)
        self.inject = self._encode(dim + n_rest, hidden)
        self.cross = nn.MultiheadAttention(dim, 4, dropout=0.2, batch_first=True)
        self.cross_norm, self.head = nn.LayerNorm(dim), nn.Linear(hidden, 1)
        self.update_z = self._update(3 * hidden, wide, hidden)
        self.update_y = self._update(2 * hidden, wide, hidden)

    @staticmethod
    def _encode(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU())

    @staticmethod
    def _update(n_in, wide, n_out):
        inner = nn.Linear(n_in, wide), nn.GELU(), nn.Dropout(0.2)
        return nn.Sequential(*inner, nn.Linear(wide, n_out), nn.LayerNorm(n_out))

    def forward(self, x):
        """Predictions after every step, (N_STEPS, batch)."""
        properties, context, rest = x.split(self.sizes, dim=1)
        tokens = self.attention(self.project(properties.unflatten(1, (self.n_tokens, -1))))
        key = self.context(context).unsqueeze(1)
        tokens = self.cross_norm(tokens + self.cross(tokens, key, key, need_weights=False)[0])
        x = self.inject(torch.cat([tokens.mean(1), rest], dim=1))
        y = z = torch.zeros_like(x)
        steps = []
        for _ in range(N_STEPS):
            z = z + self.update_z(torch.cat([x, y, z], dim=1))
            y = y + self.update_y(torch.cat([y, z], dim=1))
            steps.append(self.head(y).squeeze(1))
        return torch.stack(steps)


def train_hybrid(n_steps, device="cpu"):
    """Steps of the published training on random rows: weighted errors of all recursion steps."""
    torch.manual_seed(0)
    model = PlainHybridTRIADS().to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    X, y = torch.randn(BATCH_SIZE, sum(model.sizes)).to(device), torch.randn(BATCH_SIZE).to(device)
    weights = torch.arange(1.0, N_STEPS + 1, device=device)[:, None]
    for _ in range(n_steps):
        optimizer.zero_grad()
        errors = F.l1_loss(model(X), y.expand(N_STEPS, -1), reduction="none")
        (errors * weights / weights.sum()).sum(0).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

"""The published HybridTRIADS in plain PyTorch, one model at a time: the peer of training_speed.py.

Written from the facts of the paper with torch's own layers, as a careful user would write it: no
data loader's overhead, no attention maps that nobody reads, the context projected once.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

BATCH_SIZE, N_EPOCHS, SWA_START, N_STEPS = 32, 300, 200, 20


class _AttentionLayer(nn.Module):
    def __init__(self, dim, n_heads, dropout):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, n_heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.feedforward_norm = nn.LayerNorm(dim)

    def forward(self, tokens):
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        tokens = self.norm(tokens + mixed)
        return self.feedforward_norm(tokens + self.feedforward(tokens))


class PlainHybridTRIADS(nn.Module):
    """One network: 22 property tokens, two self-attention layers, context, 20 recursion steps."""

    def __init__(self, n_tokens, token_width, n_context, n_rest, dim=64, hidden=96, wide=150):
        super().__init__()
        self.sizes = [n_tokens * token_width, n_context, n_rest]
        self.n_tokens = n_tokens
        self.project = nn.Sequential(nn.Linear(token_width, dim), nn.LayerNorm(dim), nn.GELU())
        self.attention = nn.Sequential(*(_AttentionLayer(dim, 4, 0.2) for _ in range(2)))
        self.context = nn.Sequential(nn.Linear(n_context, dim), nn.LayerNorm(dim), nn.GELU())
        self.cross = nn.MultiheadAttention(dim, 4, dropout=0.2, batch_first=True)
        self.cross_norm = nn.LayerNorm(dim)
        self.inject = nn.Sequential(
            nn.Linear(dim + n_rest, hidden), nn.LayerNorm(hidden), nn.GELU()
        )
        self.update_z = self._update(3 * hidden, wide, hidden)
        self.update_y = self._update(2 * hidden, wide, hidden)
        self.head = nn.Linear(hidden, 1)

    @staticmethod
    def _update(n_in, wide, n_out):
        return nn.Sequential(
            nn.Linear(n_in, wide),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(wide, n_out),
            nn.LayerNorm(n_out),
        )

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


class PlainTraining:
    """The published protocol for one model, batch by batch.

    AdamW 1e-3 with weight decay 1e-4, gradients clipped at 1, cosine to 1e-4 until epoch 200,
    then stochastic weight averaging at 5e-4. An epoch is the full batches of a shuffled order.
    """

    def __init__(self, X, y, layout, seed, device):
        torch.manual_seed(seed)
        self.X, self.y = X.to(device), y.to(device)
        self.model = PlainHybridTRIADS(*layout).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, SWA_START, eta_min=1e-4
        )
        weights = torch.arange(1, N_STEPS + 1, dtype=torch.float32, device=device)
        self.step_weights = (weights / weights.sum()).unsqueeze(1)
        self.averaged, self.n_averaged = None, 0

    def step(self, rows):
        """One optimiser step."""
        self.optimizer.zero_grad()
        errors = F.l1_loss(
            self.model(self.X[rows]), self.y[rows].expand(N_STEPS, -1), reduction="none"
        )
        (errors * self.step_weights).sum(0).mean().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def batches(self):
        """Row indices of one epoch's batches."""
        order = torch.randperm(len(self.X), device=self.X.device)
        return order[: len(order) // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE)

    def run(self):
        """Train for the published number of epochs; leave the averaged weights in `averaged`."""
        self.model.train()
        for epoch in range(N_EPOCHS):
            for rows in self.batches():
                self.step(rows)
            if epoch < SWA_START:
                self.schedule.step()
                continue
            for group in self.optimizer.param_groups:
                group["lr"] = 5e-4
            self._average()
        return self

    def _average(self):
        self.n_averaged += 1
        if self.averaged is None:
            self.averaged = copy.deepcopy(self.model)
            return
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.model.parameters(), strict=True)
            for mean, current in pairs:
                mean.lerp_(current, 1 / self.n_averaged)

    @torch.inference_mode()
    def predict(self, X):
        """Predictions of the averaged weights at the last step."""
        return self.averaged.eval()(X.to(self.X.device))[-1].cpu()

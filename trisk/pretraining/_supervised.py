"""Training of the composition encoder: calculated properties, and elements hidden from it."""

import json
import time

import numpy as np
import torch
from safetensors.numpy import save_file
from sklearn.metrics import mean_absolute_error, roc_auc_score
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from trisk.nn import CompositionEncoder, initialize_members
from trisk.pretraining._batches import element_properties, grouped_batch
from trisk.pretraining._targets import TARGETS

_HIDDEN_ROWS = 0.15  # share of rows in which one element is hidden
#: Weights of the losses: formation energy, gap, largest gap, metal; then the hidden element.
_WEIGHTS = (1.0, 1.0, 0.5, 0.5)
_WEIGHT_HIDDEN = 0.1
_METAL = TARGETS.index("metal")
_WEIGHT_DECAY, _EMA_DECAY = 0.02, 0.998
_PREDICTION_ROWS = 2048


class _Network(nn.Module):
    """A composition encoder that borrows from element properties and guesses hidden elements.

    Properties are projected and added to the learned vector of each element, so that rare
    elements borrow from like ones.
    """

    def __init__(self, properties, dim, n_layers, embedding_dim):
        super().__init__()
        self.encoder = CompositionEncoder(
            1, dim=dim, n_layers=n_layers, embedding_dim=embedding_dim, n_answers=len(TARGETS)
        )
        self.register_buffer("properties", properties)
        self.property = nn.Linear(properties.shape[1], dim)
        self.guess = nn.Linear(dim, len(properties))

    def element_table(self):
        """The elements' vectors by atomic number."""
        return self.encoder.element + self.property(self.properties)

    def forward(self, groups):
        """Give answers of rows, and the vectors of all their elements one after the other."""
        table = self.element_table()
        encoded = [self.encoder.encode(e[None], f[None], table) for e, f in groups]
        answers = self.encoder.read(torch.cat([pooled for _, pooled in encoded], 1))[1]
        return answers[0], torch.cat([tokens[0].flatten(0, 1) for tokens, _ in encoded])


class EncoderTraining:
    """Training of a composition encoder on calculated properties.

    Three kinds of losses are added: absolute errors of the standardised formation energy and band
    gaps, the cross-entropy of being a metal, and, in 15 % of the rows, the cross-entropy of one
    element that is hidden there. Weights are averaged over steps.

    Parameters
    ----------
    data : FormulaTargets
        Compositions and targets.
    held_out : ndarray of int
        Rows that are never trained on.
    dim, n_layers, embedding_dim : int, default=128, 3, 64
        Size of the encoder.
    max_epochs, batch_size : int, default=24, 512
        Passes over the data, and rows per step.
    learning_rate : float, default=2e-3
        Highest learning rate of AdamW: after a warm-up of 2 % of the steps, a cosine to zero.
    initial : dict of str to ndarray, default=None
        Averaged weights of an earlier training of the same size, from its ``arrays``, to go on
        from. What those do not hold, the guess of hidden elements, is learned anew.
    random_state : int, default=0
        Seed of weights, shuffling and hiding.

    Attributes
    ----------
    network : torch.nn.Module
        The network in training.
    average : torch.optim.swa_utils.AveragedModel
        Its weights averaged over steps: what predicts, and what is saved.
    train : ndarray of int
        Rows that are trained on.
    """

    def __init__(
        self,
        data,
        held_out,
        *,
        dim=128,
        n_layers=3,
        embedding_dim=64,
        max_epochs=24,
        batch_size=512,
        learning_rate=2e-3,
        initial=None,
        random_state=0,
    ):
        self.data, self.held_out = data, held_out
        self.max_epochs, self.batch_size = max_epochs, batch_size
        self.train = np.setdiff1d(np.arange(data.table.n_rows), held_out)
        self.center = np.nanmean(data.values[self.train], axis=0)
        self.scale = np.nanstd(data.values[self.train], axis=0)
        self.center[_METAL], self.scale[_METAL] = 0.0, 1.0
        scaled = (data.values - self.center) / self.scale
        self._targets = torch.from_numpy(scaled.astype(np.float32))
        self._random = np.random.default_rng(random_state)
        with torch.random.fork_rng():
            torch.manual_seed(random_state)
            properties = torch.from_numpy(element_properties())
            self.network = _Network(properties, dim, n_layers, embedding_dim)
            initialize_members(self.network, [random_state])
        if initial is not None:
            self._take(initial)
        groups = {True: [], False: []}
        for name, parameter in self.network.named_parameters():
            groups[not name.endswith(("bias", "gain"))].append(parameter)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": groups[True], "weight_decay": _WEIGHT_DECAY},
                {"params": groups[False], "weight_decay": 0.0},
            ],
            lr=learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )
        self._steps_per_epoch = max(1, len(self.train) // batch_size)
        n_steps = max_epochs * self._steps_per_epoch
        warm_up = max(1, n_steps // 50)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer,
            lambda step: min((step + 1) / warm_up, 0.5 + 0.5 * np.cos(np.pi * step / n_steps)),
        )
        self.average = AveragedModel(self.network, multi_avg_fn=_move_average)

    @torch.no_grad()
    def _take(self, arrays):
        """Begin with the weights of an earlier training."""
        self.network.encoder.load_arrays({n: torch.from_numpy(a) for n, a in arrays.items()})
        # The arrays hold whole element vectors; what properties explain of them is added later.
        self.network.encoder.element -= self.network.property(self.network.properties)

    def fit(self, report=None):
        """Train.

        Parameters
        ----------
        report : callable, default=None
            Called with one line of text after every epoch; every fourth line holds the scores of
            the rows held out.

        Returns
        -------
        EncoderTraining
            The training itself.
        """
        started = time.perf_counter()
        for epoch in range(1, self.max_epochs + 1):
            order = self._random.permutation(self.train)
            batches = np.array_split(order, self._steps_per_epoch)
            loss, guess = np.mean([self._step(rows) for rows in batches], axis=0)
            if report is None:
                continue
            line = f"epoch {epoch:3d} {time.perf_counter() - started:6.0f} s"
            line += f" loss {loss:.4f} hidden element {guess:.3f}"
            if len(self.held_out) and (epoch % 4 == 0 or epoch == self.max_epochs):
                scores = self.score(self.held_out)
                line += "".join(f", {name} {value:.4f}" for name, value in scores.items())
            report(line)
        return self

    def _step(self, rows):
        """One step on some rows; return the losses of targets and of hidden elements."""
        rows, groups = grouped_batch(self.data.table, rows)
        elements = torch.cat([elements.flatten() for elements, _ in groups])
        hidden, hides = self._hide(groups)
        # Half the memory traffic and twice the rate; weights stay in single precision.
        with torch.autocast("cpu", torch.bfloat16):
            answers, tokens = self.network(groups)
            guesses = self.network.guess(tokens[hidden]).float()
        target = self._targets[torch.from_numpy(rows)]
        known = ~target.isnan() & ~hides[:, None]
        target = target.nan_to_num()
        errors = (answers - target).abs()
        errors[:, _METAL] = F.binary_cross_entropy_with_logits(
            answers[:, _METAL], target[:, _METAL], reduction="none"
        )
        per_target = (errors * known).sum(0) / known.sum(0).clamp_min(1)
        loss = per_target @ per_target.new_tensor(_WEIGHTS)
        # A small batch may hide nothing.
        guess = F.cross_entropy(guesses, elements[hidden], reduction="sum")
        guess = guess / hidden.sum().clamp_min(1)
        self._optimizer.zero_grad()
        (loss + _WEIGHT_HIDDEN * guess).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        self.average.update_parameters(self.network)
        return loss.item(), guess.item()

    def _hide(self, groups):
        """Hide one element in some of the rows of several elements; say which, and where."""
        hidden, hides = [], []
        for elements, _ in groups:
            n_rows, length = elements.shape
            of_row = (self._random.random(n_rows) < _HIDDEN_ROWS) & (length > 1)
            mask = np.zeros((n_rows, length), dtype=bool)
            mask[np.arange(n_rows), self._random.integers(length, size=n_rows)] = of_row
            elements[torch.from_numpy(mask)] = 0
            hidden.append(mask.ravel())
            hides.append(of_row)
        return torch.from_numpy(np.concatenate(hidden)), torch.from_numpy(np.concatenate(hides))

    @torch.inference_mode()
    def predict(self, rows):
        """Predict the targets of some rows with the averaged weights.

        Parameters
        ----------
        rows : ndarray of int of shape (n_rows,)
            Rows of the data.

        Returns
        -------
        ndarray of shape (n_rows, 4)
            In the units of the targets; of being a metal, the logit.
        """
        answers = np.empty((len(self.data.values), len(TARGETS)))
        for part in np.array_split(rows, len(rows) // _PREDICTION_ROWS + 1):
            ordered, groups = grouped_batch(self.data.table, part)
            answers[ordered] = self.average.module(groups)[0].numpy()
        return answers[rows] * self.scale + self.center

    def score(self, rows):
        """Score the averaged weights on some rows.

        Parameters
        ----------
        rows : ndarray of int of shape (n_rows,)
            Rows of the data.

        Returns
        -------
        dict of str to float
            Mean absolute errors (eV/atom, eV, eV) and the area under the curve for metals, each
            over the rows where the target is known.
        """
        scores = {}
        for name, target, answer in zip(
            TARGETS, self.data.values[rows].T, self.predict(rows).T, strict=True
        ):
            known = ~np.isnan(target)
            score = roc_auc_score if name == "metal" else mean_absolute_error
            scores[name] = float(score(target[known], answer[known]))
        return scores

    def arrays(self):
        """Averaged weights as the featurizer reads them.

        Returns
        -------
        dict of str to ndarray
            Weights by name; ``element`` holds the vectors of the elements, ``center`` and
            ``scale`` turn answers into the units of the targets.
        """
        module = self.average.module
        assert isinstance(module, _Network)
        state = {name: value.numpy() for name, value in module.encoder.arrays().items()}
        state["element"] = module.element_table().detach()[0].numpy()
        state["center"] = self.center.astype(np.float32)
        state["scale"] = self.scale.astype(np.float32)
        return state


@torch.no_grad()
def _move_average(averages, current, n_averaged):
    """Exponential average whose memory grows with the steps made, up to some 500."""
    n_averaged = float(n_averaged)
    decay = min(_EMA_DECAY, (1 + n_averaged) / (10 + n_averaged))
    torch._foreach_lerp_(list(averages), list(current), 1 - decay)


def save_encoder(training, path):
    """Write trained weights for :class:`trisk.featurizers.PretrainedFeaturizer`.

    Parameters
    ----------
    training : EncoderTraining
        After ``fit``.
    path : str or path-like
        Safetensors file to write; it holds arrays and the names of the targets, no code.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in training.arrays().items()}
    save_file(arrays, path, metadata={"targets": json.dumps(TARGETS)})

"""skorch callbacks of the engine; each treats every member of a stack of networks on its own."""

import math
import warnings
from contextlib import contextmanager
from typing import Any

import torch
from skorch.callbacks import Callback
from tqdm.auto import tqdm


def _rows(values, n_members):
    """One row per member; a network that is no stack has one member."""
    return values.reshape(n_members, -1)


class DropoutSeeds(Callback):
    """Start dropout anew at every epoch from the epoch's number, so that a run can resume."""

    def on_epoch_begin(self, net, **kwargs):
        net.module_.seed_dropout(len(net.history))


class LearningRate(Callback):
    """Set the rate of every group of parameters from the progress of the training.

    The `schedule` is a warm-up over 5 % of the steps and a cosine to zero, or "constant". With an
    epoch at which plain averaging starts, `averaging_start`, the cosine falls to a tenth by that
    epoch, and the rate is half the initial one from there on, as published. A training that was
    finished and goes on has a schedule of its own from its `first_epoch`.
    """

    def __init__(self, schedule, n_steps, steps_per_epoch, averaging_start, first_epoch=0):
        self.first_epoch = first_epoch
        self.schedule = schedule
        self.n_steps = n_steps
        self.steps_per_epoch = steps_per_epoch
        self.averaging_start = averaging_start

    def factor(self, step, start=0.0):
        """Rate over the initial one; `start` is the share of the training that a group waits."""
        begin = round(start * self.n_steps)
        if step < begin:
            return 0.0
        if self.schedule == "constant":
            return 1.0
        if self.averaging_start is not None:
            end = self.averaging_start * self.steps_per_epoch
            return 0.5 if step >= end else 0.1 + 0.45 * (1 + math.cos(math.pi * step / end))
        step, n_steps = step - begin, self.n_steps - begin
        warm_up = max(1, n_steps // 20)
        if step < warm_up:
            return (step + 1) / warm_up
        progress = (step - warm_up) / max(1, n_steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def on_batch_begin(self, net, training=False, **kwargs):
        epoch, batch = len(net.history) - 1, len(net.history[-1, "batches"]) - 1
        step = (epoch - self.first_epoch) * self.steps_per_epoch + batch
        for group in net.optimizer_.param_groups:
            waits = 0.0 if self.first_epoch else group["start"]
            group["lr"] = net.lr * group["rate"] * self.factor(step, waits)


class GradientClipping(Callback):
    """Limit the norm of each member's gradient."""

    def __init__(self, max_norm):
        self.max_norm = max_norm

    def on_grad_computed(self, net, named_parameters, **kwargs):
        gradients = [
            _rows(p.grad, net.n_members) for _, p in named_parameters if p.grad is not None
        ]
        norms = torch.stack([g.norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (self.max_norm / norms.clamp_min(1e-12)).clamp_max(1.0).unsqueeze(1)
        torch._foreach_mul_(gradients, [scale.to(g.dtype) for g in gradients])


class WeightAveraging(Callback):
    """Keep an average of the weights along training and use it for validation and prediction.

    An exponential moving average over steps ("ema"), whose `decay` warms up as (1 + t) / (10 + t),
    or a plain average over the epochs after `start` ("swa").
    """

    def __init__(self, kind, *, decay, start):
        self.kind = kind
        self.decay = decay
        self.start = start

    def on_train_begin(self, net, **kwargs):
        self.parameters_ = list(net.module_.parameters())
        self.average_ = [p.detach().clone() for p in self.parameters_]
        self.n_updates_ = 0

    def _update(self, weight):
        torch._foreach_lerp_(self.average_, [p.detach() for p in self.parameters_], weight)
        self.n_updates_ += 1

    def on_batch_end(self, net, training=False, **kwargs):
        if self.kind == "ema" and training:
            decay = min(self.decay, (1 + self.n_updates_) / (10 + self.n_updates_))
            self._update(1 - decay)

    def on_epoch_end(self, net, **kwargs):
        if self.kind == "swa" and len(net.history) > self.start:
            self._update(1 / (self.n_updates_ + 1))

    @contextmanager
    def averaged(self):
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self):
        """Exchange current and averaged weights, if there is an average and training goes on."""
        if getattr(self, "n_updates_", 0) and hasattr(self, "average_"):
            for parameter, average in zip(self.parameters_, self.average_, strict=True):
                parameter.data, average.data = average.data, parameter.data

    def state(self):
        return {"average": self.average_, "n_updates": self.n_updates_}

    def resume(self, state):
        for average, stored in zip(self.average_, state["average"], strict=True):
            average.copy_(stored)
        self.n_updates_ = state["n_updates"]

    def on_train_end(self, net, **kwargs):
        self._swap()
        del self.parameters_, self.average_


class Validation(Callback):
    """Judge every member on rows that it kept, and restore the weights of its best epoch.

    The ``parts()`` of the dataset give batches, each with its share of the rows; the training
    stops when no member has improved for `patience` epochs.
    """

    _state = ("best_loss_", "best_epoch_", "best_weights_")
    best_loss_: Any
    best_epoch_: Any
    best_weights_: Any

    def __init__(self, dataset, patience):
        self.dataset = dataset
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        self.best_loss_ = self.best_epoch_ = self.best_weights_ = None

    @torch.no_grad()
    def on_epoch_end(self, net, **kwargs):
        net.module_.eval()
        with net.averaged():
            losses, measured = [], []
            for share, (x, target) in self.dataset.parts():
                output = net.module_(x)
                losses.append(share * net.criterion_(output, target).reshape(-1))
                if hasattr(net.criterion_, "measure"):
                    measured.append(net.criterion_.measure(output, target))
            loss = torch.stack(losses).sum(0)
            self._remember(net, loss.detach())
        mean, earlier = loss.mean().item(), net.history[:-1]
        net.history.record("valid_loss", mean)
        net.history.record("valid_loss_best", all(mean < e["valid_loss"] for e in earlier))
        for name in measured[0] if measured else ():
            total, count = map(sum, zip(*(m[name] for m in measured), strict=True))
            if count:
                net.history.record(f"valid_{name}", float(total / count))
        if net.n_members > 1:
            net.history.record("member_valid_loss", loss.tolist())
        waited = len(net.history) - self.best_epoch_
        if self.patience and waited.min() >= self.patience:
            raise KeyboardInterrupt  # skorch's signal for an early end

    def _remember(self, net, loss):
        weights = dict(net.module_.named_parameters())
        epoch = torch.full_like(loss, len(net.history))
        if self.best_weights_ is None:
            self.best_loss_, self.best_epoch_ = loss.clone(), epoch
            self.best_weights_ = {name: w.detach().clone() for name, w in weights.items()}
            return
        better = loss < self.best_loss_
        self.best_loss_ = torch.where(better, loss, self.best_loss_)
        self.best_epoch_ = torch.where(better, epoch, self.best_epoch_)
        for name, best in self.best_weights_.items():
            old, new = _rows(best, len(loss)), _rows(weights[name].detach(), len(loss))
            old.copy_(torch.where(better.unsqueeze(1), new, old))

    def state(self):
        return {name: getattr(self, name) for name in self._state}

    def resume(self, state):
        for name in self._state:
            setattr(self, name, state[name])

    def on_train_end(self, net, **kwargs):
        if self.best_weights_ is not None:
            for name, parameter in net.module_.named_parameters():
                parameter.data = self.best_weights_[name].clone()
        self.best_weights_ = self.dataset = None


class DivergenceGuard(Callback):
    """Stop with an explanation when a loss or a weight is no longer a number."""

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1]["train_loss"]
        if not math.isfinite(loss):
            self._stop(net, f"training loss became {loss}")

    def on_train_end(self, net, **kwargs):
        """Look at what the last step left, which no loss has seen."""
        if not all(p.isfinite().all() for p in net.module_.parameters()):
            self._stop(net, "weights became infinite or no numbers")

    @staticmethod
    def _stop(net, what):
        raise FloatingPointError(
            f"The {what} in epoch {len(net.history)}. A smaller learning_rate or "
            "training__max_grad_norm usually cures this."
        )


def n_in_turn(estimator, net):
    """Trainings of a fit, one after the other, of which `net` is one; a stack is the only one."""
    return getattr(estimator, "n_trainings", 1) // net.n_members or 1


class DurationWarning(Callback):
    """Say what all trainings of a fit will take, as soon as the first epochs tell."""

    # Seconds; of a short first epoch, most goes into starting up.
    longest, start_up = 600, 30

    def __init__(self, estimator):
        self.estimator = estimator

    def on_epoch_end(self, net, **kwargs):
        seconds, done = net.history[-1]["dur"], len(net.history)
        n_trainings = n_in_turn(self.estimator, net)
        expected = seconds * net.max_epochs * n_trainings
        if expected > self.longest and done == 1 + (net.history[0]["dur"] < self.start_up):
            one_of = f" of {n_trainings} networks" if n_trainings > 1 else ""
            warnings.warn(
                f"{net.description}: training will take some {expected / 60:.0f} minutes "
                f"({net.max_epochs} epochs{one_of}, {seconds:.3g} s each). Fewer n_members or "
                "max_epochs take less; with checkpoint= a stopped training can go on later.",
                stacklevel=2,
            )


class ProgressBar(Callback):
    """One bar over the epochs of a fit."""

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=net.max_epochs, unit="epoch", desc=net.description)

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        shown = {k: f"{last[k]:.4f}" for k in ("train_loss", "valid_loss") if k in last}
        for name in last:
            if "_meV_per_" in name:
                words = name.removeprefix("valid_").replace("_per_", "/").replace("_", " ")
                shown[words] = f"{last[name]:.4g}"
        self.bar_.set_postfix(shown, refresh=False)
        self.bar_.update(len(net.history) - self.bar_.n)

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        del self.bar_

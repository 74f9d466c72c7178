"""skorch callbacks that treat every member of a batched ensemble on its own."""

from contextlib import contextmanager

import torch
from skorch.callbacks import Callback
from tqdm.auto import tqdm


def _as_column(per_member, like):
    return per_member.view(-1, *[1] * (like.dim() - 1))


class DropoutSeeds(Callback):
    """Start dropout streams anew at every epoch, so that a run can resume."""

    def on_epoch_begin(self, net, **kwargs):
        """Seed by the epoch's number."""
        net.module_.seed_dropout(len(net.history))


class MemberGradientClipping(Callback):
    """Limit the norm of each member's gradient.

    Parameters
    ----------
    max_norm : float
        Largest norm allowed.
    """

    def __init__(self, max_norm):
        self.max_norm = max_norm

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Scale down the gradients of members above the limit."""
        gradients = [p.grad for _, p in named_parameters if p.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (self.max_norm / norms.clamp_min(1e-12)).clamp_max(1.0)
        for gradient in gradients:
            gradient.mul_(_as_column(scale, gradient))


class WeightAveraging(Callback):
    """Keep an average of the weights along training and use it for validation and prediction.

    Parameters
    ----------
    kind : {"ema", "swa"}
        Exponential moving average over steps, or plain average over the epochs after `start`.
    decay : float
        Decay of the moving average; it warms up as (1 + t) / (10 + t).
    start : int
        First epoch of the plain average.
    """

    def __init__(self, kind, *, decay, start):
        self.kind = kind
        self.decay = decay
        self.start = start

    def on_train_begin(self, net, **kwargs):
        """Start from the initial weights."""
        self.parameters_ = list(net.module_.parameters())
        self.average_ = [p.detach().clone() for p in self.parameters_]
        self.n_updates_ = 0

    def _update(self, weight):
        torch._foreach_lerp_(self.average_, [p.detach() for p in self.parameters_], weight)
        self.n_updates_ += 1

    def on_batch_end(self, net, training=False, **kwargs):
        """Move the exponential average."""
        if self.kind == "ema" and training:
            decay = min(self.decay, (1 + self.n_updates_) / (10 + self.n_updates_))
            self._update(1 - decay)

    def on_epoch_end(self, net, **kwargs):
        """Add an epoch to the plain average."""
        if self.kind == "swa" and len(net.history) > self.start:
            self._update(1 / (self.n_updates_ + 1))

    def keep_members(self, members):
        """Forget the averages of all other members."""
        self.average_ = [average[members] for average in self.average_]

    @contextmanager
    def averaged(self):
        """Put the averaged weights into the module for a while."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self):
        """Exchange current and averaged weights, if there is an average and training goes on."""
        if self.n_updates_ and hasattr(self, "average_"):
            for parameter, average in zip(self.parameters_, self.average_, strict=True):
                parameter.data, average.data = average.data, parameter.data

    def on_train_end(self, net, **kwargs):
        """Leave the averaged weights in the module."""
        self.swap()
        del self.parameters_, self.average_


class MemberValidation(Callback):
    """Judge every member on the rows it kept and restore its best epoch.

    Parameters
    ----------
    patience : int or None
        Stop when no member has improved for so many epochs.
    """

    def __init__(self, patience):
        self.patience = patience

    def on_train_begin(self, net, X=None, **kwargs):
        """Collect the rows kept by each member."""
        self.batch_ = X.validation_batch()
        self.best_loss_ = None

    def on_epoch_end(self, net, **kwargs):
        """Validate, remember the best weights, and stop when patience is over."""
        x, target = self.batch_
        net.module_.eval()
        with torch.inference_mode(), net.averaged():
            loss = net.criterion_(net.infer(x), target).clone()
            state = {n: p.detach().clone() for n, p in net.module_.named_parameters()}
        epoch = torch.full_like(loss, len(net.history))
        if self.best_loss_ is None:
            self.best_loss_, self.best_epoch_, self.best_state_ = loss, epoch, state
        else:
            better = loss < self.best_loss_
            self.best_loss_ = torch.where(better, loss, self.best_loss_)
            self.best_epoch_ = torch.where(better, epoch, self.best_epoch_)
            for name, best in self.best_state_.items():
                self.best_state_[name] = torch.where(_as_column(better, best), state[name], best)
        net.history.record("valid_loss", loss.mean().item())
        net.history.record("member_valid_loss", loss.tolist())
        if self.patience and (epoch - self.best_epoch_).min() >= self.patience:
            raise KeyboardInterrupt  # skorch's signal for an early end

    def keep_members(self, members):
        """Forget the rows and the best weights of all other members."""
        x, (target, weight) = self.batch_
        self.batch_ = x[members], (target[members], weight[members])
        if self.best_loss_ is not None:
            self.best_loss_, self.best_epoch_ = self.best_loss_[members], self.best_epoch_[members]
            self.best_state_ = {n: best[members] for n, best in self.best_state_.items()}

    def on_train_end(self, net, **kwargs):
        """Put each member's best weights into the module."""
        if self.best_loss_ is not None:
            parameters = dict(net.module_.named_parameters())
            for name, best in self.best_state_.items():
                parameters[name].data = best.clone()
            del self.best_state_
        del self.batch_


class DivergenceGuard(Callback):
    """Stop with an explanation when a loss or a weight is no longer a number."""

    def on_epoch_end(self, net, **kwargs):
        """Look at the epoch's loss."""
        loss = net.history[-1]["train_loss"]
        if not torch.isfinite(torch.tensor(loss)):
            self._stop(net, f"training loss became {loss}")

    def on_train_end(self, net, **kwargs):
        """Look at what the last step left, which no loss has seen."""
        self.check_weights(net)

    def check_weights(self, net):
        """Stop where a weight is no longer a number."""
        if not all(p.isfinite().all() for p in net.module_.parameters()):
            self._stop(net, "weights became infinite or no numbers")

    @staticmethod
    def _stop(net, what):
        raise FloatingPointError(
            f"The {what} in epoch {len(net.history)}. A smaller "
            "learning_rate or max_grad_norm usually cures this."
        )


class ProgressBar(Callback):
    """One bar over the epochs of a fit."""

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        self.bar_ = tqdm(total=net.max_epochs, unit="epoch", desc=net.description)

    def on_epoch_end(self, net, **kwargs):
        """Advance the bar."""
        last = net.history[-1]
        shown = {k: f"{last[k]:.4f}" for k in ("train_loss", "valid_loss") if k in last}
        self.bar_.set_postfix(shown, refresh=False)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Close the bar; it is not part of the fitted estimator."""
        self.bar_.close()
        del self.bar_

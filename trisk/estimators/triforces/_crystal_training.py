"""skorch trains one network on crystals, with averaging, validation and bit-exact resumption."""

import copy
import math

import torch
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring

from trisk.estimators import _callbacks
from trisk.estimators._checkpoint import Checkpoint, fingerprint
from trisk.estimators._training import MemberNet
from trisk.estimators.triforces._crystal_batches import CrystalBatches

# Part of a gradual fine-tuning in which the streams keep their weights.
_FROZEN_SHARE = 0.25
# Rate of pre-trained weights on few structures, and the structures from which it is the whole.
_SLOWEST_RATE, _MANY_STRUCTURES = 0.03, 1000


class CrystalNet(MemberNet):
    """A skorch net for one network on crystals.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`trisk.estimators._training.MemberNet`.
    seed : int
        Seed of the order of batches and of dropout.
    weight_decay : float
        Decoupled weight decay of matrices.
    """

    def __init__(self, *args, seed=0, weight_decay=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.seed = seed
        self.weight_decay = weight_decay
        self.pretrained_: frozenset[str] = frozenset()

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("divergence", _callbacks.DivergenceGuard()),
        ]

    def infer(self, x, **fit_params):
        """Apply the module to a batch, which is on the device already."""
        return self.module_(x, **fit_params)

    def train_step_single(self, batch, **fit_params):
        """Differentiate the loss of one batch."""
        self._set_training(True)
        x, target = batch
        output = self.infer(x, **fit_params)
        loss = self.criterion_(output, target)
        loss.backward()
        return {"loss": loss.detach(), "y_pred": output}

    def member_module(self, members):
        """Copy the network, which is one member, with averaged weights where there are some."""
        with self.averaged():
            return copy.deepcopy(self.module_).double().eval()

    def get_iterator(self, dataset, training=False):
        """Shuffled batches that go on where an earlier training ended."""
        return CrystalBatches(dataset, self.batch_size, self.seed, len(self.history))

    def initialize_optimizer(self, *args, **kwargs):
        """Groups of parameters by what they belong to, where they come from and their decay."""
        groups: dict[tuple[str, bool, bool], list] = {}
        for name, parameter in self.module_.named_parameters():
            part = "encoder" if name.startswith("encoder.") else "head"
            key = (part, name in self.pretrained_, parameter.dim() > 1)
            groups.setdefault(key, []).append(parameter)
        self.optimizer_ = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "part": part,
                    "pretrained": pretrained,
                    "weight_decay": self.weight_decay if decays else 0.0,
                }
                for (part, pretrained, decays), parameters in groups.items()
            ],
            lr=self.lr,
            betas=(0.9, 0.99),
            # One kernel for all of a parameter's arithmetic, where PyTorch has one.
            fused=True,
        )
        return self

    def slow_down(self, pretrained):
        """Train some parameters at a rate of their own.

        Parameters
        ----------
        pretrained : set of str
            Names of those that were trained before.
        """
        self.pretrained_ = frozenset(pretrained)
        self.initialize_optimizer()

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Seed dropout by the epoch and the batch, so that runs can resume."""
        super().on_batch_begin(net, batch=batch, training=training, **kwargs)
        index = len(self.history[-1, "batches"])
        torch.manual_seed(self.seed + 1_000_003 * len(self.history) + index)


class LearningRate(Callback):
    """Warm-up over a twentieth of the training, then a cosine to zero.

    Parameters
    ----------
    n_epochs : int
        Epochs of the whole training.
    frozen : float, default=0.0
        Share of the training in which the streams keep their weights.
    pretrained_rate : float, default=1.0
        Factor on the rate of parameters that were trained before.
    """

    def __init__(self, n_epochs, frozen=0.0, pretrained_rate=1.0):
        self.n_epochs = n_epochs
        self.frozen = frozen
        self.pretrained_rate = pretrained_rate

    def _factor(self, progress, start):
        """Warm-up and cosine between `start` and one."""
        progress = (progress - start) / (1 - start)
        if progress < 0:
            return 0.0
        warm_up = min(1.0, progress / 0.05 + 0.02)
        return warm_up * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def on_train_begin(self, net, X=None, **kwargs):
        """Count the batches of an epoch."""
        self.n_batches_ = -(-len(X) // net.batch_size)

    def on_batch_begin(self, net, training=False, **kwargs):
        """Set the rate of each group of parameters."""
        epoch, index = len(net.history) - 1, len(net.history[-1, "batches"]) - 1
        progress = (epoch + index / self.n_batches_) / self.n_epochs
        for group in net.optimizer_.param_groups:
            start = self.frozen if group["part"] == "encoder" else 0.0
            rate = net.lr * (self.pretrained_rate if group["pretrained"] else 1.0)
            group["lr"] = rate * self._factor(progress, start)


class GradientClipping(Callback):
    """Limit the norm of the gradient.

    Parameters
    ----------
    max_norm : float
        Largest norm allowed.
    """

    def __init__(self, max_norm):
        self.max_norm = max_norm

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Scale down a gradient above the limit."""
        torch.nn.utils.clip_grad_norm_([p for _, p in named_parameters], self.max_norm)


class Validation(Callback):
    """Judge the averaged weights on kept structures and restore those of the best epoch.

    Parameters
    ----------
    dataset : CrystalDataset
        Structures that training does not see.
    patience : int or None
        Stop after so many epochs without improvement.
    """

    def __init__(self, dataset, patience):
        self.dataset = dataset
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        """Nothing is best yet."""
        self.best_loss_, self.best_epoch_, self.best_weights_ = math.inf, 0, None

    def on_epoch_end(self, net, **kwargs):
        """Validate, remember the best weights, and stop when patience is over."""
        net.module_.eval()
        total = 0.0
        with torch.no_grad(), net.averaged():
            for x, target in CrystalBatches(self.dataset, 4 * net.batch_size, 0, 0):
                loss = net.criterion_(net.module_(x), target)
                total += float(loss) * len(x) / len(self.dataset)
            if total < self.best_loss_:
                self.best_loss_, self.best_epoch_ = total, len(net.history)
                weights = net.module_.named_parameters()
                self.best_weights_ = {n: p.detach().clone() for n, p in weights}
        net.history.record("valid_loss", total)
        if self.patience and len(net.history) - self.best_epoch_ >= self.patience:
            raise KeyboardInterrupt  # skorch's signal for an early end

    def on_train_end(self, net, **kwargs):
        """Put the best weights into the module."""
        if self.best_weights_ is not None:
            for name, parameter in net.module_.named_parameters():
                parameter.data = self.best_weights_[name].clone()
        self.best_weights_ = self.dataset = None


def train_crystals(
    settings,
    data,
    build,
    module_params,
    criterion,
    *,
    seed,
    checkpoint,
    start=None,
    net_class=CrystalNet,
    processes=None,
):
    """Train one network.

    Parameters
    ----------
    settings : estimator
        Gives the parameters of optimisation.
    data : tuple of (CrystalDataset, CrystalDataset or None)
        Structures to train on, and structures to validate on.
    build : callable
        Makes the network from `module_params`.
    module_params : dict
        Plain values.
    criterion : tuple of (type, dict)
        Loss of (output, targets) and its parameters.
    seed : int
        Seed of initial weights, order and dropout.
    checkpoint : path-like or None
        File from which to resume, and to which to write after every epoch.
    start : callable, default=None
        Called with the fresh net, whose weights it may change.
    net_class : type, default=CrystalNet
        Class of the net.
    processes : accelerate.Accelerator, default=None
        Processes among which every batch is shared, if there are several; the batch size is that
        of each. The class of the net must know them.

    Returns
    -------
    CrystalNet
        Trained net whose module is in double precision.
    """
    dataset, validation = data
    batch_size, max_epochs = settings._schedule.resolve(settings, len(dataset))
    is_main, of_net = processes is None or processes.is_main_process, {}
    if processes is not None:
        batch_size *= processes.num_processes
        of_net = {"processes": processes}
    frozen = _FROZEN_SHARE if getattr(settings, "fine_tune", "full") == "gradual" else 0.0
    rate = _pretrained_rate(settings, len(dataset))
    callbacks = [("learning_rate", LearningRate(max_epochs, frozen, rate))]
    averaging = judge = None
    if settings.max_grad_norm is not None:
        callbacks.append(("gradient_clipping", GradientClipping(settings.max_grad_norm)))
    if settings.ema_decay > 0:
        averaging = _callbacks.WeightAveraging("ema", decay=settings.ema_decay, start=0)
        callbacks.append(("averaging", averaging))
    if validation is not None:
        judge = Validation(validation, settings.patience)
        callbacks.append(("validation", judge))
    if settings.verbose and is_main:
        callbacks.append(("progress", _callbacks.ProgressBar()))
    callbacks.extend(settings.callbacks or ())
    n_done = 0
    if checkpoint is not None:
        writer = Checkpoint(
            checkpoint,
            fingerprint(settings, dataset, validation, module_params, seed),
            averaging,
            judge,
            writes=is_main,
        )
        n_done = writer.n_epochs_done
        callbacks.append(("checkpoint", writer))
    loss, loss_params = criterion
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = net_class(
            build,
            criterion=loss,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            batch_size=batch_size,
            max_epochs=max_epochs,
            train_split=None,
            callbacks=callbacks,
            device=dataset.device,
            verbose=0,
            seed=seed,
            description=type(settings).__name__,
            **of_net,
            **{f"module__{k}": v for k, v in module_params.items()},
            **{f"criterion__{k}": v for k, v in loss_params.items()},
        ).initialize()
        if start is not None:
            start(net)
        net.partial_fit(dataset, None, epochs=max_epochs - n_done)
    net.module_.double().eval()
    # Moments of the optimiser are twice the size of the model and serve no prediction.
    net.optimizer_ = None
    return net


def _pretrained_rate(settings, n_structures):
    """Rate of weights that were trained before, as a part of the learning rate."""
    rate = getattr(settings, "pretrained_rate", 1.0)
    if rate == "auto":
        rate = min(max((n_structures / _MANY_STRUCTURES) ** 1.5, _SLOWEST_RATE), 1.0)
    return rate

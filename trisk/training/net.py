"""One skorch net for all networks, and the function that trains with it."""

import copy
import signal
import threading
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
)

from trisk.training import callbacks as _callbacks
from trisk.training.checkpoint import Checkpoint, fingerprint
from trisk.training.datasets import prefetched

# Free memory in bytes, below which a GPU is left to others.
_LEAST_MEMORY = 2**28
# torch's initialisation functions draw from the process's generator: one network at a time.
_INITIALISATION = threading.Lock()


class Net(NeuralNet):
    """A skorch net for one network or a stack of them, whose losses are one per member.

    Batches come from the dataset's ``batches(batch_size, epoch)``, so that an epoch depends on
    its number and the seed only. The criterion takes the module's output and the targets of a
    batch. `description` is what the progress bar is called, `beta2` is AdamW's, and `rates` gives
    for the name of a parameter the factor on its learning rate and the share of the training that
    it waits; with `mixed_precision`, matrices are multiplied in bfloat16.
    """

    optimizer_: Any

    def __init__(
        self,
        module,
        criterion=None,
        *,
        description="fit",
        weight_decay=0.0,
        beta2=0.99,
        rates=None,
        mixed_precision=False,
        **kwargs,
    ):
        super().__init__(module, criterion, **kwargs)
        self.description = description
        self.weight_decay = weight_decay
        self.beta2 = beta2
        self.rates = rates
        self.mixed_precision = mixed_precision

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("divergence", _callbacks.DivergenceGuard()),
        ]

    @property
    def n_members(self):
        return getattr(self.module_, "n_members", 1)

    def initialize_callbacks(self):
        """Refuse callbacks of skorch that could only fail or do nothing; say what does it."""
        super().initialize_callbacks()
        validates = "validation" in dict(self.callbacks_)
        for _, callback in self.callbacks_:
            name, monitor = type(callback).__name__, str(getattr(callback, "monitor", ""))
            if isinstance(callback, LRScheduler):
                raise ValueError(
                    f"{name} has no effect: training__schedule sets the learning rate."
                )
            if isinstance(callback, EpochScoring | BatchScoring) and (
                callback.use_caching or not callback.on_train or not callable(callback.scoring)
            ):
                raise ValueError(
                    f"{name} finds no predictions here that it could score. Set "
                    "training__validation_fraction, which records valid_loss in net_.history, or "
                    "score fitted estimators with trisk.cross_validate. Only a function of net, "
                    "data and None is recorded, with on_train=True and use_caching=False."
                )
            if monitor.startswith("valid_loss") and not validates:
                raise ValueError(
                    f"{name} monitors {monitor}, but no rows are kept for validation. Set "
                    "training__validation_fraction, which an estimator with a target has, or "
                    f'monitor="{monitor.replace("valid", "train")}".'
                )
        return self

    def save_params(self, *args, **kwargs):
        """Write the weights that validate and predict, where they are an average."""
        with self.averaged():
            super().save_params(*args, **kwargs)

    def initialize_optimizer(self, *args, **kwargs):
        """Group parameters by their decay, their rate, and how long they wait."""
        groups: dict[tuple, list] = {}
        least = 2 + getattr(self.module_, "n_stacked", 0)
        for name, parameter in self.module_.named_parameters():
            kind = name.rpartition(".")[2]
            is_plain = kind in ("bias", "gain", "frequency", "phase")
            decays = parameter.dim() >= least and not is_plain
            rate, start = (1.0, 0.0) if self.rates is None else self.rates(name)
            groups.setdefault((decays, rate, start), []).append(parameter)
        self.optimizer_ = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "rate": rate,
                    "start": start,
                    "weight_decay": self.weight_decay if decays else 0.0,
                }
                for (decays, rate, start), parameters in groups.items()
            ],
            lr=self.lr,
            betas=(0.9, self.beta2),
            # One kernel for all of a parameter's arithmetic, where PyTorch has one.
            fused=True,
        )
        return self

    def get_iterator(self, dataset, training=False):
        """The dataset itself, which gives the batches of every epoch."""
        return dataset

    def on_epoch_begin(self, net, **kwargs):
        """Train, after a validation that did not."""
        super().on_epoch_begin(net, **kwargs)
        self.module_.train()

    def infer(self, x, **fit_params):
        """Apply the module to a batch, which is on the device already."""
        if not self.mixed_precision:
            return self.module_(x)
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16):
            output = self.module_(x)
        return _to_single(output)

    def train_step(self, batch, **fit_params):
        self.optimizer_.zero_grad()
        step = self.train_step_single(batch)
        parameters = list(self.module_.named_parameters())
        self.notify("on_grad_computed", named_parameters=parameters, batch=batch, training=True)
        self.optimizer_.step()
        return step

    def train_step_single(self, batch, **fit_params):
        """Differentiate the sum of the members' losses; report their mean."""
        x, target = batch
        losses = self.criterion_(self.infer(x), target)
        losses.sum().backward()
        return {"loss": losses.detach().mean(), "y_pred": None}

    def run_single_epoch(self, dataset, training, prefix, step_fn, **fit_params):
        """Train the epoch that comes next; numbers leave the device once, at its end."""
        if dataset is None:
            return
        recorded = []
        batches = dataset.batches(self.batch_size, len(self.history) - 1)
        for batch in prefetched(batches, dataset.device):
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch)
            recorded.append({f"{prefix}_loss": step["loss"], **step.pop("record", {})})
            self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        names = list(recorded[0])
        rows = torch.stack([torch.stack(list(r.values())) for r in recorded]).cpu().double()
        for batch, row in zip(self.history[-1]["batches"], rows.tolist(), strict=True):
            batch.update(zip(names, row, strict=True))
        self.history.record(f"{prefix}_batch_count", len(recorded))

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; one that ends an epoch with KeyboardInterrupt ends training."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            if method_name == "on_epoch_end" and not self.interrupted_:
                raise _EarlyEnd from None
            raise

    def train(self, dataset, epochs):
        """Train for so many epochs; tell an interruption by the user from an early end."""
        self.interrupted_ = False
        self.notify("on_train_begin", X=dataset, y=None)
        try:
            with self._noting_interrupts():
                self.fit_loop(dataset, epochs=epochs)
        except _EarlyEnd:
            pass
        except KeyboardInterrupt:
            self.interrupted_ = True
        except Exception:
            dict(self.callbacks_).get("progress", Callback()).on_train_end(self)
            raise
        self.notify("on_train_end", X=dataset, y=None)

    @contextmanager
    def _noting_interrupts(self):
        """Remember a Ctrl-C even where it arrives in a callback, which may raise the same."""
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(previous):
            yield
            return

        def note(number, frame):
            self.interrupted_ = True
            previous(number, frame)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def averaged(self):
        """Put averaged weights into the module for a while, if training goes on with averaging."""
        averaging = dict(self.callbacks_).get("averaging")
        return averaging.averaged() if averaging else nullcontext()

    def plain_history(self):
        """The epochs' records without batches, as plain numbers."""
        return [
            {
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in epoch.items()
                if name != "batches"
            }
            for epoch in self.history.to_list()
        ]

    def raise_if_interrupted(self):
        """Raise KeyboardInterrupt if a user stopped the training."""
        if self.interrupted_:
            raise KeyboardInterrupt(
                f"training stopped after {len(self.history)} of {self.max_epochs} epochs; "
                "the estimator is fitted with the weights reached so far"
            )


def _to_single(output):
    """The same output, a tensor or a dictionary of them, in single precision."""
    if isinstance(output, dict):
        return {name: _to_single(value) for name, value in output.items()}
    return output.float() if output is not None and output.is_floating_point() else output


class _EarlyEnd(Exception):  # noqa: N818 - a signal, not an error
    """A callback decided that training is over."""


def resolve_device(device):
    """Turn ``"auto"`` into CUDA where it has memory to spare; what is not here into the CPU."""
    if device == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        try:
            free = torch.cuda.mem_get_info()[0]
        except RuntimeError:  # no room for as much as a context
            free = 0
        if free < _LEAST_MEMORY:
            message = f"The GPU has {free / 2**20:.0f} MiB free; using the CPU."
            warnings.warn(f'{message} device="cuda" insists.', stacklevel=2)
            return "cpu"
        return "cuda"
    kind = torch.device(device).type
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": torch.xpu}.get(kind)
    if backend is not None and not backend.is_available():
        warnings.warn(f"There is no device {device!r} here; using the CPU.", stacklevel=2)
        return "cpu"
    return device


def _ready(module, device, precision):
    """A module for prediction: double precision on a CPU, single elsewhere, or what is asked."""
    kind = torch.device(device).type
    if precision == "double" and kind == "mps":
        raise ValueError('device="mps" has no double precision: set training__precision="single".')
    double = kind == "cpu" if precision == "auto" else precision == "double"
    return module.to(torch.float64 if double else torch.float32).eval()


@contextmanager
def drawing_from(seed):
    """Let torch's initialisation functions draw from a seed; the process's generator stays."""
    with _INITIALISATION, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def finished_net(module, history, device="cpu", precision="auto"):
    """A net for prediction, of a module and the history of its training."""
    net = Net(module, torch.nn.Identity(), callbacks="disable", device=device, verbose=0)
    net.initialize()
    net.optimizer_ = None
    _ready(net.module_, device, precision)
    net.history.extend(history)
    return net


def train(settings, module, criterion, dataset, *, processes=None, **details):
    """Train a network, or a stack of them, as the parameters of an estimator (`settings`) say.

    The further `details` are a dataset to validate on, the `seed`, which tells a checkpoint from
    others, the file of a `checkpoint`, `rates` as for :class:`Net`, further callbacks, and the
    class of the net. An :class:`accelerate.Accelerator` of several `processes` shares every batch
    among them; the batch size is that of each, and the class of the net must know them.

    Returns the trained net, whose module is ready for prediction. Where a device runs out of
    memory, the training starts anew with batches of half the size, once, and says so.
    """
    batch_size, max_epochs = settings._schedule.resolve(settings, dataset.n_rows)
    if processes is not None:
        batch_size *= processes.num_processes
    details |= {"max_epochs": max_epochs, "processes": processes}
    initial = copy.deepcopy(module.state_dict())
    sizes = [batch_size, batch_size // 2] if batch_size > 1 and processes is None else [batch_size]
    for attempt, size in enumerate(sizes):
        net, n_epochs = _make_net(settings, module, criterion, dataset, batch_size=size, **details)
        try:
            net.train(dataset, n_epochs)
            break
        except torch.OutOfMemoryError:
            if attempt + 1 == len(sizes):
                raise
            warnings.warn(
                f"{dataset.device} has too little memory for batches of {size}; training starts "
                f"anew with {sizes[1]}. batch_size={sizes[1]} saves the first try.",
                stacklevel=2,
            )
            module.load_state_dict(initial)
            if details.get("checkpoint") is not None:  # of batches that do not fit
                Path(details["checkpoint"]).unlink(missing_ok=True)
    _ready(net.module_, dataset.device, settings.options("training").precision)
    # Moments of the optimiser are twice the size of the model and serve no prediction.
    net.optimizer_ = None
    return net


def _make_net(
    settings,
    module,
    criterion,
    dataset,
    *,
    batch_size,
    max_epochs,
    processes,
    validation=None,
    seed=0,
    checkpoint=None,
    rates=None,
    callbacks=(),
    net_class=Net,
):
    """A net that is ready to train, and for how many epochs."""
    options = settings.options("training")
    is_main = processes is None or processes.is_main_process
    steps_per_epoch = dataset.n_batches(batch_size)
    parts: dict[str, Any] = {}
    writer, first = None, 0
    if checkpoint is not None:
        used = [d for d in (dataset, validation) if d is not None]
        digest = fingerprint(settings, used, seed, module)
        writer = Checkpoint(checkpoint, digest, max_epochs, parts, dataset.device, is_main)
        first = writer.first_epoch
    length = max_epochs - first
    start = 2 * length // 3 if options.averaging == "swa" else None
    rate = _callbacks.LearningRate(
        options.schedule, length * steps_per_epoch, steps_per_epoch, start, first
    )
    if options.averaging is not None:
        decay = options.ema_decay
        start = None if start is None else first + start
        parts["averaging"] = _callbacks.WeightAveraging(options.averaging, decay=decay, start=start)
    if options.patience and validation is None and not options.validation_fraction:
        raise ValueError(
            "training__patience needs rows to watch: set training__validation_fraction."
        )
    if validation is not None:
        parts["validation"] = _callbacks.Validation(validation, options.patience)
    own = [("learning_rate", rate), ("dropout_seeds", _callbacks.DropoutSeeds())]
    own.append(("duration", _callbacks.DurationWarning(settings)))
    if options.max_grad_norm is not None:
        own.append(("gradient_clipping", _callbacks.GradientClipping(options.max_grad_norm)))
    own.extend(parts.items())
    if settings.verbose and is_main:
        own.append(("progress", _callbacks.ProgressBar()))
    own.extend([*(settings.callbacks or ()), *callbacks])
    n_done = 0
    if writer is not None:
        n_done = writer.n_epochs_done
        own.append(("checkpoint", writer))
    net = net_class(
        module,
        criterion,
        lr=settings.learning_rate,
        weight_decay=options.weight_decay,
        beta2=options.beta2,
        rates=rates,
        # A CPU multiplies bfloat16 no faster.
        mixed_precision=options.mixed_precision and torch.device(dataset.device).type != "cpu",
        batch_size=batch_size,
        max_epochs=max_epochs,
        train_split=None,
        callbacks=own,
        device=dataset.device,
        verbose=is_main,  # of what a user adds; trisk's own callbacks print nothing
        description=type(settings).__name__,
    ).initialize()
    return net, max_epochs - n_done

"""skorch trains the members of one or more estimators as a single batched network."""

import copy
import signal
import threading
import warnings
from contextlib import contextmanager, nullcontext

import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, LRScheduler, PassthroughScoring
from torch.optim.lr_scheduler import LambdaLR

from trisk.estimators import _callbacks
from trisk.estimators._allocation import AllocationLimit, check_repetitions
from trisk.estimators._optimisation import LearningRateFactor, optimizer_params
from trisk.nn import DeepSupervisionLoss, keep_members, select_members


class MemberNet(NeuralNet):
    """A skorch net whose module is a stack of members.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`skorch.NeuralNet`.
    description : str
        What the progress bar is called.
    """

    def __init__(self, *args, description="fit", **kwargs):
        super().__init__(*args, **kwargs)
        self.description = description

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("dropout_seeds", _callbacks.DropoutSeeds()),
            ("divergence", _callbacks.DivergenceGuard()),
        ]

    def train_step_single(self, batch, **fit_params):
        """Differentiate the sum of the members' losses; report their mean."""
        self._set_training(True)
        x, target = batch
        output = self.infer(x, **fit_params)
        losses = self.get_loss(output, target, X=x, training=True)
        losses.sum().backward()
        return {"loss": losses.detach().mean(), "y_pred": output}

    def with_members(self, members, own=None):
        """Copy this net without its module and give it one for some of the members.

        Parameters
        ----------
        members : slice
            Which members.
        own : dict, default=None
            Parameters of the net in which these members differ from others; none if None.

        Returns
        -------
        net : MemberNet
            Same history and settings; the module holds the weights of these members, in double
            precision.
        """
        # skorch would write the module of all members, once for each share of them.
        whole = self.__dict__.pop("module_")
        try:
            part = copy.deepcopy(self)
        finally:
            self.__dict__["module_"] = whole
        part.__dict__.pop("optimizer__n_members", None)
        part.__dict__.update({"module__seeds": self.module__seeds[members], **(own or {})})
        part.initialize_criterion()
        part.module_ = self.member_module(members)
        return part

    def member_module(self, members):
        """Copy the network of some of the members.

        Parameters
        ----------
        members : slice
            Which members.

        Returns
        -------
        module : Module
            Their weights, averaged if training goes on with averaging, in double precision.
        """
        parameters = self.get_params_for("module")
        module = self.module(**{name: _cut(value, members) for name, value in parameters.items()})
        with self.averaged():
            module.load_state_dict(select_members(self.module_.state_dict(), members))
        return module.to(self.device).double().eval()

    def keep_members(self, dataset, members, parts):
        """Go on training with some of the members only.

        Parameters
        ----------
        dataset : MemberDataset
            What the net trains on.
        members : list of int
            Positions of the members that stay, ascending.
        parts : list of int
            The same for the parts that its optimiser tells apart.
        """
        for name in [n for n in vars(self) if n.startswith(("module__", "criterion__"))]:
            value = getattr(self, name)
            if isinstance(value, list):
                setattr(self, name, [value[member] for member in members])
        keep_members(self.module_, members)
        self.optimizer_.keep_parts(parts)
        for holder in (self.criterion_, dataset, *dict(self.callbacks_).values()):
            if hasattr(holder, "keep_members"):
                holder.keep_members(members)

    def averaged(self):
        """Put averaged weights into the module for a while, if training goes on with averaging.

        Returns
        -------
        context : context manager
            Puts the current weights back at its end.
        """
        averaging = dict(self.callbacks_).get("averaging")
        return averaging.averaged() if averaging else nullcontext()

    def portable_state(self):
        """Module parameters, weights and epoch history as plain values and arrays."""
        history = [
            {k: v for k, v in epoch.items() if k != "batches"} for epoch in self.history.to_list()
        ]
        weights = {k: v.float().cpu().numpy() for k, v in self.module_.state_dict().items()}
        return {"module": self.get_params_for("module"), "weights": weights, "history": history}

    def fit_loop(self, X, y=None, epochs=None, **kwargs):
        """Train; tell an interruption by the user from an early end."""
        self.interrupted_ = False
        try:
            with self._noting_interrupts():
                return super().fit_loop(X, y, epochs, **kwargs)
        except _EarlyEnd:
            return self
        except KeyboardInterrupt:
            self.interrupted_ = True
            return self

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

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; one that ends an epoch with KeyboardInterrupt ends training."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            if method_name == "on_epoch_end" and not self.interrupted_:
                raise _EarlyEnd from None
            raise


def _cut(value, members):
    """Some members' share of a network's parameter; lists have one value per member."""
    return value[members] if isinstance(value, list) else value


class NetSnapshot:
    """As much of a net as predictions need.

    Parameters
    ----------
    module : Module
        Network in double precision.
    """

    def __init__(self, module):
        self.module_ = module


class _EarlyEnd(Exception):  # noqa: N818 - a signal, not an error
    """A callback decided that training is over."""


def resolve_device(device):
    """Turn ``"auto"`` into CUDA where it is available; without CUDA, CUDA into the CPU."""
    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if not has_cuda and torch.device(device).type == "cuda":
        warnings.warn(f"There is no device {device!r} here; using the CPU.", stacklevel=2)
        return "cpu"
    return device


def restore_net(net_class, module, state, device):
    """Rebuild a net for prediction from its portable state.

    Parameters
    ----------
    net_class : type
        :class:`MemberNet` or a class derived from it.
    module : type
        Network class.
    state : dict
        As :meth:`MemberNet.portable_state` gives it.
    device : str
        Torch device.

    Returns
    -------
    net : MemberNet
        Initialised net with the stored weights in double precision.
    """
    # A forged file may describe a network that never ends, or one that no machine can hold.
    check_repetitions(state["module"])
    net = net_class(
        module,
        criterion=DeepSupervisionLoss,
        criterion__kind="absolute_error",
        callbacks="disable",
        device=device,
        verbose=0,
        **{f"module__{k}": v for k, v in state["module"].items()},
    )
    sizes = [v.size for v in state["weights"].values()]
    own = state["module"].get("backbone", "builtin") == "builtin"
    with AllocationLimit(sizes, own=own):
        net.initialize()
    net.optimizer_ = None
    net.module_.load_state_dict({k: torch.from_numpy(v) for k, v in state["weights"].items()})
    net.module_.double().eval()
    net.history.extend(state["history"])
    return net


def train_members(
    settings, dataset, module, module_params, criterion_params, *, callbacks=(), optimizer=None
):
    """Train all members of a dataset as one network.

    Parameters
    ----------
    settings : estimator
        Gives the parameters of optimisation, the net's class and that of its batches.
    dataset : MemberDataset or GraphDataset
        Rows of all members.
    module : type
        Network class; takes ``seeds`` and `module_params`.
    module_params : dict
        Its other parameters.
    criterion_params : dict
        Parameters of :class:`trisk.nn.DeepSupervisionLoss`.
    callbacks : list of skorch callbacks, default=()
        Callbacks beside those that the settings ask for.
    optimizer : dict, default=None
        Rates of the optimiser as :func:`optimizer_params` gives them; those of `settings` for
        all members if None.

    Returns
    -------
    net : MemberNet
        Fitted net whose module is in double precision, so that a prediction does not depend on
        the batch it is made in.
    """
    n_rows = dataset.n_rows
    batch_size, max_epochs = settings._schedule.resolve(settings, n_rows)
    steps_per_epoch = -(-n_rows // min(batch_size, n_rows))
    start = (2 * max_epochs) // 3

    averaging, watching, callbacks = None, list(callbacks), []
    if settings.max_grad_norm is not None:
        clipping = _callbacks.MemberGradientClipping(settings.max_grad_norm)
        callbacks.append(("gradient_clipping", clipping))
    factor = LearningRateFactor(
        settings.schedule,
        max_epochs * steps_per_epoch,
        start * steps_per_epoch if settings.averaging == "swa" else None,
    )
    callbacks.append(
        ("schedule", LRScheduler(policy=LambdaLR, lr_lambda=factor, step_every="batch"))
    )
    if settings.averaging is not None:
        averaging = _callbacks.WeightAveraging(
            settings.averaging, decay=settings.ema_decay, start=start
        )
        callbacks.append(("averaging", averaging))
    if settings.validation_fraction > 0:
        validation = _callbacks.MemberValidation(settings.patience)
        callbacks.append(("validation", validation))
    if settings.verbose:
        callbacks.append(("progress", _callbacks.ProgressBar()))
    callbacks.extend([*(settings.callbacks or ()), *watching])

    net = settings._net_class(
        module,
        criterion=DeepSupervisionLoss,
        **(optimizer or optimizer_params([(settings, settings.n_members)])),
        optimizer__betas=(0.9, settings.beta2),
        # Gains, biases, frequencies and phases are not weights to decay.
        optimizer__param_groups=[
            (pattern, {"weight_decay": 0.0})
            for pattern in ("*bias", "*gain", "*frequency", "*phase")
        ],
        iterator_train=settings._batches_class,
        batch_size=batch_size,
        max_epochs=max_epochs,
        train_split=None,
        callbacks=callbacks,
        device=dataset.device,
        verbose=0,
        description=type(settings).__name__,
        module__seeds=dataset.seeds,
        **settings._net_params(),
        **{f"module__{k}": v for k, v in module_params.items()},
        **{f"criterion__{k}": v for k, v in criterion_params.items()},
    )
    net.fit(dataset, None)
    net.module_.double().eval()
    # Moments of the optimiser are twice the size of the model and serve no prediction.
    net.optimizer_ = None
    dict(net.callbacks_)["schedule"].lr_scheduler_ = None
    return net

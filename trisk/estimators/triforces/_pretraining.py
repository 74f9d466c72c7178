"""skorch trains streams on two views of every crystal."""

import os

import numpy as np
import torch
from skorch.callbacks import PassthroughScoring

from trisk.estimators._training import resolve_device
from trisk.estimators.graphs._batches import pack
from trisk.estimators.triforces._crystal_batches import CrystalDataset
from trisk.estimators.triforces._crystal_training import CrystalNet
from trisk.pretraining.crystals import OBJECTIVES, neighbor_estimate


class ViewDataset(CrystalDataset):
    """Crystals of which views are made.

    Parameters
    ----------
    graphs : CrystalGraphs
        Crystals; their bonds are not looked at.
    make_views : ViewMaker
        Makes them.
    device : torch.device or str, default="cpu"
        Where batches go.
    """

    def __init__(self, graphs, make_views, device="cpu"):
        super().__init__(graphs, {}, device=device)
        self.make_views = make_views

    def gather_views(self, rows, rng, part):
        """Views of a part of some structures and what they were made with, as tensors."""
        batch, targets = self.make_views(self.graphs.take(rows), rng, part)
        targets = {name: values.to(self.device) for name, values in targets.items()}
        return batch.to(self.device), targets

    @property
    def costs(self):
        """About what a structure costs: its atoms and, at a tenth, their neighbours."""
        neighbors = neighbor_estimate(self.graphs, self.make_views.cutoff)
        return self.graphs.counts("atom") * (1 + 0.1 * neighbors)


class ViewBatches:
    """One epoch of shuffled batches of views, which depend on seed, epoch and place only.

    Parameters
    ----------
    dataset : ViewDataset
        Training set.
    batch_size : int
        Structures in a batch, on average; each is there twice.
    seed : int
        Seed of the order and of the views.
    epoch : int
        Number of epochs that were served before.
    part : slice, default=slice(None)
        Structures of a batch that this process takes.
    """

    def __init__(self, dataset, batch_size, seed, epoch, part=slice(None)):
        self.dataset, self.part = dataset, part
        self.n_batches = -(-len(dataset) // batch_size)
        self.seed, self.epoch = seed, epoch

    def __iter__(self):
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.dataset))
        for index, rows in enumerate(pack(self.dataset.costs[order], self.n_batches)):
            rng = np.random.default_rng([self.seed, 2, epoch, index])
            yield self.dataset.gather_views(order[rows], rng, self.part)


class PretrainingNet(CrystalNet):
    """A skorch net that records every objective, and what each does to each stream.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`CrystalNet`.
    processes : accelerate.Accelerator or None, default=None
        Processes that share every batch, if there are several.
    """

    def __init__(self, *args, processes=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.processes = processes

    @property
    def _default_callbacks(self):
        return [
            *super()._default_callbacks,
            *((name, _RecordedMean(name)) for name in OBJECTIVES),
        ]

    def get_iterator(self, dataset, training=False):
        """Shuffled views that go on where an earlier training ended."""
        part = slice(None)
        if self.processes is not None:
            part = slice(self.processes.process_index, None, self.processes.num_processes)
        return ViewBatches(dataset, self.batch_size, self.seed, len(self.history), part)

    def train_step_single(self, batch, **fit_params):
        """Differentiate the weighted objectives of one batch."""
        self._set_training(True)
        views, targets = batch
        terms = self.criterion_.terms(self.infer(views), targets)
        if len(self.history[-1, "batches"]) == 1:
            self._record_gradients(terms)
        loss = self.criterion_.total(terms)
        loss.backward()
        parameters = [p for p in self.module_.parameters() if p.grad is not None]
        self._average([p.grad for p in parameters])
        for name, term in terms.items():
            self.history.record_batch(name, term.item())
        return {"loss": loss.detach(), "y_pred": None}

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Count the structures of all processes, by which an epoch's mean weighs its batches."""
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        if self.processes is not None:
            size = torch.tensor(len(batch[0]), device=self.processes.device)
            self.history.record_batch("train_batch_size", int(self.processes.reduce(size)))

    def _average(self, gradients):
        """Average gradients over processes, in place."""
        if self.processes is None:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat = self.processes.reduce(flat, reduction="mean")
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _record_gradients(self, terms):
        """Norm of the weighted gradient of every objective in every stream, once an epoch."""
        encoder = self.module_.encoder
        for stream in encoder.widths:
            parameters = [p for p in getattr(encoder, stream).parameters() if p.requires_grad]
            for name, term in terms.items():
                found = torch.autograd.grad(
                    self.criterion_.weights[name] * term,
                    parameters,
                    retain_graph=True,
                    allow_unused=True,
                )
                gradients = [g for g in found if g is not None]
                self._average(gradients)
                squares = [g.square().sum().item() for g in gradients]
                self.history.record(f"{name} gradient {stream}", float(np.sqrt(sum(squares))))


class _RecordedMean(PassthroughScoring):
    """Mean over an epoch of what batches recorded, if they did."""

    def __init__(self, name):
        super().__init__(name=name, on_train=True)

    def on_epoch_end(self, net, **kwargs):
        """Record the mean."""
        if self.name in net.history[-1, "batches"][0]:
            super().on_epoch_end(net, **kwargs)


def join_processes(device):
    """Join the processes that ``torchrun`` or ``accelerate launch`` started.

    Parameters
    ----------
    device : str
        Torch device; only its kind matters.

    Returns
    -------
    accelerate.Accelerator or None
        None if there is one process only.

    Raises
    ------
    ImportError
        If there are several, and Accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError(
            "Training in several processes needs Hugging Face's Accelerate: "
            "pip install 'trisk[accelerate]'"
        ) from error
    return Accelerator(cpu=torch.device(resolve_device(device)).type == "cpu")

"""Checkpoints of a training that can go on as if nothing had happened."""

import hashlib
import io
import os
import secrets
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback


class Checkpoint(Callback):
    """Write everything a training needs after every epoch, and go on from there.

    The file is replaced as a whole, so a crash leaves the last complete epoch. It holds tensors
    and plain values only and is read without executing anything.

    Parameters
    ----------
    path : path-like
        The file.
    fingerprint : str
        What makes this training different from all others.
    averaging : WeightAveraging or None
        Callback whose average belongs to the state.
    validation : Validation or None
        Callback whose best weights belong to the state.
    writes : bool, default=True
        Whether to write; of several processes that train together, one does.
    """

    def __init__(self, path, fingerprint, averaging, validation, writes=True):
        self.path = Path(path)
        self.writes = writes
        self.fingerprint = fingerprint
        self.averaging = averaging
        self.validation = validation
        self.state = self._read()

    def _read(self):
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            found = state["fingerprint"]
        except Exception as error:
            raise ValueError(
                f"{str(self.path)!r} is no checkpoint of trisk, or it is damaged. Delete it to "
                "train from the start."
            ) from error
        if found != self.fingerprint:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} belongs to a training with other data, "
                "parameters or random_state. Set an integer random_state to resume a training; "
                "to start a new one, delete the file or name another."
            )
        return state

    @property
    def n_epochs_done(self):
        """Epochs that the file has behind it."""
        return len(self.state["history"]) if self.state else 0

    def on_train_begin(self, net, **kwargs):
        """Take up the state of the file."""
        state, self.state = self.state, None
        if state is None:
            return
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history.extend(state["history"])
        if self.averaging is not None:
            for average, stored in zip(self.averaging.average_, state["average"], strict=True):
                average.copy_(stored)
            self.averaging.n_updates_ = state["n_updates"]
        if self.validation is not None:
            for name in ("best_loss_", "best_epoch_", "best_weights_"):
                setattr(self.validation, name, state[name])

    def on_epoch_end(self, net, **kwargs):
        """Write the state."""
        if not self.writes:
            return
        history = [
            {k: _plain(v) for k, v in epoch.items() if k != "batches"}
            for epoch in net.history.to_list()
        ]
        state = {
            "fingerprint": self.fingerprint,
            "history": history,
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
        }
        if self.averaging is not None:
            state["average"] = self.averaging.average_
            state["n_updates"] = self.averaging.n_updates_
        if self.validation is not None:
            for name in ("best_loss_", "best_epoch_", "best_weights_"):
                state[name] = getattr(self.validation, name)
        content = io.BytesIO()
        torch.save(state, content)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            # Not by torch itself, whose error on a full disk says nothing of the disk.
            with temporary.open("xb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _plain(value):
    """NumPy's scalars could not be read back without executing code."""
    return value.item() if isinstance(value, np.generic) else value


def fingerprint(settings, dataset, validation, module_params, seed):
    """Digest of everything that shapes a training.

    Parameters
    ----------
    settings : estimator
        Its parameters, apart from those that change no weight.
    dataset, validation : CrystalDataset
        Structures and targets; the second may be None.
    module_params : dict
        Parameters of the network.
    seed : int
        Seed of the training.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    ignored = ("verbose", "device", "checkpoint", "callbacks", "random_state", "pretrained")
    parameters = settings.get_params(deep=False)
    kept = {k: v for k, v in parameters.items() if k not in ignored}
    digest = hashlib.sha256(repr((type(settings).__name__, kept, module_params, seed)).encode())
    for part in (dataset, validation):
        if part is None:
            continue
        graphs = part.graphs
        arrays = [graphs.atomic_numbers, graphs.positions, graphs.lattices]
        arrays += [
            graphs.context,
            graphs.offsets["atom"],
            *part.of_structures.values(),
            *part.of_atoms.values(),
        ]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

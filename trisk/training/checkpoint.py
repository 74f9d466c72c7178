"""Checkpoints of a training that can go on as if nothing had happened."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from trisk._replace import replace_file

_DIGEST_SIZE = hashlib.sha256().digest_size
#: Parameters of estimators that change no weight, and the length, which may grow.
_LEFT_OUT = (
    "verbose", "device", "checkpoint", "callbacks", "random_state", "pretrained", "max_epochs",
)  # fmt: skip


class Checkpoint(Callback):
    """Write everything a training needs after every epoch, and go on from there.

    The file is replaced as a whole, so a crash leaves the last complete epoch. It begins with the
    checksum of the rest, which holds tensors and plain values only and is read without executing
    anything. The `fingerprint` makes this training different from all others but in its
    `max_epochs`: a finished one may go on, and its schedule begins anew at the `first_epoch`. The
    `parts` are callbacks, by name, whose state belongs to it. Of several processes one `writes`.
    """

    def __init__(self, path, fingerprint, max_epochs, parts, device, writes=True):
        self.path = Path(path)
        self.fingerprint = fingerprint
        self.max_epochs = max_epochs
        self.first_epoch = 0
        self.parts = parts
        self.device = device
        self.writes = writes
        self.state = self._read()

    def _read(self):
        if not self.path.exists():
            return None
        try:
            content = self.path.read_bytes()
            digest, payload = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("wrong checksum")
            stored = io.BytesIO(payload)
            state = torch.load(stored, weights_only=True, map_location=self.device)
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
        planned, done = state["max_epochs"], len(state["history"])
        if self.max_epochs < planned or done < planned < self.max_epochs:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is of a training of {planned} epochs, of which "
                f"{done} are done. Go on with max_epochs={planned}, and with more once it is done."
            )
        self.first_epoch = state["first_epoch"] if self.max_epochs == planned else done
        return state

    @property
    def n_epochs_done(self):
        return len(self.state["history"]) if self.state else 0

    def on_train_begin(self, net, **kwargs):
        state, self.state = self.state, None
        if state is None:
            return
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history.extend(state["history"])
        for name, part in self.parts.items():
            part.resume(state[name])

    def on_epoch_end(self, net, **kwargs):
        if not self.writes:
            return
        content = io.BytesIO()
        state = {
            "fingerprint": self.fingerprint,
            "max_epochs": self.max_epochs,
            "first_epoch": self.first_epoch,
            "history": net.plain_history(),
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
        }
        torch.save(state | {name: part.state() for name, part in self.parts.items()}, content)
        payload = content.getbuffer()
        # Not by torch itself, whose error on a full disk says nothing of the disk.
        replace_file(self.path, hashlib.sha256(payload).digest(), payload)


def fingerprint(settings, datasets, seed, module):
    """Digest of everything that shapes a training but its length: settings, rows and weights."""
    parameters = settings.get_params(deep=True)
    kept = {k: v for k, v in parameters.items() if k.split("__")[0] not in _LEFT_OUT}
    text = repr((type(settings).__name__, sorted(kept.items()), seed))
    text = re.sub(" at 0x[0-9a-fA-F]+", "", text)  # the weights tell what an object is
    digest = hashlib.sha256(text.encode())
    weights = [parameter.detach().cpu().numpy() for parameter in module.parameters()]
    for array in [*weights, *(array for dataset in datasets for array in dataset.arrays())]:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

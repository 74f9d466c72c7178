"""A pretended accelerator: operations run on shapes and devices alone.

A mix of tensors of the CPU and of the device raises there, and so does whatever makes the CPU wait
for numbers of the device: ``item``, ``nonzero``, boolean masks, ``unique``.
"""

from contextlib import contextmanager
from dataclasses import fields, replace

import torch
from torch._subclasses import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from trisk.nn.batch import _Tensors

_NAME = "fakegpu"
_registered = False


@contextmanager
def fake_device():
    """Yield the device; tensors that are made before must be moved by :func:`moved`."""
    global _registered
    if not _registered:
        _setup_privateuseone_for_python_backend(_NAME)
        _registered = True
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        yield FakeDevice(mode)


class FakeDevice:
    """Moves what was made in earnest."""

    def __init__(self, mode):
        self.mode = mode
        self.device = torch.device(f"{_NAME}:0")

    def tensor(self, value):
        """The tensor, on the device."""
        return self.mode.from_tensor(value).detach().to(self.device)

    def module(self, module):
        """The module with its parameters and buffers on the device, in place."""
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    moved = self.tensor(parameter)
                    part._parameters[name] = torch.nn.Parameter(moved, parameter.requires_grad)
            for name, buffer in part._buffers.items():
                part._buffers[name] = self.tensor(buffer)
        return module

    def batch(self, batch):
        """The batch of crystals on the device."""
        values = {field.name: getattr(batch, field.name) for field in fields(batch)}
        moved = {name: self.tensor(v) for name, v in values.items() if isinstance(v, torch.Tensor)}
        parts = {name: self.batch(v) for name, v in values.items() if isinstance(v, _Tensors)}
        return replace(batch, **moved, **parts)

"""A network built from a file may not be larger than the weights that the file holds."""

from math import prod

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Elements that building a network may take beside its weights: constants, indices.
_ALLOWANCE = 10_000_000
# MACE makes tables of symmetries with 10⁸ elements, whatever the size of its weights.
_ALLOWANCE_OF_OTHER_PACKAGES = 250_000_000
# Weights, their initial values and what these are made from.
_FACTOR = 20
# An operation on few elements counts as this many, so that endless layers end.
_SMALLEST = 100


class AllocationLimit(TorchDispatchMode):
    """Count the elements that operations make, and stop before there are too many.

    Parameters
    ----------
    n_stored : int
        Elements of the weights that the network is to hold.
    own : bool
        Whether all of it is ours.
    """

    def __init__(self, n_stored, *, own):
        super().__init__()
        self.left = _FACTOR * n_stored + (_ALLOWANCE if own else _ALLOWANCE_OF_OTHER_PACKAGES)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Look at the sizes asked for, then at what came out."""
        kwargs = kwargs or {}
        for value in (*args, *kwargs.values()):
            # Sizes of factories such as empty, and ends of ranges.
            if isinstance(value, list | tuple) and all(type(v) is int for v in value):
                self._check(abs(prod(value)))
            elif type(value) is int or type(value) is float:
                self._check(abs(value) if func.__name__.split(".")[0] in _RANGES else 0)
        result = func(*args, **kwargs)
        takes_memory = not (func.is_view or func._schema.is_mutable)
        for part in result if isinstance(result, list | tuple) else [result]:
            counts = takes_memory and isinstance(part, Tensor)
            self.left -= max(_SMALLEST, part.numel() if counts else 0)
        self._check(0)
        return result

    def _check(self, n_elements):
        if n_elements > self.left:
            raise ValueError("its parameters make a network far larger than its weights")


_RANGES = ("arange", "linspace", "logspace", "eye")

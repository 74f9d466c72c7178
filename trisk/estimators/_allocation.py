"""A network built from a file may be neither larger than its weights nor without an end."""

import threading
from math import prod

from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

# Elements that building a network may take beside its weights: constants, indices.
_ALLOWANCE = 10_000_000
# MACE makes tables of symmetries with 10⁸ elements, whatever the size of its weights.
_ALLOWANCE_OF_OTHER_PACKAGES = 250_000_000
# Weights, their initial values and what these are made from.
_FACTOR = 20
# An operation on few elements counts as this many, so that endless loops end.
_SMALLEST = 100
# Parameters that building a network may make beside its weights; far more are endless layers.
_PARAMETERS = 1000

#: Most times that a recursive network may use the same weights.
MOST_REPETITIONS = 1000


class AllocationLimit(TorchDispatchMode):
    """Count the elements and parameters that are made, and stop before there are too many.

    Parameters
    ----------
    sizes : list of int
        Elements of each of the weights that the network is to hold.
    own : bool
        Whether all of it is ours.
    """

    def __init__(self, sizes, *, own):
        super().__init__()
        self.left = _FACTOR * sum(sizes) + (_ALLOWANCE if own else _ALLOWANCE_OF_OTHER_PACKAGES)
        self.parameters_left = _FACTOR * len(sizes) + _PARAMETERS

    def __enter__(self):
        """Begin to count."""
        self._thread = threading.get_ident()
        self._hook = register_module_parameter_registration_hook(self._count_parameter)
        return super().__enter__()

    def __exit__(self, *exception):
        """Count no more."""
        self._hook.remove()
        return super().__exit__(*exception)

    def _count_parameter(self, module, name, parameter):
        # The hook is the process's; other threads may build networks of their own.
        self.parameters_left -= threading.get_ident() == self._thread
        if self.parameters_left < 0:
            raise ValueError(_TOO_LARGE)

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
            raise ValueError(_TOO_LARGE)


def check_repetitions(parameters):
    """Refuse a recursion that would keep a machine busy for ever.

    Parameters
    ----------
    parameters : dict
        Parameters of a network.

    Raises
    ------
    ValueError
        If the network repeats its weights more than :data:`MOST_REPETITIONS` times.
    """
    for name in ("n_steps", "max_cycles"):
        if parameters.get(name, 1) > MOST_REPETITIONS:
            raise ValueError(f"its {name} is {parameters[name]}, of at most {MOST_REPETITIONS}")


_TOO_LARGE = "its parameters make a network far larger than its weights"
_RANGES = ("arange", "linspace", "logspace", "eye")

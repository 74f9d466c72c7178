"""Universal potentials as backbones, with their own weights."""

import copy
import importlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from trisk.nn.backbones.packages import using
from trisk.nn.batch import N_ELEMENTS, CrystalBatch

#: Weights that come in a package: their name → the package, and its own name for them.
POTENTIALS = {
    "chgnet": ("chgnet", "0.3.0"),
    "chgnet-r2scan": ("chgnet", "r2scan"),
    "sevennet-0": ("sevenn", "7net-0"),
    "7net-l3i5": ("sevenn", "7net-l3i5"),
}
# Package → module and class here.
_CLASSES = {
    "chgnet": ("chgnet", "CHGNetPotential"),
    "mace": ("mace", "MACEPotential"),
    "orb_models": ("orb", "OrbPotential"),
    "sevenn": ("sevennet", "SevenNetPotential"),
}
# Largest number in the description of a network whose weights have no larger size.
_LARGEST = 1000


class Potential(nn.Module):
    """A universal potential with its weights: a Backbone, with a `readout` of energies or none.

    Holds a copy of the `network`, an object of the potential's package. The `description` is
    plain values from which the package makes such a network: with it, the potential is stored as
    these and arrays, without it, as the object, which pickle alone can. ``elements`` are the
    atomic numbers that it knows, ``index`` ``(119,)`` their places in its tables, or -1.
    """

    #: Name of the package, and of the extra of trisk that brings it.
    requires: ClassVar[tuple[str, str]]
    has_readout: ClassVar[bool] = False
    cutoff: float
    out_features: int
    index: Tensor

    def __init__(self, network: nn.Module, weights: str, description: dict | None = None):
        super().__init__()
        self.network = copy.deepcopy(network).to("cpu", torch.float32)
        self.weights = weights
        self.description = description
        self.elements = self._set_up()
        index = torch.full((N_ELEMENTS,), -1)
        index[self.elements] = torch.arange(len(self.elements))
        self.register_buffer("index", index, persistent=False)

    def _set_up(self) -> list[int]:
        """Set cutoff and width, freeze what nothing reads; elements in the order of tables."""
        raise NotImplementedError

    @classmethod
    def _load(cls, version: str) -> Any:
        """An object of the package that holds the network with these weights."""
        raise NotImplementedError

    @classmethod
    def _make(cls, description: dict) -> nn.Module:
        """A network with random weights."""
        raise NotImplementedError

    @classmethod
    def _describe(cls, source: Any) -> dict | None:
        """What `_make` needs, from the object that holds the network."""
        return None

    @classmethod
    def take(cls, source: Any, weights: str) -> "Potential":
        """Copy the network that an object of the package is or holds."""
        with using(*cls.requires):
            return cls(network_of(source), weights, cls._describe(source))

    def readout(self, scalars: Tensor, batch: CrystalBatch) -> Tensor:
        """Energies of atoms in eV, ``(n_atoms, 1)``, by layers that stay as they are."""
        raise NotImplementedError

    def pairs(self, batch: CrystalBatch) -> Tensor:
        """Places of the pairs within the cutoff."""
        lengths = batch.lengths.index_select(0, batch.real_pairs)
        return batch.real_pairs[lengths < self.cutoff]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(weights={self.weights!r}, cutoff={self.cutoff:g}, "
            f"out_features={self.out_features})"
        )

    def __deepcopy__(self, memo: dict) -> "Potential":
        twin = type(self).__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def __getstate__(self) -> dict:
        if self.description is None:
            return self.__dict__.copy()
        arrays = {name: value.cpu().numpy() for name, value in self.state_dict().items()}
        return {"weights": self.weights, "description": self.description, "arrays": arrays}

    def __setstate__(self, state: dict) -> None:
        if "arrays" not in state:
            super().__setstate__(state)
            return
        description, arrays = state["description"], state["arrays"]
        check_sizes(description, arrays)
        with using(*self.requires):
            self.__init__(  # type: ignore[misc]
                self._make(description), state["weights"], description
            )
        self.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})


@lru_cache(maxsize=4)
def load_potential(name: str) -> Potential:
    """Take the weights of this name from their package; they are not to be changed."""
    package, version = POTENTIALS[name]
    kind = _class_of(package)
    with using(*kind.requires):
        source = kind._load(version)
    return kind.take(source, name)


def as_backbone(source: Any) -> nn.Module:
    """Make a backbone of a potential: a name, the path of a file, a network, or what holds one.

    A network that belongs to no package known here is a backbone already, and stays as it is.
    """
    if isinstance(source, str | os.PathLike):
        return load_potential(str(source)) if source in POTENTIALS else _read(os.fspath(source))
    network = network_of(source)
    package = type(network).__module__.split(".")[0]
    if package in _CLASSES:
        return _class_of(package).take(source, f"the given {type(source).__name__}")
    if isinstance(source, nn.Module):
        return source
    raise TypeError(
        f"backbone is a {type(source).__name__}, which holds no network that trisk can take; it "
        f"takes networks and ASE calculators of the packages {', '.join(_CLASSES)}, and any "
        "module that follows trisk.nn.Backbone."
    )


def check_sizes(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse a stored network that would be far larger than its weights."""
    limit = max([_LARGEST, *(max(array.shape, default=1) for array in arrays.values())])

    def check(value: Any) -> None:
        if isinstance(value, dict):
            check(list(value.values()))
        elif isinstance(value, list | tuple):
            if len(value) > limit:
                raise ValueError("its parameters make a network far larger than its weights")
            for part in value:
                check(part)
        elif isinstance(value, str):
            check([int(number) for number in re.findall(r"(\d+)x\d", value)])
        elif isinstance(value, int) and abs(value) > limit:
            raise ValueError("its parameters make a network far larger than its weights")

    check(description)


def _class_of(package: str) -> type[Potential]:
    module, cls = _CLASSES[package]
    return getattr(importlib.import_module(f"trisk.nn.backbones.{module}"), cls)


def network_of(source: Any) -> Any:
    """The network that a calculator holds, or the network itself."""
    if isinstance(source, nn.Module):
        return source
    networks = getattr(source, "models", None) or [getattr(source, "model", None)]
    if len(networks) > 1:
        raise ValueError(
            f"The {type(source).__name__} holds {len(networks)} networks; pass one of its models."
        )
    return networks[0]


def _read(path: str) -> Potential:
    """A potential from a file that holds tensors and plain values alone."""
    if not os.path.isfile(path):  # noqa: PTH113 (False, too, for a name that is too long)
        raise FileNotFoundError(
            f"{path!r} is neither a file nor the name of a potential ({', '.join(POTENTIALS)}) or "
            "a backbone that starts at random (builtin, esen, mace, orb)."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)["model"]
        description, weights = content["model_args"], content["state_dict"]
    except Exception as error:  # the file may hold anything
        raise ValueError(
            f"{path!r} is not a file of CHGNet, or not read without executing code. Load it with "
            "its own package, if you trust it, and pass the object: "
            "backbone=SevenNetCalculator(path), MACECalculator(path), ORBCalculator(network)."
        ) from error
    kind = _class_of("chgnet")
    check_sizes(description, weights)
    with using(*kind.requires):
        network = kind._make(description)
        network.load_state_dict(weights)
    return kind.take(network, os.path.basename(path))  # noqa: PTH119

"""Networks for the interaction stream, all behind one protocol."""

import copy
import importlib
from typing import Protocol

from torch import Tensor, nn

from trisk.nn.backbones.potentials import POTENTIALS, load_potential
from trisk.nn.batch import CrystalBatch

#: Name → module and class, with random weights; other packages are imported when one is made.
BACKBONES = {
    "builtin": ("equivariant", "EquivariantBackbone"),
    "esen": ("esen", "ESENBackbone"),
    "mace": ("mace", "MACEBackbone"),
    "orb": ("orb", "OrbBackbone"),
}


class Backbone(Protocol):
    """A network on atoms and their neighbours, differentiable in positions and lattices.

    Any :class:`torch.nn.Module` with these two attributes and this call will do. It must take
    distances from ``batch.vectors`` or, as differentiably, from ``batch.positions`` and
    ``batch.lattices``, and ignore pairs that are not in ``batch.real_pairs`` or lie beyond its
    cutoff in Å.
    """

    cutoff: float
    out_features: int

    def __call__(self, batch: CrystalBatch) -> tuple[Tensor, Tensor | None]:
        """Scalars ``(n_atoms, out_features)``, and vectors ``(n_atoms, 3, width)`` or None."""


def make_backbone(name: str, *, cutoff: float, dim: int, n_layers: int, **params) -> nn.Module:
    """Make a backbone by its name: a potential as it is, others of this shape, at random."""
    if name in POTENTIALS:
        return copy.deepcopy(load_potential(name))
    module, cls = BACKBONES[name]
    found = getattr(importlib.import_module(f"trisk.nn.backbones.{module}"), cls)
    return found(cutoff=cutoff, dim=dim, n_layers=n_layers, **params)

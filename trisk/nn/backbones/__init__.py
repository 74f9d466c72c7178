"""Networks for the interaction stream, all behind one protocol."""

from trisk.nn.backbones._equivariant import EquivariantBackbone
from trisk.nn.backbones._protocol import Backbone

__all__ = ["Backbone", "EquivariantBackbone"]

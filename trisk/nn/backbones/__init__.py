"""Networks for the interaction stream, all behind one protocol."""

from trisk.nn.backbones._equivariant import EquivariantBackbone
from trisk.nn.backbones._protocol import Backbone
from trisk.nn.backbones._registry import BACKBONES, make_backbone

__all__ = ["BACKBONES", "Backbone", "EquivariantBackbone", "make_backbone"]

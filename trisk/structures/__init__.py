"""Crystals and molecules: read from anything, neighbours found, kept as flat arrays."""

from trisk.structures.graphs import CrystalGraphs, connect
from trisk.structures.neighbors import NeighborLists, find_neighbors
from trisk.structures.readers import StructureError, read_structures

__all__ = [
    "CrystalGraphs",
    "NeighborLists",
    "StructureError",
    "connect",
    "find_neighbors",
    "read_structures",
]

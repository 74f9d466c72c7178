"""Crystals and molecules: read from anything, neighbours found, kept as flat arrays."""

from trisk.structures.graphs import CrystalGraphs
from trisk.structures.neighbors import NeighborLists, find_neighbors, geometry_fault

__all__ = ["CrystalGraphs", "NeighborLists", "find_neighbors", "geometry_fault"]

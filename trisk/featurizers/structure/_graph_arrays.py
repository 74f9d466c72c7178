"""From a table of structures to graph arrays: bonds, angles, dihedrals, sensors."""

from dataclasses import dataclass

import numpy as np

from trisk.featurizers.structure._angles import find_angles, find_dihedrals
from trisk.featurizers.structure._bond_physics import BOND_SENSORS, bond_sensors
from trisk.featurizers.structure._bonds import (
    SHELL_GAP,
    bond_directions,
    find_faults,
    n_in_whole_shells,
    nearest_bonds,
)
from trisk.featurizers.structure._graph_packing import assemble_graphs
from trisk.structures.neighbors import find_neighbors


@dataclass(frozen=True)
class GraphSettings:
    """What the graph of a structure depends on besides the structure.

    Parameters
    ----------
    order : {1, 2, 3}
        1 for bonds alone, 2 with angles, 3 with dihedrals.
    n_neighbors : int or None
        Neighbours that make bonds; None for all within the cutoff.
    cutoff : float
        Longest bond in Å.
    n_angle_neighbors, n_dihedral_neighbors : int
        Neighbours whose bonds make angles and dihedrals.
    physics : bool
        Whether the bonds carry sensors.
    """

    order: int
    n_neighbors: int | None
    cutoff: float
    n_angle_neighbors: int
    n_dihedral_neighbors: int
    physics: bool

    @property
    def sensor_names(self):
        """Names of the sensors that bonds carry."""
        return BOND_SENSORS if self.physics else ()


def build_graphs(table, settings):
    """Build the graphs of many structures, without the context of their compositions.

    Parameters
    ----------
    table : StructureTable
        The structures; a row without atoms gives an empty graph.
    settings : GraphSettings
        What to build.

    Returns
    -------
    graphs : CrystalGraphs
        One graph per row.
    causes : dict of int to str
        Row → why its graph is empty although it has atoms.
    """
    n_atoms = len(table.numbers)
    pairs = find_neighbors(
        table.positions,
        table.lattices,
        table.periodic,
        table.offsets,
        settings.cutoff,
        n_neighbors=settings.n_neighbors,
        shell_gap=SHELL_GAP,
    )
    causes = find_faults(table, pairs, settings.cutoff)
    if causes:
        graphs, _ = build_graphs(table.without_atoms(list(causes)), settings)
        return graphs, causes
    bonds = nearest_bonds(pairs, n_atoms, settings.n_neighbors)
    directions = bond_directions(table, bonds)
    angles, dihedrals, dihedral_cosines = _higher_orders(bonds, directions, settings)
    sensors = np.empty((len(bonds.lengths), 0))
    if settings.physics:
        i, j = table.numbers[bonds.centers], table.numbers[bonds.neighbors]
        sensors = bond_sensors(i, j, bonds.lengths)
    offsets = {
        "bond": bonds.offsets[table.offsets],
        "angle": angles.offsets[table.offsets],
    }
    # Dihedrals stand in the order of the structures, and so do their first angles.
    rows = np.searchsorted(offsets["angle"], dihedrals[:, 0], side="right") - 1
    offsets["dihedral"] = np.searchsorted(rows, np.arange(table.n_rows + 1))
    arrays = {
        "bond_atoms": np.stack([bonds.centers, bonds.neighbors], axis=1),
        "bond_images": bonds.images,
        "bond_lengths": bonds.lengths,
        "bond_sensors": sensors,
        "angle_bonds": angles.pairs,
        "angle_cosines": angles.cosines,
        "dihedral_angles": dihedrals,
        "dihedral_cosines": dihedral_cosines,
    }
    return assemble_graphs(table, offsets, arrays, settings.sensor_names), {}


def _higher_orders(bonds, directions, settings):
    """Angles and dihedrals, as far as the order goes."""
    n_bonds = np.zeros_like(bonds.counts)
    if settings.order >= 2:
        n_bonds = n_in_whole_shells(bonds, settings.n_angle_neighbors, always_first=True)
    angles = find_angles(bonds, directions, n_bonds)
    n_bonds = np.zeros_like(bonds.counts)
    if settings.order >= 3:
        n_bonds = n_in_whole_shells(bonds, settings.n_dihedral_neighbors, always_first=False)
        n_bonds = np.minimum(n_bonds, angles.n_bonds)
    return angles, *find_dihedrals(bonds, directions, angles, n_bonds)

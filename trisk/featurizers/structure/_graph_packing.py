"""The computed part of each graph as bytes, to be kept on disk, and back."""

from typing import NamedTuple

import numpy as np

from trisk.featurizers._store import content_key
from trisk.structures.elements import ATOM_FEATURES, atom_feature_table
from trisk.structures.graphs import CrystalGraphs

_FORMAT = 1  # to be raised with every change of what a graph holds
_LEVELS = ("bond", "angle", "dihedral")


class _Layout(NamedTuple):
    """How an array is laid out: its level, item type, columns, and what it points to."""

    level: str
    dtype: np.dtype
    columns: int | None = None  # None is one-dimensional, −1 the number of sensors
    target: str | None = None


_INT, _FLOAT = np.dtype(np.int32), np.dtype(np.float32)
_LAYOUTS = {
    "bond_atoms": _Layout("bond", _INT, 2, "atom"),
    "bond_images": _Layout("bond", _INT, 3),
    "bond_lengths": _Layout("bond", _FLOAT),
    "bond_sensors": _Layout("bond", _FLOAT, -1),
    "angle_bonds": _Layout("angle", _INT, 2, "bond"),
    "angle_cosines": _Layout("angle", _FLOAT),
    "dihedral_angles": _Layout("dihedral", _INT, 2, "angle"),
    "dihedral_cosines": _Layout("dihedral", _FLOAT),
}


def assemble_graphs(table, offsets, arrays, sensor_names):
    """Join what was computed with what the table of structures says.

    Parameters
    ----------
    table : StructureTable
        The structures.
    offsets : dict of str to ndarray of shape (n_rows + 1,)
        Offsets of bonds, angles and dihedrals.
    arrays : dict of str to ndarray
        Arrays of bonds, angles and dihedrals.
    sensor_names : tuple of str
        Names of the bonds' sensors.

    Returns
    -------
    CrystalGraphs
        One graph per row, without context.
    """
    return CrystalGraphs(
        offsets={"atom": table.offsets, **offsets},
        atomic_numbers=table.numbers.astype(np.int32),
        positions=table.positions,
        lattices=table.lattices,
        atom_features=atom_feature_table()[table.numbers],
        context=np.empty((table.n_rows, 0), dtype=np.float32),
        names={"atom_features": ATOM_FEATURES, "context": (), "bond_sensors": sensor_names},
        **{name: arrays[name].astype(_LAYOUTS[name].dtype, copy=False) for name in _LAYOUTS},
    )


def graph_keys(table, settings):
    """Hash what each graph depends on.

    Parameters
    ----------
    table : StructureTable
        The structures.
    settings : GraphSettings
        What is built of them.

    Returns
    -------
    list of bytes of length n_rows
        One key per structure.
    """
    what = f"crystal graph {_FORMAT} {settings}"
    atoms = [slice(*table.offsets[row : row + 2]) for row in range(table.n_rows)]
    return [
        content_key(
            what,
            table.numbers[rows],
            table.positions[rows],
            table.lattices[row],
            table.periodic[row],
        )
        for row, rows in enumerate(atoms)
    ]


def pack_graphs(graphs):
    """Turn the bonds, angles and dihedrals of each graph into bytes.

    Parameters
    ----------
    graphs : CrystalGraphs
        Graphs.

    Returns
    -------
    list of bytes
        One value per graph.
    """
    counts = np.stack([graphs.counts(level) for level in _LEVELS], axis=1)
    packed = []
    for row in range(len(graphs)):
        parts = [counts[row].astype(np.int64).tobytes()]
        for name, layout in _LAYOUTS.items():
            start, stop = graphs.offsets[layout.level][row : row + 2]
            values = getattr(graphs, name)[start:stop]
            if layout.target is not None:
                values = values - layout.dtype.type(graphs.offsets[layout.target][row])
            parts.append(values.tobytes())
        packed.append(b"".join(parts))
    return packed


def unpack_graphs(packed, table, sensor_names):
    """Bring graphs back.

    Parameters
    ----------
    packed : list of bytes of length n_rows
        What :func:`pack_graphs` gave for each row.
    table : StructureTable
        The structures.
    sensor_names : tuple of str
        Names of the bonds' sensors.

    Returns
    -------
    CrystalGraphs
        One graph per row, without context.
    """
    n_header = 8 * len(_LEVELS)
    header = b"".join(content[:n_header] for content in packed)
    table_of_counts = np.frombuffer(header, dtype=np.int64).reshape(-1, len(_LEVELS))
    counts = dict(zip(_LEVELS, table_of_counts.T, strict=True))
    offsets = {level: np.concatenate([[0], np.cumsum(n)]) for level, n in counts.items()}
    shifts = {**offsets, "atom": table.offsets}
    starts = np.full(len(packed), n_header)
    arrays = {}
    for name, layout in _LAYOUTS.items():
        width = len(sensor_names) if layout.columns == -1 else layout.columns
        size = layout.dtype.itemsize * (1 if width is None else width)
        stops = starts + size * counts[layout.level]
        parts = [
            content[start:stop] for content, start, stop in zip(packed, starts, stops, strict=True)
        ]
        starts = stops
        values = np.frombuffer(b"".join(parts), dtype=layout.dtype)
        if width is not None:
            values = values.reshape(offsets[layout.level][-1], width)
        if layout.target is not None:
            shift = np.repeat(shifts[layout.target][:-1], counts[layout.level])
            values = values + shift.astype(layout.dtype)[:, None]
        arrays[name] = values
    return assemble_graphs(table, offsets, arrays, sensor_names)

"""Geometry of single layers in vacuum: thickness, area, faces, and who sits there."""

from dataclasses import dataclass

import numpy as np

from trisk.featurizers.structure._bond_physics import bond_valences
from trisk.structures.elements import element_columns, impute_element_means

_FACE_DEPTH = 0.3  # Å; atoms no deeper than this make a face
_PLANE_GAP = 0.3  # Å; what parts two atomic planes
_BONDED = 1.25  # bonds are no longer than this many times the sum of the covalent radii
_ELEMENT_COLUMNS = {
    "electronegativity": ("magpie_elements.csv", "Electronegativity"),
    "covalent radius (pm)": ("magpie_elements.csv", "CovalentRadius"),
    "mass (u)": ("descriptor_elements.csv", "atomic_mass"),
    "group": ("magpie_elements.csv", "Column"),
    "period": ("magpie_elements.csv", "Row"),
}
_SURROUNDINGS = ("coordination number", "valence sum", "nearest neighbour (A)")

#: Names of the columns that :func:`layer_columns` gives.
LAYER_COLUMNS = [
    "area per atom (A2)",
    "thickness (A)",
    "mass per area (u/A2)",
    "atomic planes",
    "sparser face atoms per area (1/A2)",
    "denser face atoms per area (1/A2)",
    *(
        f"{what} {name}"
        for name in _ELEMENT_COLUMNS
        for what in ("lower face", "higher face", "faces minus layer", "outward correlation of")
    ),
    *(
        f"{what} {name}"
        for name in _SURROUNDINGS
        for what in ("lower face", "lowest", "mean", "highest")
    ),
]


@dataclass(frozen=True)
class Layers:
    """Where the atoms of single layers are.

    Parameters
    ----------
    heights : ndarray of shape (n_atoms,)
        Å above the lowest atom of the layer, along its normal.
    areas : ndarray of shape (n_rows,)
        Area of the cell within the layer, in Å².
    gaps : ndarray of shape (n_rows,)
        Å between a layer and its next image; infinite where the crystal does not repeat.
    """

    heights: np.ndarray
    areas: np.ndarray
    gaps: np.ndarray


def find_layers(table):
    """Cut each structure at the widest gap between the atomic planes along a lattice plane.

    Parameters
    ----------
    table : StructureTable
        Structures, none without atoms.

    Returns
    -------
    Layers
        Their layers.
    """
    rows, starts = table.rows, table.offsets[:-1]
    inverses = np.linalg.inv(table.lattices)
    fractional = np.einsum("ai,aij->aj", table.positions, inverses[rows])
    spacings = 1 / np.linalg.norm(inverses, axis=1)
    gaps, places = [], []
    for axis in range(3):
        repeats = table.periodic[:, axis]
        place = fractional[:, axis] - np.where(repeats[rows], np.floor(fractional[:, axis]), 0)
        order = np.lexsort((place, rows))
        ordered = place[order]
        following = np.append(ordered[1:], np.nan)
        following[table.offsets[1:] - 1] = ordered[starts] + 1
        widths = following - ordered
        # An atom that rounding put at the other end of the cell makes no gap of its own.
        widest = np.maximum.reduceat(widths, starts)
        last = _last_true(widths >= widest[rows] - 1e-9, rows, table.n_rows)
        bottom = np.where(repeats, following[last], np.minimum.reduceat(place, starts))
        place = place - bottom[rows]
        place -= np.where(repeats[rows], np.floor(place + 1e-9), 0)
        gaps.append(np.where(repeats, widest * spacings[:, axis], np.inf))
        places.append(np.maximum(place, 0) * spacings[rows, axis])
    axis = np.argmax(gaps, axis=0)
    areas = np.abs(np.linalg.det(table.lattices)) / spacings[np.arange(len(axis)), axis]
    return Layers(np.stack(places)[axis[rows], np.arange(len(rows))], areas, np.max(gaps, axis=0))


def _last_true(flags, rows, n_rows):
    """Position of the last true flag of each row."""
    positions = np.flatnonzero(flags)
    found = np.zeros(n_rows, dtype=np.int64)
    found[rows[positions]] = positions
    return found


def layer_columns(table, layers, bonds):
    """Describe single layers.

    Parameters
    ----------
    table : StructureTable
        Structures, none without atoms.
    layers : Layers
        Their layers.
    bonds : Bonds
        All pairs within a cutoff, at least one for each atom.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        Columns as in ``LAYER_COLUMNS``. They do not change with the choice of the cell.
    """
    rows, starts = table.rows, table.offsets[:-1]
    heights, n_atoms = layers.heights, table.lengths
    thickness = np.maximum.reduceat(heights, starts)
    faces = heights < _FACE_DEPTH, heights > thickness[rows] - _FACE_DEPTH
    counts = np.stack([np.add.reduceat(face.astype(float), starts) for face in faces])
    values = np.stack(
        [impute_element_means(element_columns(f, (n,)))[:, 0] for f, n in _ELEMENT_COLUMNS.values()]
    )[:, table.numbers]
    masses = values[list(_ELEMENT_COLUMNS).index("mass (u)")]
    columns = [
        layers.areas / n_atoms,
        thickness,
        np.add.reduceat(masses, starts) / layers.areas,
        _count_planes(heights, rows, starts),
        *np.sort(counts / layers.areas, axis=0),
    ]
    outward = np.abs(heights - thickness[rows] / 2)
    for value in values:
        lower, higher = np.sort(_of_faces(value, faces, counts, starts), axis=0)
        mean = np.add.reduceat(value, starts) / n_atoms
        columns += [lower, higher, (lower + higher) / 2 - mean]
        columns.append(_correlation(outward, value, rows, starts, n_atoms))
    for value in _surroundings(table.numbers, bonds):
        columns.append(_of_faces(value, faces, counts, starts).min(axis=0))
        columns.append(np.minimum.reduceat(value, starts))
        columns.append(np.add.reduceat(value, starts) / n_atoms)
        columns.append(np.maximum.reduceat(value, starts))
    return np.column_stack(columns)


def _of_faces(values, faces, counts, starts):
    """Means over the atoms of both faces, ``(2, n_rows)``."""
    sums = [np.add.reduceat(values * face, starts) for face in faces]
    return np.stack(sums) / counts


def _count_planes(heights, rows, starts):
    """Atomic planes of each layer."""
    ordered = heights[np.lexsort((heights, rows))]
    begins = np.diff(ordered, prepend=-np.inf) > _PLANE_GAP
    begins[starts] = True
    return np.add.reduceat(begins.astype(float), starts)


def _correlation(first, second, rows, starts, n_atoms):
    """Correlation over the atoms of each layer; zero where either does not vary."""

    def centered(values):
        return values - (np.add.reduceat(values, starts) / n_atoms)[rows]

    first, second = centered(first), centered(second)
    together = np.add.reduceat(first * second, starts)
    apart = np.add.reduceat(first**2, starts) * np.add.reduceat(second**2, starts)
    varies = apart > 1e-9
    return np.where(varies, together / np.sqrt(np.where(varies, apart, 1)), 0)


def _surroundings(numbers, bonds):
    """Coordination number, valence sum and nearest neighbour of each atom, ``(3, n_atoms)``."""
    radii = impute_element_means(element_columns("magpie_elements.csv", ("CovalentRadius",)))
    i, j, firsts = bonds.centers, bonds.neighbors, bonds.offsets[:-1]
    ranges = _BONDED * (radii[numbers[i], 0] + radii[numbers[j], 0]) / 100
    valences = bond_valences(numbers[i], numbers[j], bonds.lengths)
    return np.stack(
        [
            np.add.reduceat((bonds.lengths < ranges).astype(float), firsts),
            np.add.reduceat(valences, firsts),
            bonds.lengths[firsts],
        ]
    )

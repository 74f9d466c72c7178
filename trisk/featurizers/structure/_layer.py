"""LayerFeaturizer: what the geometry of a single layer says of how it holds to the next."""

from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

from trisk._compat import Interval, StrOptions
from trisk.featurizers.structure._base import StructureTableFeaturizer
from trisk.featurizers.structure._springs import ELEMENT_COLUMNS, bond_valences
from trisk.structures.elements import element_property

_FACE_DEPTH = 0.3  # Å; atoms no deeper than this make a face
_PLANE_GAP = 0.3  # Å; what parts two atomic planes
_BONDED = 1.25  # bonds are no longer than this many times the sum of the covalent radii
_ELEMENT_COLUMNS = ("electronegativity", "covalent radius (pm)", "mass (u)", "group", "period")
_SURROUNDINGS = ("coordination number", "valence sum", "nearest neighbour (A)")

_COLUMNS = [
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


@dataclass(kw_only=True, repr=False, eq=False)
class LayerFeaturizer(StructureTableFeaturizer):
    """Area, thickness and faces of two-dimensional materials.

    A structure is cut at the widest gap between its atomic planes. Columns tell of the area per
    atom, thickness and weight of the layer, of the elements on its two faces beside those within,
    and of how well its atoms are bonded.

    Layers that hold together by dispersion forces do so by some 20 meV per Å², whatever they are
    made of [1]_: an energy of exfoliation per atom is then that times the area per atom, and what
    is left to learn is a correction. Nothing is learned from the data.

    {Parameters}
    min_vacuum : float, default=5.0
        Least gap in Å between a layer and its image; a structure whose widest gap is less is
        no single layer.
    others : {"raise", "zero"}, default="raise"
        What becomes of structures that are no single layer: the error that `on_error` is for, or
        zero in all columns, for models of layers and crystals.

    {Attributes}

    See Also
    --------
    trisk.estimators.DeltaRegressor : Learns the correction to an estimate in one column.

    Notes
    -----
    The layer lies along a lattice plane; directions in which the structure does not repeat count
    as infinite vacuum. Atoms within 0.3 Å of the outermost one make a face, and "lower" and
    "higher" order the two faces by the value itself. "Outward correlation" is that of a property
    with the distance of the atoms from the middle of the layer. Atoms are bonded where they are
    closer than 1.25 times the sum of their covalent radii; valence sums add
    exp((rᵢ + rⱼ − d) / 0.37 Å), as in :class:`SpringModelFeaturizer`.

    References
    ----------
    .. [1] T. Björkman et al., Phys. Rev. Lett. 108, 235502 (2012).
       https://doi.org/10.1103/PhysRevLett.108.235502

    Examples
    --------
    >>> from ase.build import graphene, mx2
    >>> from trisk.featurizers import LayerFeaturizer
    >>> X = LayerFeaturizer().fit_transform([graphene(vacuum=8.0), mx2("MoS2", vacuum=8.0)])
    >>> X["Layer area per atom (A2)"].round(2).tolist()
    [2.62, 2.92]
    >>> X["Layer thickness (A)"].round(2).tolist()
    [0.0, 3.19]
    """

    min_vacuum: float = 5.0
    others: str = "raise"

    _parameter_constraints = {
        "min_vacuum": [Interval(Real, 0, None, closed="left")],
        "others": [StrOptions({"raise", "zero"})],
    }

    def _feature_names(self):
        return [f"Layer {name}" for name in _COLUMNS]

    def _n_periodic(self):
        return 2

    def _find_faults(self, atoms, pairs):
        causes = super()._find_faults(atoms, pairs)
        rows = np.flatnonzero(atoms.counts())
        for row, gap in zip(rows, find_layers(atoms.take(rows)).gaps, strict=True):
            if gap < self.min_vacuum:
                causes.setdefault(
                    int(row),
                    f"is no single layer: its widest gap is {gap:.3g} Å, less than "
                    f"min_vacuum={self.min_vacuum:g}",
                )
        return causes

    def _compute_chunk(self, atoms):
        values, causes = super()._compute_chunk(atoms)
        if self.others == "zero":
            values[list(causes)] = 0
            causes = {}
        return values, causes

    def _compute(self, atoms, pairs):
        return _layer_columns(atoms, find_layers(atoms), pairs)


class Layers(NamedTuple):
    """Å of atoms above the lowest one, Å² of the cell, Å and lattice vector to the next image."""

    heights: np.ndarray
    areas: np.ndarray
    gaps: np.ndarray
    axes: np.ndarray


def find_layers(atoms):
    """Cut each structure at the widest gap between the atomic planes along a lattice plane."""
    rows, offsets = atoms.rows(), atoms.offsets["atom"]
    starts = offsets[:-1]
    inverses = np.linalg.inv(atoms.lattices)
    fractional = np.einsum("ai,aij->aj", atoms.positions, inverses[rows])
    spacings = 1 / np.linalg.norm(inverses, axis=1)
    gaps, places = [], []
    for axis in range(3):
        repeats = atoms.pbc[:, axis]
        place = fractional[:, axis] - np.where(repeats[rows], np.floor(fractional[:, axis]), 0)
        order = np.lexsort((place, rows))
        ordered = place[order]
        following = np.append(ordered[1:], np.nan)
        following[offsets[1:] - 1] = ordered[starts] + 1
        widths = following - ordered
        # An atom that rounding put at the other end of the cell makes no gap of its own.
        widest = np.maximum.reduceat(widths, starts)
        is_widest = widths >= widest[rows] - 1e-9
        last = np.maximum.reduceat(np.where(is_widest, np.arange(len(rows)), -1), starts)
        bottom = np.where(repeats, following[last], np.minimum.reduceat(place, starts))
        place = place - bottom[rows]
        place -= np.where(repeats[rows], np.floor(place + 1e-9), 0)
        gaps.append(np.where(repeats, widest * spacings[:, axis], np.inf))
        places.append(np.maximum(place, 0) * spacings[rows, axis])
    axis = np.argmax(gaps, axis=0)
    areas = np.abs(np.linalg.det(atoms.lattices)) / spacings[np.arange(len(axis)), axis]
    heights = np.stack(places)[axis[rows], np.arange(len(rows))]
    return Layers(heights, areas, np.max(gaps, axis=0), axis)


def _layer_columns(atoms, layers, bonds):
    """Describe single layers, whatever their cell."""
    rows, starts = atoms.rows(), atoms.offsets["atom"][:-1]
    heights, n_atoms = layers.heights, atoms.counts()
    thickness = np.maximum.reduceat(heights, starts)
    faces = heights < _FACE_DEPTH, heights > thickness[rows] - _FACE_DEPTH
    counts = np.stack([np.add.reduceat(face.astype(float), starts) for face in faces])
    values = {
        name: element_property(ELEMENT_COLUMNS[name])[atoms.atomic_numbers]
        for name in _ELEMENT_COLUMNS
    }
    begins_plane = np.diff(heights[np.lexsort((heights, rows))], prepend=-np.inf) > _PLANE_GAP
    begins_plane[starts] = True
    columns = [
        layers.areas / n_atoms,
        thickness,
        np.add.reduceat(values["mass (u)"], starts) / layers.areas,
        np.add.reduceat(begins_plane.astype(float), starts),
        *np.sort(counts / layers.areas, axis=0),
    ]
    outward = np.abs(heights - thickness[rows] / 2)
    for value in values.values():
        lower, higher = np.sort(_of_faces(value, faces, counts, starts), axis=0)
        mean = np.add.reduceat(value, starts) / n_atoms
        columns += [lower, higher, (lower + higher) / 2 - mean]
        columns.append(_correlation(outward, value, rows, starts, n_atoms))
    for value in _surroundings(atoms.atomic_numbers, bonds):
        columns.append(_of_faces(value, faces, counts, starts).min(axis=0))
        columns.append(np.minimum.reduceat(value, starts))
        columns.append(np.add.reduceat(value, starts) / n_atoms)
        columns.append(np.maximum.reduceat(value, starts))
    return np.column_stack(columns)


def _of_faces(values, faces, counts, starts):
    """Means over the atoms of both faces, ``(2, n_rows)``."""
    sums = [np.add.reduceat(values * face, starts) for face in faces]
    return np.stack(sums) / counts


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
    radii = element_property("covalent radius")
    i, j, firsts = bonds.centers, bonds.neighbors, bonds.offsets[:-1]
    ranges = _BONDED * (radii[numbers[i]] + radii[numbers[j]]) / 100
    valences = bond_valences(numbers[i], numbers[j], bonds.lengths)
    return np.stack(
        [
            np.add.reduceat((bonds.lengths < ranges).astype(float), firsts),
            np.add.reduceat(valences, firsts),
            bonds.lengths[firsts],
        ]
    )

"""What no structure has, and what would make a search take any amount of time and memory."""

from functools import partial

import numpy as np

from trisk.structures.graphs import search

#: Å; atoms closer than this are refused. The bond of H2 has 0.74.
SHORTEST_BOND = 0.5

_SMALLEST_VOLUME = 0.5  # Å³ per atom; solid hydrogen at 500 GPa has twice as much
_CROWD_EDGE = 4.0  # Å; atoms are counted in cubes of this size
_FLATTEST_CELL = 1e-4  # volume over the product of the edges
_SKEWED_CELL = 0.1  # where sums of edges may be much shorter than the edges
_SHORTEST_PERIOD = 0.2  # Å
_FARTHEST_CELL = 10_000  # lattice vectors between an atom and the cell it belongs to
_LARGEST_BOX = 2e8  # Å³ around all atoms of a structure
_MARGIN = 16.0  # Å around them, as a search looks beyond the cell
_CLOSE_RADIUS = 2.0  # Å; a search this wide takes the least time


def complete_lattice(positions, lattice, pbc):
    """Give directions that neither repeat nor have a vector one that spans the atoms."""
    missing = ~pbc & ~lattice.any(axis=1)
    if not missing.any():
        return lattice
    given = lattice[~missing]
    normals = np.linalg.svd(given)[2][len(given) :]
    lattice = lattice.copy()
    lattice[missing] = normals * (np.ptp(positions @ normals.T, axis=0) + 1.0)[:, None]
    return lattice


def find_faults(atoms, min_distance=SHORTEST_BOND):
    """Why structures cannot be used, by row; a search through the others is never endless."""
    faults: dict[int, str] = {}
    distances = partial(_check_distances, min_distance=min_distance)
    with np.errstate(all="ignore"):
        for check in (_check_numbers, _check_cells, _check_places, distances):
            kept = np.setdiff1d(np.flatnonzero(atoms.counts()), list(faults))
            found = check(atoms.take(kept)) if len(kept) else ()
            faults |= {int(kept[row]): cause for row, cause in found}
    return faults


def _check_numbers(atoms):
    """Rows with numbers that are not finite."""
    for row in np.flatnonzero(~np.isfinite(atoms.lattices).all(axis=(1, 2))):
        yield row, "its lattice is not finite"
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    for row, atom in _first_atoms(atoms, bad):
        yield row, f"the coordinates of atom {atom} are not finite"


def _check_cells(atoms):
    """Rows whose lattice vectors no crystal has."""
    volumes = abs(np.linalg.det(atoms.lattices))
    edges = np.linalg.norm(atoms.lattices, axis=2)
    spanned = np.isfinite(volumes) & (volumes > _FLATTEST_CELL * edges.prod(axis=1))
    for row in np.flatnonzero(~spanned):
        lengths = ", ".join(f"{edge:.4g}" for edge in edges[row])
        vectors = f"its lattice vectors (lengths {lengths} Å) span no volume"
        yield row, f"{vectors}; every direction that repeats needs one, independent of the others"
    shares = volumes / atoms.counts()
    dense = spanned & atoms.pbc.all(axis=1) & (shares < _SMALLEST_VOLUME)
    for row in np.flatnonzero(dense):
        volume = f"{shares[row]:.3g} Å³ per atom"
        yield row, f"its cell has {volume}, denser than any crystal; lengths must be in Å"
    skewed = spanned & atoms.pbc.all(axis=1) & (volumes < _SKEWED_CELL * edges.prod(axis=1))
    for row in np.flatnonzero(skewed & ~dense):
        from pymatgen.core import Lattice

        reduced = Lattice(atoms.lattices[row]).get_lll_reduced_lattice()
        edges[row] = np.linalg.norm(reduced.matrix, axis=1)
    periods = np.where(atoms.pbc, edges, np.inf).min(axis=1)
    for row in np.flatnonzero(spanned & ~dense & (periods < _SHORTEST_PERIOD)):
        period = f"{periods[row]:.3g}"
        yield row, f"it repeats after {period} Å, shorter than any bond; lengths must be in Å"


def _check_places(atoms):
    """Rows whose atoms lie too far from each other or from their cell, or too many in one place."""
    rows, starts = atoms.rows(), atoms.offsets["atom"][:-1]
    inverses = np.linalg.inv(atoms.lattices)
    cells = np.floor(np.einsum("ai,aij->aj", atoms.positions, inverses[rows])) * atoms.pbc[rows]
    far = dict(_first_atoms(atoms, np.flatnonzero((abs(cells) > _FARTHEST_CELL).any(axis=1))))
    for row, atom in far.items():
        away = abs(cells[starts[row] + atom]).max()
        cell = f"{away:.3g} lattice vectors away from the cell"
        yield row, f"atom {atom} is {cell}; wrap the positions into it"
    points = atoms.positions - np.einsum("ai,aij->aj", cells, atoms.lattices[rows])
    lowest = np.minimum.reduceat(points, starts)
    boxes = np.maximum.reduceat(points, starts) - lowest
    for row in np.flatnonzero((boxes + _MARGIN).prod(axis=1) > _LARGEST_BOX):
        size = " × ".join(f"{length:.3g}" for length in boxes[row])
        if row not in far:
            yield row, f"its atoms are spread over {size} Å, most of it empty; use a smaller cell"
    most = _CROWD_EDGE**3 / _SMALLEST_VOLUME
    for row in np.flatnonzero(atoms.counts() > most):
        of_row = slice(*atoms.offsets["atom"][row : row + 2])
        cubes = np.floor((points[of_row] - lowest[row]) / _CROWD_EDGE)
        _, first, counts = np.unique(cubes, axis=0, return_index=True, return_counts=True)
        if counts.max() > most:
            crowd = f"{counts.max()} atoms, among them atom {first[counts.argmax()]},"
            cube = f"a cube of {_CROWD_EDGE:g} Å"
            yield row, f"{crowd} lie in {cube}, denser than any crystal; lengths must be in Å"


def _check_distances(atoms, min_distance):
    """Rows with atoms that are too close to each other."""
    pairs = search(atoms, max(_CLOSE_RADIUS, min_distance))
    rows = atoms.rows()
    for pair in np.flatnonzero(pairs.lengths < min_distance)[::-1]:  # the first one stays
        row = rows[pairs.centers[pair]]
        start = atoms.offsets["atom"][row]
        i, j = pairs.centers[pair] - start, pairs.neighbors[pair] - start
        between = f"atoms {i} and {j} are" if i != j else f"atom {i} and its own image are"
        apart = f"{pairs.lengths[pair]:.3g} Å apart"
        yield row, f"{between} {apart}, closer than any bond; remove one, or give lengths in Å"


def _first_atoms(atoms, indices):
    """The first of some atoms in each structure that has one: row and place within it."""
    rows, first = np.unique(atoms.rows()[indices], return_index=True)
    return zip(rows.tolist(), (indices[first] - atoms.offsets["atom"][rows]).tolist(), strict=True)

"""What holds a single layer to the next one of its kind."""

import numpy as np

from trisk.featurizers.structure._layer import find_layers
from trisk.structures.readers import read_structures

# Å between the outermost atoms of one layer and of the next: from bonds to dispersion.
_GAPS = (0.8, 1.6, 2.2, 2.6, 3.0, 3.4, 3.8)
_VACUUM = 15.0  # Å beside the layer alone
_MIN_GAP = 5.0  # Å; what parts single layers
#: Lateral shifts of one layer against the next, as fractions of the layer's lattice vectors.
_THIRDS = ((0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3))
_HALVES = ((0, 0), (1 / 2, 1 / 2), (1 / 2, 0), (0, 1 / 2))


def binding_of_layers(atoms, calls):
    """Energies of a layer stacked on itself less that of the layer alone, by shift and gap.

    Layers keep their shape and orientation; one cell holds one layer.
    """
    layer, normal, thickness = _single_layer(atoms)
    first, second = layer.cell[:2]
    lengths = np.linalg.norm(layer.cell[:2], axis=1)
    cosine = first @ second / lengths.prod()
    shifts = np.array(_HALVES)
    if abs(abs(cosine) - 0.5) < 0.02 and abs(lengths[0] / lengths[1] - 1) < 0.02:
        # Whether the hexagonal vectors make 120° or 60°.
        shifts = np.array(_THIRDS) if cosine < 0 else np.array(_THIRDS)[:, [0, 0]]
    images = [_repeated(layer, normal * (thickness + _VACUUM))]
    for shift in shifts:
        along = shift @ layer.cell[:2]
        images += [_repeated(layer, normal * (thickness + gap) + along) for gap in _GAPS]
    energies = calls.energies(images)
    binding = (energies[1:] - energies[0]).reshape(len(shifts), len(_GAPS))
    return {
        "binding": binding,
        "gaps": np.array(_GAPS),
        "area": np.array(np.linalg.norm(np.cross(first, second))),
    }


def _repeated(layer, vector):
    """The layer with its images along a vector."""
    image = layer.copy()
    image.set_cell(np.vstack([layer.cell[:2], vector]))
    return image


def _single_layer(atoms):
    """The layer in one piece with its two lattice vectors first, its normal and its thickness."""
    from ase import Atoms

    structure = read_structures([atoms])[0]
    layers = find_layers(structure)
    gap = layers.gaps[0]
    if gap < _MIN_GAP:
        raise ValueError(f"it is no single layer: its widest gap is {gap:.3g} Å, not {_MIN_GAP:g}")
    cell, axis = structure.lattices[0], layers.axes[0]
    normal = np.cross(cell[axis - 2], cell[axis - 1])
    normal *= np.sign(normal @ cell[axis]) / np.linalg.norm(normal)
    # Atoms that the cell parts come together along the vector that leaves the layer.
    above = layers.heights - structure.positions @ normal
    turns = np.round((above - above[0]) / (normal @ cell[axis]))
    positions = structure.positions + turns[:, None] * cell[axis]
    sides = [cell[axis - 2], cell[axis - 1], normal]
    layer = Atoms(structure.atomic_numbers, positions=positions, cell=sides, pbc=True)
    return layer, normal, layers.heights.max()

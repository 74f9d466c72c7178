"""Structures at another volume."""

import numpy as np


def scale_volumes(structures, volume_per_atom):
    """Scale structures to one volume per atom.

    Parameters
    ----------
    structures : iterable of pymatgen.core.Structure or ase.Atoms
        Crystals; they are copied.
    volume_per_atom : float
        Volume in Å³.

    Returns
    -------
    list of pymatgen.core.Structure or ase.Atoms
        The same crystals, larger or smaller.

    Raises
    ------
    TypeError
        If something is neither.
    """
    scaled = []
    for row, structure in enumerate(structures):
        if hasattr(structure, "scale_lattice"):
            copy = structure.copy()
            copy.scale_lattice(volume_per_atom * len(copy))
        elif hasattr(structure, "set_cell"):
            copy = structure.copy()
            factor = np.cbrt(volume_per_atom * len(copy) / copy.get_volume())
            copy.set_cell(copy.cell * factor, scale_atoms=True)
        else:
            raise TypeError(
                f"Row {row} is a {type(structure).__name__}, which cannot be scaled to "
                "volume_per_atom. Give Structure or Atoms objects, or volume_per_atom=None."
            )
        scaled.append(copy)
    return scaled

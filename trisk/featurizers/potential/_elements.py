"""What an element costs by itself, so that energies of compounds become formation energies."""

import numpy as np

# Cells whose nearest neighbours are 1 apart, with fractional positions of the atoms.
_SIMPLE = {
    "fcc": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2), [[0, 0, 0]]),
    "bcc": (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3), [[0, 0, 0]]),
    "hcp": (
        np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]]),
        [[0, 0, 0], [1 / 3, 2 / 3, 1 / 2]],
    ),
    "diamond": (
        np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]]) / np.sqrt(3),
        [[0, 0, 0], [0.25, 0.25, 0.25]],
    ),
    "molecules of two": (15.0 * np.eye(3), [[0, 0, 0], [1 / 15, 0, 0]]),
}
# Nearest distances tried, over the sum of covalent radii.
_DISTANCES = np.geomspace(0.72, 1.4, 16)


def energy_of_element(number, calls):
    """Lowest energy of an element in eV/atom, among simple crystals and molecules of two atoms.

    Each is tried at sixteen nearest distances and where a parabola has its lowest point.
    """
    from ase import Atoms
    from ase.data import covalent_radii

    found = []
    for cell, positions in _SIMPLE.values():

        def energies(distances, cell=cell, positions=positions):
            return calls.energies(
                [
                    Atoms(
                        [number] * len(positions),
                        scaled_positions=positions,
                        cell=d * cell,
                        pbc=True,
                    )
                    for d in 2 * covalent_radii[number] * distances
                ]
            ) / len(positions)

        tried = energies(_DISTANCES)
        found += [tried.min(), *energies(_best_distance(tried))]
    return min(found)


def _best_distance(energies):
    """Where a parabola through the lowest energy and its neighbours has its lowest point."""
    k = min(max(energies.argmin(), 1), len(energies) - 2)
    left, middle, right = energies[k - 1 : k + 2]
    curvature = left + right - 2 * middle
    step = (left - right) / (2 * curvature) if curvature > 0 else 0.0
    return _DISTANCES[k : k + 1] * (_DISTANCES[1] / _DISTANCES[0]) ** np.clip(step, -1, 1)

"""What an element costs by itself, so that energies of compounds become formation energies."""

import numpy as np

# Cells whose nearest neighbours are 1 apart, with fractional positions of the atoms.
_CRYSTALS: tuple[tuple[np.ndarray, list], ...] = (
    (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2), [[0, 0, 0]]),  # fcc
    (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3), [[0, 0, 0]]),  # bcc
    (
        np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]]),  # hcp
        [[0, 0, 0], [1 / 3, 2 / 3, 1 / 2]],
    ),
    (
        np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]]) / np.sqrt(3),  # diamond
        [[0, 0, 0], [0.25, 0.25, 0.25]],
    ),
)
_BOX = 15.0 * np.eye(3)
# Logarithms of nearest distances tried, over the sum of covalent radii: bonds of molecules can be
# shorter, and crystals of light elements that dense have hundreds of neighbours.
_OF_CRYSTALS, _OF_MOLECULES = np.linspace(-0.1, 0.3, 8), np.linspace(-0.33, 0.33, 12)


def energy_of_element(number, calls):
    """Lowest energy of an element in eV/atom, among simple crystals and molecules of two atoms."""
    from ase import Atoms
    from ase.data import covalent_radii

    def lowest(cell, positions, tried):
        def energies(logarithms):
            lengths = 2 * covalent_radii[number] * np.exp(logarithms)
            numbers = [number] * len(positions)
            images = [
                Atoms(numbers, scaled_positions=positions, cell=length * cell, pbc=True)
                for length in lengths
            ]
            return calls.energies(images) / len(positions)

        found = energies(tried)
        return min(found.min(), *energies([_lowest_point(tried, found)]))

    molecules = lowest(_BOX, [[0, 0, 0], [1 / 15, 0, 0]], _OF_MOLECULES)
    return min(molecules, *(lowest(*crystal, _OF_CRYSTALS) for crystal in _CRYSTALS))


def _lowest_point(x, y):
    """Where a parabola through the lowest of evenly spaced points and its neighbours is lowest."""
    k = np.clip(y.argmin(), 1, len(x) - 2)
    left, middle, right = y[k - 1 : k + 2]
    curvature = left + right - 2 * middle
    step = (left - right) / (2 * curvature) if curvature > 0 else 0.0
    return x[k] + np.clip(step, -1, 1) * (x[1] - x[0])

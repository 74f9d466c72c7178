"""A fitted potential as an ASE calculator."""

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes

from trisk.estimators.triforces._crystals import read_crystals, to_batch
from trisk.estimators.triforces._frames import matrix_to_voigt


class TriForcesCalculator(Calculator):
    """ASE calculator of a fitted potential.

    Parameters
    ----------
    potential : TriForcesPotential
        Fitted potential.
    skin : float
        Distance in Å by which neighbours are found beyond the cutoff, so that the list lasts for
        several steps.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential, skin):
        super().__init__()
        self.potential = potential
        self.skin = skin
        self._found_for = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Compute energy, forces and stress of a crystal."""
        super().calculate(atoms, properties, system_changes)
        self._update_batch()
        results = self.potential._evaluate_batch(self._batch)
        energy = float(results["energy"][0])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": results["forces"],
            "stress": matrix_to_voigt(results["stress"][0]),
        }

    def _update_batch(self):
        """Move the atoms, with new neighbours if the old list no longer holds."""
        old, new = self._found_for, self.atoms
        holds = (
            old is not None
            and np.array_equal(old.numbers, new.numbers)
            and np.array_equal(old.cell.array, new.cell.array)
            and np.linalg.norm(old.positions - new.positions, axis=1).max() < self.skin / 2
        )
        if not holds:
            graphs = read_crystals([new], self.potential.cutoff + self.skin)
            self.potential._check_elements(graphs)
            parameter = next(self.potential.nets_[0].module_.parameters())
            self._batch = to_batch(graphs, parameter.device, parameter.dtype)
            self._found_for = new.copy()
        positions = torch.as_tensor(new.positions).to(self._batch.positions)
        self._batch = self._batch.moved(positions)

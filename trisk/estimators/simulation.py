"""A potential behind the interfaces of simulation engines: ASE and torch-sim."""

import numpy as np
import torch

from trisk._optional import if_absent
from trisk.nn import to_batch
from trisk.structures import StructureError, connect
from trisk.structures.checks import complete_lattice, find_faults
from trisk.structures.graphs import unbonded


def voigt_to_matrix(stress):
    """Stresses in the order xx, yy, zz, yz, xz, xy → symmetric matrices."""
    return np.asarray(stress)[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]


def matrix_to_voigt(stress):
    """Symmetric matrices → stresses in the order xx, yy, zz, yz, xz, xy."""
    return np.asarray(stress)[..., [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def evaluate(modules, batch):
    """Means of the networks' results by name, and spreads if there are several networks."""
    outputs = [module(batch) for module in modules]
    stacked = {name: torch.stack([output[name] for output in outputs]) for name in outputs[0]}
    results = {name: values.mean(0) for name, values in stacked.items()}
    if len(modules) > 1:
        for name in ("energy", "forces"):
            results[f"{name}_std"] = stacked[name].std(0, correction=0)
    return results


class Evaluator:
    """Evaluates structures that change little from call to call.

    Neighbours are found within the cutoff and a skin, and found anew when an atom has moved by
    half of it, or anything but the positions has changed.
    """

    def __init__(self, potential, skin, dtype):
        if not skin >= 0:
            raise ValueError(f"skin must be a length in Å of 0 or more, not {skin!r}.")
        self.potential = potential
        self.skin = skin
        self.modules = potential._modules(dtype)
        self._found = None

    def __call__(self, numbers, positions, lattices, pbc, counts):
        """Results of structures of so many atoms each, as tensors by name."""
        given = numbers, lattices, pbc, counts
        holds = self._found is not None and all(map(np.array_equal, self._found, given))
        if holds:
            farthest = np.linalg.norm(positions - self._positions, axis=1).max()
            holds = farthest < self.skin / 2
        if not holds:
            self._search(*given, positions)
        moved = torch.as_tensor(positions).to(self._batch.positions)
        return evaluate(self.modules, self._batch.moved(moved))

    def _search(self, numbers, lattices, pbc, counts, positions):
        self._found = None
        ends = np.cumsum(counts)
        whole = [
            complete_lattice(positions[end - count : end], lattice, repeats)
            for end, count, lattice, repeats in zip(ends, counts, lattices, pbc, strict=True)
        ]
        atoms = unbonded(counts, numbers, positions, whole, pbc)
        for row, cause in find_faults(atoms, self.potential._closest).items():
            raise StructureError(f"Structure {row} cannot be used: {cause}")
        self.potential._check_elements(atoms)
        graphs = connect(atoms, self.potential.options("network").cutoff + self.skin)
        parameter = next(self.modules[0].parameters())
        self._batch = to_batch(graphs, parameter.device, parameter.dtype)
        self._found = tuple(np.copy(a) for a in (numbers, lattices, pbc, counts))
        self._positions = np.copy(positions)


def make_calculator(potential, skin, dtype):
    """ASE's base class is imported here: potentials are trained without ASE."""
    from ase.calculators.calculator import (
        Calculator,
        PropertyNotImplementedError,
        all_changes,
    )

    class TriForcesCalculator(Calculator):
        """ASE calculator of a fitted potential, with a list of neighbours for several steps."""

        implemented_properties = ["energy", "energies", "free_energy", "forces", "stress"]

        def __init__(self):
            super().__init__()
            self.potential = potential
            self.evaluator = Evaluator(potential, skin, dtype)

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            """Compute energies, forces and stress."""
            super().calculate(atoms, properties, system_changes)
            new = self.atoms
            periodic = bool(new.pbc.all())
            if "stress" in properties and not periodic:
                raise PropertyNotImplementedError(f"there is no stress: pbc is {new.pbc.tolist()}")
            cell, pbc = new.cell.array[None], new.pbc[None]
            found = self.evaluator(new.numbers, new.positions, cell, pbc, np.array([len(new)]))
            results = {name: values.cpu().double().numpy() for name, values in found.items()}
            stress = results.pop("stress")
            for name in {"energy", "energy_std"} & set(results):
                results[name] = float(results[name][0])
            self.results = {**results, "free_energy": results["energy"]}
            if periodic:
                self.results["stress"] = matrix_to_voigt(stress[0])

    return TriForcesCalculator()


def make_torch_sim_model(potential, skin, dtype):
    """torch-sim's base class is imported here, as it is an optional package."""
    with if_absent("torch_sim_model() needs torch-sim: pip install torch-sim-atomistic"):
        from torch_sim.models.interface import ModelInterface

    class TriForcesModel(ModelInterface):
        """Model of torch-sim: many structures at once, each under its own boundary conditions."""

        def __init__(self):
            super().__init__()
            self.evaluator = Evaluator(potential, skin, dtype)
            parameter = next(self.evaluator.modules[0].parameters())
            self._device, self._dtype = parameter.device, parameter.dtype
            self._compute_stress = self._compute_forces = True
            self._memory_scales_with = "n_atoms_x_density"

        def forward(self, state, **kwargs):
            """Energies, forces and stresses of a state, in eV and Å."""
            counts = torch.bincount(state.system_idx, minlength=state.n_systems).cpu().numpy()
            pbc = torch.as_tensor(state.pbc).expand(len(counts), 3).cpu().numpy()
            results = self.evaluator(
                state.atomic_numbers.cpu().numpy(),
                state.positions.detach().double().cpu().numpy(),
                state.row_vector_cell.detach().double().cpu().numpy(),
                pbc,
                counts,
            )
            names = ("energy", "forces", "stress")
            return {name: results[name].to(state.device, self._dtype) for name in names}

    return TriForcesModel()

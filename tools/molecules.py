"""Random molecules, relaxed and measured by GFN2-xTB, in an archive of arrays.

    pip install rdkit tblite ase qm9pack
    python -m tools.molecules /tmp/molecules.npz --seeds 0 12000

A molecule is a random graph of up to twelve atoms of B, C, N, O, F, Si, P, S, Cl and Br with rings
and multiple bonds, one for each seed, saturated with hydrogen, which RDKit finds valid. Its
geometry comes from RDKit (ETKDG, then MMFF94 or UFF) and is relaxed by GFN2-xTB. Those whose bonds
are others afterwards are left out, and so are all that are a molecule of QM9, by formula, bonds and
hydrogens of its InChI. Some 0.4 seconds of one core for each molecule.
"""

import argparse
import time
from pathlib import Path

import numpy as np

#: What is measured, per molecule; extensive quantities are divided by the number of atoms.
COLUMNS = (
    "atomisation energy (eV/atom)",
    "gap (eV)",
    "highest occupied (eV)",
    "lowest unoccupied (eV)",
    "dipole (e Å)",
    "lowest charge (e)",
    "highest charge (e)",
    "mean square charge (e²)",
    "heat capacity (meV/(K atom))",
    "zero-point energy (eV/atom)",
    "highest frequency (1/cm)",
    "geometric mean frequency (1/cm)",
)
_ELEMENTS = {"C": 0.62, "N": 0.13, "O": 0.15, "F": 0.02, "S": 0.03, "Cl": 0.015, "Si": 0.01,
             "P": 0.01, "B": 0.01, "Br": 0.005}  # fmt: skip
_VALENCES = {"C": 4, "N": 3, "O": 2, "F": 1, "S": 2, "Cl": 1, "Si": 4, "P": 3, "B": 3, "Br": 1}
_SIZES = {3: 0.01, 4: 0.02, 5: 0.04, 6: 0.07, 7: 0.14, 8: 0.24, 9: 0.36, 10: 0.06, 11: 0.04,
          12: 0.02}  # fmt: skip
_BOHR, _HARTREE = 0.529177211, 27.2113862  # Å, eV
# Steps of a relaxation, the largest force at its end; displacements for second derivatives.
_STEPS, _FORCE, _DISPLACEMENT = 50, 0.04, 0.01  # –, eV/Å, Å
_WAVENUMBER = 521.4709  # of sqrt(eV/Å²/u), in 1/cm
_BOLTZMANN, _KELVIN, _CM = 8.617333e-5, 298.15, 1.2398420e-4  # eV/K, K, eV cm


def draw(seed):
    """A random molecule as RDKit's object with hydrogens, or None where the graph is not valid."""
    from rdkit import Chem

    random = np.random.default_rng(seed)
    n_atoms = random.choice(list(_SIZES), p=list(_SIZES.values()))
    weights = np.array(list(_ELEMENTS.values()))
    names = list(random.choice(list(_ELEMENTS), size=n_atoms, p=weights / weights.sum()))
    names.sort(key=lambda name: -_VALENCES[name])
    free = np.array([_VALENCES[name] for name in names])
    orders = np.zeros((n_atoms, n_atoms), dtype=int)

    def bond(first, second):
        orders[first, second] += 1
        orders[second, first] += 1
        free[[first, second]] -= 1

    hetero = np.array([name != "C" for name in names])
    for atom in range(1, n_atoms):
        # Carbon is the likelier partner, and of two atoms the one with fewer neighbours.
        chance = (free[:atom] > 0) / (1 + (orders[:atom] > 0).sum(1))
        chance = chance * np.where(hetero[:atom] & hetero[atom], 0.1, 1.0)
        if free[atom] < 1 or chance.sum() == 0:
            return None
        bond(random.choice(atom, p=chance / chance.sum()), atom)
    for _ in range(random.choice(5, p=[0.2, 0.3, 0.27, 0.15, 0.08])):
        distance = np.minimum(_steps_between(orders), 99).astype(int)
        first, second = np.nonzero(
            (free[:, None] > 0) & (free > 0) & (distance >= 2) & (distance <= 6)
        )
        if len(first) == 0:
            break
        chance = np.where(hetero[first] & hetero[second], 0.1, 1.0)
        chance = chance * np.array([0.6, 0.6, 1, 1, 0.3])[distance[first, second] - 2]
        k = random.choice(len(first), p=chance / chance.sum())
        bond(first[k], second[k])
    for _ in range(random.choice(5, p=[0.3, 0.35, 0.2, 0.1, 0.05])):
        first, second = np.nonzero(np.triu(orders) * (free[:, None] > 0) * (free > 0))
        if len(first) == 0:
            break
        k = random.integers(len(first))
        bond(first[k], second[k])
    molecule = Chem.RWMol()
    for name in names:
        molecule.AddAtom(Chem.Atom(name))
    kinds = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    for first, second in zip(*np.nonzero(np.triu(orders)), strict=True):
        if orders[first, second] > 3:
            return None
        molecule.AddBond(int(first), int(second), kinds[orders[first, second]])
    if Chem.SanitizeMol(molecule, catchErrors=True):
        return None
    return Chem.AddHs(molecule)


def _steps_between(orders):
    """Bonds between each two atoms."""
    from scipy.sparse.csgraph import shortest_path

    return shortest_path(orders > 0, unweighted=True)


def embed(molecule, seed):
    """Atomic numbers and positions in Å by RDKit's force fields, or None."""
    from rdkit.Chem import AllChem

    settings = AllChem.ETKDGv3()
    settings.randomSeed = seed % 2**31
    settings.maxIterations = 10  # of rings that cannot be
    if AllChem.EmbedMolecule(molecule, settings) != 0:
        return None
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        AllChem.MMFFOptimizeMolecule(molecule)
    elif AllChem.UFFHasAllMoleculeParams(molecule):
        AllChem.UFFOptimizeMolecule(molecule)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    return numbers, molecule.GetConformer().GetPositions()


class Teacher:
    """GFN2-xTB for one molecule after the other."""

    def __init__(self):
        self._atoms = {}

    def _calculate(self, numbers, positions, unpaired=0):
        from tblite.interface import Calculator

        made = Calculator("GFN2-xTB", numbers, positions / _BOHR, uhf=unpaired)
        made.set("verbosity", 0)
        return made

    def free_atom(self, number):
        """Energy of an atom in its ground state, eV."""
        unpaired = {1: 1, 5: 1, 6: 2, 7: 3, 8: 2, 9: 1, 14: 2, 15: 3, 16: 2, 17: 1, 35: 1}
        if number not in self._atoms:
            made = self._calculate(np.array([number]), np.zeros((1, 3)), unpaired[number])
            self._atoms[number] = made.singlepoint().get("energy") * _HARTREE
        return self._atoms[number]

    def forces(self, made, positions, known=None):
        """Energy in eV, forces in eV/Å, and the whole answer."""
        made.update(positions=positions / _BOHR)
        answer = made.singlepoint(known)
        return answer, answer.get("energy") * _HARTREE, -answer.get("gradient") * _HARTREE / _BOHR

    def relax(self, numbers, positions):
        """Positions of rest, by BFGS; None where it does not come to rest."""
        from scipy.optimize import minimize

        made, last = self._calculate(numbers, positions), [None]

        def value(flat):
            last[0], energy, forces = self.forces(made, flat.reshape(-1, 3), last[0])
            return energy, -forces.ravel()

        options = {"maxiter": _STEPS, "gtol": _FORCE}
        found = minimize(value, positions.ravel(), jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(-1, 3) if abs(found.jac).max() < 3 * _FORCE else None

    def measure(self, numbers, positions):
        """The columns of one relaxed molecule."""
        from ase.data import atomic_masses

        made = self._calculate(numbers, positions)
        answer, energy, rest = self.forces(made, positions)
        levels = answer.get("orbital-energies") * _HARTREE
        filled = answer.get("orbital-occupations") > 0.5
        charges = answer.get("charges")
        # Charges of a neutral molecule: the dipole does not depend on the origin.
        dipole = np.linalg.norm(answer.get("dipole")) * _BOHR
        n_atoms = len(numbers)
        second = np.empty((3 * n_atoms, 3 * n_atoms))
        for k in range(3 * n_atoms):
            moved = positions.copy()
            moved.ravel()[k] += _DISPLACEMENT
            second[k] = (rest - self.forces(made, moved, answer)[2]).ravel() / _DISPLACEMENT
        root = np.sqrt(np.repeat(atomic_masses[numbers], 3))
        second = (second + second.T) / 2 / np.outer(root, root)
        waves = _WAVENUMBER * np.sqrt(np.linalg.eigvalsh(second)[6:].clip(0))
        waves = waves.clip(20)
        x = waves * _CM / (_BOLTZMANN * _KELVIN)
        capacity = _BOLTZMANN * (3 + (x**2 * np.exp(x) / np.expm1(x) ** 2).sum())
        atoms = sum(self.free_atom(number) for number in numbers)
        return [
            (energy - atoms) / n_atoms,
            levels[~filled].min() - levels[filled].max(),
            levels[filled].max(),
            levels[~filled].min(),
            dipole,
            charges.min(),
            charges.max(),
            np.square(charges).mean(),
            1e3 * capacity / n_atoms,
            waves.sum() * _CM / 2 / n_atoms,
            waves.max(),
            np.exp(np.log(waves).mean()),
        ]


def keeps_bonds(molecule, numbers, positions):
    """Whether the bonds of the graph, and no others, are as long as bonds are."""
    from ase.data import covalent_radii

    bonded = np.zeros((len(numbers), len(numbers)), dtype=bool)
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonded[ends] = bonded[ends[::-1]] = True
    radii = covalent_radii[numbers]
    ratio = np.linalg.norm(positions[:, None] - positions, axis=2) / (radii[:, None] + radii)
    np.fill_diagonal(ratio, 9)
    return bool((ratio[bonded] < 1.3).all() and (ratio[~bonded] > 1.3).all())


def judged_molecules():
    """Connectivity of every molecule of QM9."""
    from importlib.util import find_spec

    import pandas as pd

    folder = Path(find_spec("qm9pack").submodule_search_locations[0]) / "data"
    read = [pd.read_csv(folder / f"qm9_part{k}.csv", usecols=["InChi"]) for k in (1, 2, 3)]
    return {_first_blocks(text) for text in pd.concat(read)["InChi"]}


def collect(path, start, stop, judged):
    """Draw, relax and measure one molecule for each seed; write them to an archive of arrays."""
    from rdkit import RDLogger

    RDLogger.DisableLog("rdApp.*")
    teacher, found, seen, started = Teacher(), [], set(), time.perf_counter()
    for seed in range(start, stop):
        molecule = draw(seed)
        if molecule is None:
            continue
        block = connectivity(molecule)
        if block in judged or block in seen:
            continue
        seen.add(block)
        made = embed(molecule, seed)
        if made is None:
            continue
        numbers, positions = made
        try:
            positions = teacher.relax(numbers, positions)
            if positions is None or not keeps_bonds(molecule, numbers, positions):
                continue
            row = teacher.measure(numbers, positions)
        except RuntimeError:  # charges did not converge
            continue
        found.append((numbers, positions.astype(np.float32), row, block))
        if len(found) % 500 == 0:
            _write(path, found)
            print(f"{len(found)} of {seed + 1 - start} seeds, "
                  f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
    _write(path, found)


def connectivity(molecule):
    """InChI's formula, bonds and hydrogens: no stereochemistry, tautomers alike."""
    from rdkit import Chem

    return _first_blocks(Chem.MolToInchi(molecule))


def _first_blocks(inchi):
    return "/".join(inchi.split("/")[1:4])


def _write(path, found):
    numbers, positions, rows, blocks = zip(*found, strict=True)
    np.savez_compressed(
        path,
        numbers=np.concatenate(numbers).astype(np.uint8),
        positions=np.concatenate(positions),
        sizes=np.array([len(n) for n in numbers]),
        rows=np.array(rows),
        blocks=np.array(blocks),
    )


def read(paths):
    """ASE's Atoms and measurements of the archives, each molecule once."""
    from ase import Atoms

    frames, rows, seen = [], [], set()
    for path in paths:
        with np.load(path) as archive:
            ends = np.cumsum(archive["sizes"])[:-1]
            numbers = np.split(archive["numbers"], ends)
            positions = np.split(archive["positions"], ends)
            for k, block in enumerate(archive["blocks"]):
                if block not in seen:
                    seen.add(block)
                    frames.append(Atoms(numbers[k], positions[k].astype(float)))
                    rows.append(archive["rows"][k])
    return frames, np.array(rows)


def main():
    """Measure one molecule for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path, help="file to write")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 12_000), help="from, and up to")
    arguments = parser.parse_args()
    collect(arguments.archive, *arguments.seeds, judged_molecules())


if __name__ == "__main__":
    main()

"""Crystals whose chemistry and prototype are known, for retrieval and probes."""

from collections import Counter
from functools import cache

import numpy as np
import pandas as pd

from benchmarks import data

MAX_ATOMS = 20
#: Per stoichiometry: prototypes, and formulas put on each of them.
N_PROTOTYPES, N_FORMULAS = 8, 24
#: Of each decorated crystal: copies, largest strain, standard deviation of displacements in Å.
N_COPIES, STRAIN, NOISE = 2, 0.03, 0.05
_FAMILIES = {
    "oxide": ("O",), "halide": ("F", "Cl", "Br", "I"), "chalcogenide": ("S", "Se", "Te"),
    "pnictide": ("N", "P", "As"), "carbide": ("C",),
}  # fmt: skip


@cache
def phonons():
    """Relaxed crystals of Matbench's phonon task, with prototypes by symmetry."""
    structures = list(data.matbench("phonons")[0])
    return _frame(structures, [symmetry_label(s) for s in structures], map(_cell, structures))


@cache
def perovskites():
    """Cubic cells of five atoms, all of one prototype."""
    found, _ = data.cubic_perovskites()
    return _frame(found, ["perovskite"] * len(found), [(5, "cubic")] * len(found))


@cache
def decorated():
    """Formulas of the Materials Project on every prototype of their stoichiometry, distorted.

    Chemical systems with formulas of many stoichiometries come first, so that the same elements
    stand in many prototypes.
    """
    from tools.prototypes import decorate_prototypes
    from trisk.datasets import load_prototypes

    rng = np.random.default_rng(0)
    prototypes = load_prototypes(as_frame=True)
    prototypes = prototypes[[len(s) <= MAX_ATOMS for s in prototypes["structure"]]]
    patterns = np.array([s.composition.anonymized_formula for s in prototypes["structure"]])
    formulas = pd.read_csv(data.DATA / "mp_formulas_e_form.csv.gz")["formula"].drop_duplicates()
    by_pattern = _common_formulas(formulas, {p for p, n in Counter(patterns).items() if n >= 4})
    structures, labels, cells = [], [], []
    for pattern, chosen in by_pattern.items():
        rows = np.flatnonzero(patterns == pattern)
        for row in np.sort(rng.permutation(rows)[:N_PROTOTYPES]):
            prototype = prototypes["structure"].iloc[row]
            made = decorate_prototypes(chosen, [prototype], len(chosen), max_atoms=MAX_ATOMS)
            cells += [_cell(prototype)] * len(made) * N_COPIES
            structures += [_distorted(crystal, rng) for crystal in made for _ in range(N_COPIES)]
            labels += [prototypes["aflow"].iloc[row]] * N_COPIES * len(made)
    return _frame(structures, labels, cells)


def _common_formulas(formulas, patterns):
    """Formulas of each pattern, one per chemical system, first of systems with many patterns."""
    from pymatgen.core import Composition

    compositions = [(Composition(formula), formula) for formula in formulas]
    rows = [(c.chemical_system, c.anonymized_formula, formula) for c, formula in compositions]
    table = pd.DataFrame(rows, columns=["system", "pattern", "formula"])
    table = table[table["pattern"].isin(patterns)].drop_duplicates(["system", "pattern"])
    table["size"] = table.groupby("system")["formula"].transform("size")
    table = table.sort_values(["size", "system"], ascending=False, kind="stable")
    groups = table.groupby("pattern")["formula"]
    return {pattern: found.head(N_FORMULAS).to_numpy() for pattern, found in groups}


def _distorted(crystal, rng):
    """A copy under a random symmetric strain with displaced atoms."""
    from pymatgen.core import Structure

    strain = rng.uniform(-STRAIN, STRAIN, (3, 3))
    lattice = crystal.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2)
    copy = Structure(lattice, crystal.species, crystal.frac_coords)
    moves = NOISE * rng.normal(size=(len(copy), 3)) / np.sqrt(3)
    return Structure(lattice, copy.species, copy.cart_coords + moves, coords_are_cartesian=True)


def symmetry_label(structure):
    """Anonymous formula, space group, and the orbits of its kinds of atoms."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    found = SpacegroupAnalyzer(structure, symprec=0.01).get_symmetry_dataset()
    elements = [site.specie.symbol for site in structure]
    orbits = found.crystallographic_orbits.tolist(), found.site_symmetry_symbols, elements
    kinds = {}
    for (_, symmetry, element), count in Counter(zip(*orbits, strict=True)).items():
        kinds.setdefault(element, []).append(f"{count}{symmetry}")
    described = sorted("+".join(sorted(kind)) for kind in kinds.values())
    return f"{structure.composition.anonymized_formula} {found.number} {' '.join(described)}"


def _cell(structure):
    """Number of atoms of the primitive cell, and crystal system."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
    return len(analyzer.find_primitive()), analyzer.get_crystal_system()


def _frame(structures, prototypes, cells):
    """Table in random order, as neighbours at equal distance come in order of rows."""
    compositions = [s.composition for s in structures]
    n_atoms, systems = zip(*cells, strict=True)
    return pd.DataFrame(
        {
            "structure": structures,
            "formula": [c.reduced_formula for c in compositions],
            "system": [c.chemical_system for c in compositions],
            "prototype": prototypes,
            "primitive_atoms": n_atoms,
            "crystal_system": systems,
            "relatives": [_relatives(c) for c in compositions],
        }
    ).sample(frac=1, random_state=0, ignore_index=True)


def _relatives(composition):
    """Amounts and columns of the periodic table: equal for NaCl and KBr."""
    reduced = composition.reduced_composition
    return " ".join(sorted(f"{element.group}:{amount:g}" for element, amount in reduced.items()))


def family(composition):
    """Oxide, halide, …, by the anion, or intermetallic, or other."""
    present = {element.symbol for element in composition}
    anions = [name for name, symbols in _FAMILIES.items() if present & set(symbols)]
    if len(present) == 1:
        return "element"
    if not anions:
        return "intermetallic" if all(e.is_metal for e in composition) else "other"
    return anions[0] if len(anions) == 1 else "mixed anions"


def properties(crystals, fewest=40):
    """What probes predict; classes with fewer crystals are missing."""
    from ase.data import covalent_radii

    rows = []
    for structure in crystals["structure"]:
        numbers = np.array(structure.atomic_numbers)
        distances = [min(n.nn_distance for n in near) for near in structure.get_all_neighbors(12.0)]
        spheres = (4 / 3 * np.pi * covalent_radii[numbers] ** 3).sum()
        composition = structure.composition
        rows.append(
            {
                "volume per atom": np.log(structure.volume / len(numbers)),
                "nearest neighbour": np.log(np.mean(distances)),
                "packing": np.log(spheres / structure.volume),
                "majority element": max(composition, key=lambda e: (composition[e], e.Z)).symbol,
                "chemical family": family(composition),
            }
        )
    table = pd.DataFrame(rows)
    table["atoms per cell"] = np.log(crystals["primitive_atoms"])
    table["crystal system"], table["prototype"] = crystals["crystal_system"], crystals["prototype"]
    for name in ("majority element", "chemical family", "crystal system", "prototype"):
        common = table.groupby(name)[name].transform("size") >= fewest
        table[name] = table[name].where(common)
    return table

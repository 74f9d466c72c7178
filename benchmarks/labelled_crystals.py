"""Crystals whose chemistry and prototype are known, for retrieval.py and probes.py."""

import os
from collections import Counter

import numpy as np
import pandas as pd
from perovskites import DATA, read_perovskites
from pymatgen.core import Composition, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from trisk.datasets import load_matbench, load_prototypes
from trisk.pretraining import decorate_prototypes

MAX_ATOMS = 20
#: Per stoichiometry: prototypes, and formulas put on each of them.
N_PROTOTYPES, N_FORMULAS = 8, 24
#: Of each decorated crystal: copies, largest strain, and standard deviation of displacements in Å.
N_COPIES, STRAIN, NOISE = 2, 0.03, 0.05
_FAMILIES = {
    "oxide": ("O",), "halide": ("F", "Cl", "Br", "I"), "chalcogenide": ("S", "Se", "Te"),
    "pnictide": ("N", "P", "As"), "carbide": ("C",),
}  # fmt: skip


def phonons():
    """Relaxed crystals of the Materials Project, with prototypes by symmetry."""
    os.environ.setdefault("MATMINER_DATA", str((DATA / "matminer").resolve()))
    structures = list(load_matbench("phonons")[0])
    return _frame(structures, [symmetry_label(s) for s in structures], map(_cell, structures))


def perovskites():
    """Cubic cells of five atoms, all of one prototype."""
    found, _ = read_perovskites()
    return _frame(found, ["perovskite"] * len(found), [(5, "cubic")] * len(found))


def decorated(random_state=0):
    """Formulas of the Materials Project on every prototype of their stoichiometry, distorted.

    Chemical systems with formulas of many stoichiometries come first, so that the same elements
    stand in many prototypes. Every crystal comes in copies of different strain and noise.
    """
    rng = np.random.default_rng(random_state)
    prototypes = load_prototypes(as_frame=True)
    prototypes = prototypes[[len(s) <= MAX_ATOMS for s in prototypes["structure"]]]
    patterns = [s.composition.anonymized_formula for s in prototypes["structure"]]
    formulas = pd.read_csv(DATA / "mp_formulas_e_form.csv.gz")["formula"].drop_duplicates()
    by_pattern = _common_formulas(formulas, {p for p, n in Counter(patterns).items() if n >= 4})
    structures, labels, cells = [], [], []
    for pattern, chosen in by_pattern.items():
        rows = np.flatnonzero(np.array(patterns) == pattern)
        for row in np.sort(rng.permutation(rows)[:N_PROTOTYPES]):
            prototype = prototypes["structure"].iloc[row]
            made = decorate_prototypes(chosen, [prototype], len(chosen), max_atoms=MAX_ATOMS)
            cells += [_cell(prototype)] * len(made) * N_COPIES
            for crystal in made:
                structures += [distorted(crystal, rng) for _ in range(N_COPIES)]
                labels += [prototypes["aflow"].iloc[row]] * N_COPIES
    return _frame(structures, labels, cells)


def _common_formulas(formulas, patterns):
    """Formulas of each pattern, one per chemical system, first of systems with many patterns."""
    compositions = [Composition(f) for f in formulas]
    rows = [
        (c.chemical_system, c.anonymized_formula, f)
        for c, f in zip(compositions, formulas, strict=True)
        if c.anonymized_formula in patterns
    ]
    table = pd.DataFrame(rows, columns=["system", "pattern", "formula"])
    table = table.drop_duplicates(["system", "pattern"])
    table["size"] = table.groupby("system")["formula"].transform("size")
    table = table.sort_values(["size", "system"], ascending=False, kind="stable")
    return {
        pattern: group["formula"].head(N_FORMULAS).to_numpy()
        for pattern, group in table.groupby("pattern")
    }


def distorted(crystal, rng):
    """A copy under a random symmetric strain with displaced atoms."""
    strain = rng.uniform(-STRAIN, STRAIN, (3, 3))
    lattice = crystal.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2)
    copy = Structure(lattice, crystal.species, crystal.frac_coords)
    moves = NOISE * rng.normal(size=(len(copy), 3)) / np.sqrt(3)
    return Structure(lattice, copy.species, copy.cart_coords + moves, coords_are_cartesian=True)


def symmetry_label(structure):
    """Anonymous formula, space group, and the orbits of its kinds of atoms."""
    analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
    data = analyzer.get_symmetry_dataset()
    orbits = Counter(zip(data.crystallographic_orbits.tolist(), data.site_symmetry_symbols,
                         [site.specie.symbol for site in structure], strict=True))  # fmt: skip
    kinds = {}
    for (_, symmetry, element), count in orbits.items():
        kinds.setdefault(element, []).append(f"{count}{symmetry}")
    described = sorted("+".join(sorted(kind)) for kind in kinds.values())
    pattern = structure.composition.anonymized_formula
    return f"{pattern} {data.number} {' '.join(described)}"


def _cell(structure):
    """Number of atoms of the primitive cell, and crystal system."""
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

"""What a crystal graph holds: atoms, bonds, angles, dihedrals and the physics of the bonds.

    python examples/crystal_graphs.py

Builds the graphs of the crystal prototypes that come with pymatgen, reads some of them as a
chemist would, and shows what happens to a structure that is no crystal. Takes some seconds.
"""

import argparse

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

import trisk
from trisk import CrystalGraphFeaturizer, SpringModelFeaturizer

MINERALS = ["diamond", "Zincblende, Sphalerite", "Halite, Rock Salt", "Corundum", "quartz (alpha)"]


def describe(graphs, formulas):
    """One row per structure: how much it holds, and its stiffest bond."""
    rows = []
    for graph, formula in zip((graphs[row] for row in range(len(graphs))), formulas, strict=True):
        stiffness, _, frequency = graph.bond_sensors.T
        stiffest = stiffness.argmax()
        rows.append(
            {
                "formula": formula,
                "atoms": graph.counts("atom")[0],
                "bonds": graph.counts("bond")[0],
                "angles": graph.counts("angle")[0],
                "dihedrals": graph.counts("dihedral")[0],
                "stiffest bond, Å": graph.bond_lengths[stiffest],
                "N/m": stiffness[stiffest],
                "fastest bond, 1/cm": frequency.max(),
            }
        )
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the prototypes")
    arguments = parser.parse_args()

    frame = trisk.load_prototypes(as_frame=True)
    structures = frame["structure"]
    if arguments.quick:
        structures = structures[::10]

    featurizer = CrystalGraphFeaturizer()
    graphs = featurizer.fit_transform(structures)
    print(f"{len(graphs)} graphs:")
    for level in ("atom", "bond", "angle", "dihedral"):
        print(f"  {graphs.offsets[level][-1]:7,} {level}s")
    print("An atom carries", ", ".join(graphs.names["atom_features"][:7]), "…")
    print("A bond carries", ", ".join(graphs.names["bond_sensors"]))
    print("A structure carries", graphs.context.shape[1], "features of its composition\n")

    known = frame[frame["mineral"].isin(MINERALS)].drop_duplicates("mineral")
    formulas = [structure.reduced_formula for structure in known["structure"]]
    table = describe(featurizer.transform(known["structure"]), formulas)
    springs = SpringModelFeaturizer().fit_transform(known["structure"])
    # The two atoms of the fastest bond, held by all the other springs.
    table["fastest pair, 1/cm"] = springs["SpringModel highest pair frequency (1/cm)"].to_numpy()
    print(table.set_index(known["mineral"]).round(2).to_string(), "\n")

    # Batches are split by rows, as scikit-learn splits arrays.
    train, test = graphs[: len(graphs) // 2], graphs[len(graphs) // 2 :]
    print(f"Split into {len(train)} and {len(test)} structures.")
    degrees = np.degrees(np.arccos(graphs.angle_cosines))
    for name, angle in (("a tetrahedron", 109.47), ("an octahedron", 90), ("close packing", 60)):
        share = (np.abs(degrees - angle) < 3).mean()
        print(f"{share:4.0%} of the angles are within 3° of {angle}°, as in {name}.")
    print()

    overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.02, 0, 0]])
    wrong = [structures.iloc[0], overlapping, "no such file.cif"]
    errors = CrystalGraphFeaturizer().fit(wrong).explain_errors(wrong)
    print(errors.drop(columns="featurizer").to_string(index=False))


if __name__ == "__main__":
    main()

"""
What a crystal graph holds
==========================

Graphs of the 288 crystal prototypes that come with pymatgen: atoms, bonds, angles, dihedrals and
the physics of the bonds. Some of them are read as a chemist would. Seconds.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from pymatgen.core import Lattice, Structure

import trisk
from trisk import CrystalGraphFeaturizer, SpringModelFeaturizer

prototypes = trisk.load_prototypes(as_frame=True)
featurizer = CrystalGraphFeaturizer()
graphs = featurizer.fit_transform(prototypes["structure"])

print(f"{len(graphs)} graphs:")
for level in ("atom", "bond", "angle", "dihedral"):
    print(f"  {graphs.offsets[level][-1]:7,} {level}s")
print("An atom carries", ", ".join(graphs.names["atom_features"][:7]), "…")
print("A bond carries", ", ".join(graphs.names["bond_sensors"]))
print("A structure carries", graphs.context.shape[1], "features of its composition")

# %%
# Some minerals: how much their graphs hold, their stiffest bond, and the frequency of the fastest
# pair of atoms when all bonds are springs.

minerals = ["diamond", "Zincblende, Sphalerite", "Halite, Rock Salt", "Corundum", "quartz (alpha)"]
known = prototypes[prototypes["mineral"].isin(minerals)].drop_duplicates("mineral")
springs = SpringModelFeaturizer().fit_transform(known["structure"])

rows = []
chosen = featurizer.transform(known["structure"])
for number, structure in enumerate(known["structure"]):
    graph = chosen[number]
    stiffness = graph.bond_sensors[:, 0]
    rows.append(
        {
            "formula": structure.reduced_formula,
            **{level + "s": graph.counts(level)[0] for level in ("atom", "bond", "angle")},
            "stiffest bond, Å": graph.bond_lengths[stiffness.argmax()],
            "N/m": stiffness.max(),
        }
    )
table = pd.DataFrame(rows, index=known["mineral"])
fastest = springs["SpringModel highest pair frequency (1/cm)"].to_numpy()
print(table.assign(**{"fastest pair, 1/cm": fastest}).round(2).to_string())

# %%
# Angles tell how atoms are surrounded: tetrahedra (109.5°), octahedra (90°), close packing (60°).

degrees = np.degrees(np.arccos(graphs.angle_cosines))
fig, ax = plt.subplots(figsize=(7, 3.5))
ax.hist(degrees, bins=180, color="tab:blue")
for angle in (60, 90, 109.47):
    ax.axvline(angle, color="black", linewidth=0.8, linestyle=":")
ax.set(xlabel="bond angle (°)", ylabel="angles", xlim=(20, 180))
plt.show()

# %%
# Batches of graphs are split by rows, as scikit-learn splits arrays.

train, test = graphs[: len(graphs) // 2], graphs[len(graphs) // 2 :]
print(len(train), len(test))

# %%
# What cannot be used is named, with its cause.

overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.02, 0, 0]])
wrong = [prototypes["structure"][0], overlapping, "no such file.cif"]
errors = CrystalGraphFeaturizer().fit(wrong).explain_errors(wrong)
print(errors[["row", "cause"]].to_string(index=False))

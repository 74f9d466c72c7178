"""
Similar structures
==================

Which known crystals resemble a crystal: in what it is made of, in its geometry, or in both? The
prototypes that come with pymatgen are searched with the pre-trained streams that come with trisk.
Half a minute.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from pymatgen.core import Lattice, Structure

import trisk
from trisk import StructureRetriever
from trisk.estimators import load_pretrained
from trisk.plotting import EmbeddingDisplay

known = trisk.load_prototypes(as_frame=True)
known = known[[len(structure) <= 40 for structure in known["structure"]]].reset_index(drop=True)
label = known["mineral"].where(known["mineral"] != "", known["aflow"])
formula = known["structure"].map(lambda structure: structure.composition.reduced_formula)
known["name"] = formula + " (" + label + ")"

# %%
# Structures are embedded once; the columns of each stream are a block with its name.

pretrainer = load_pretrained("default")
embeddings = pretrainer.transform(known["structure"])
print(f"{len(embeddings)} crystals, columns {embeddings.columns[0]} … {embeddings.columns[-1]}")

# %%
# The nearest to cubic BaTiO3, stream by stream, and with both weighed.

query = Structure.from_spacegroup(
    "Pm-3m",
    Lattice.cubic(4.01),
    ["Ba", "Ti", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
)
choices = {
    "composition": "composition",
    "structure": "structure",
    "interaction": "interaction",
    "structure, some composition": {"composition": 1, "structure": 3},
}
nearest = {}
for title, streams in choices.items():
    retriever = StructureRetriever(pretrainer=pretrainer, streams=streams).fit(embeddings)
    indices = retriever.kneighbors([query], 4, return_distance=False)[0]
    nearest[title] = known["name"].iloc[indices].tolist()
print(pd.DataFrame(nearest).to_string(index=False))

# %%
# A search goes into a file; a crystal that was turned and rattled is found again.

with tempfile.TemporaryDirectory() as folder:
    retriever.save(Path(folder) / "prototypes.trisk")
    retriever = trisk.load(Path(folder) / "prototypes.trisk")
rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
lost = known["structure"][7]
lost = Structure(lost.lattice.matrix @ rotation, lost.species, lost.frac_coords)
lost.perturb(0.03, seed=0)
distances, indices = retriever.kneighbors([lost], 1)
print(f"{known['name'][7]} is recognised: {indices[0, 0] == 7} (distance {distances[0, 0]:.4f})")

# %%
# A map of the structure stream, coloured by crystal system.

systems = known["crystal_system"]
structure_only = embeddings.filter(like="structure").to_numpy()
structure_only = (structure_only - structure_only.mean(0)) / structure_only.std(0)
axes = np.linalg.svd(structure_only, full_matrices=False)[2][:2]
EmbeddingDisplay(
    coordinates=structure_only @ axes.T, color=systems, quantity="crystal system"
).plot()
plt.show()

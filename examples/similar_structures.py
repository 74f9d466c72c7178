"""Which known crystals resemble a crystal: in what it is made of, in its geometry, or in both.

    python examples/similar_structures.py

Searches the 288 prototypes that come with pymatgen with the pre-trained streams that come with
trisk, keeps the search in a file, and finds a crystal again that was rotated and rattled. Takes
half a minute.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

import trisk
from trisk import StructureRetriever, TriForcesPretrainer


def name(row):
    """Formula, and the mineral or the label of the prototype."""
    return f"{row.formula} ({row.mineral or row.aflow})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="every third prototype")
    arguments = parser.parse_args()

    known = trisk.load_prototypes(as_frame=True)
    known["formula"] = [s.composition.reduced_formula for s in known["structure"]]
    known = known[[len(s) <= 64 for s in known["structure"]]]
    if arguments.quick:
        known = known[::3]

    # Embedded once; the columns of each stream are a block with its name.
    pretrainer = TriForcesPretrainer.from_pretrained("default")
    embeddings = pretrainer.transform(known["structure"])
    print(f"{len(embeddings)} crystals, columns {embeddings.columns[0]} … {embeddings.columns[-1]}")

    query = Structure.from_spacegroup(
        "Pm-3m",
        Lattice.cubic(4.01),
        ["Ba", "Ti", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
    )
    columns = {}
    mixed = {"composition": 1, "structure": 3}
    for streams in ("composition", "structure", "interaction", mixed):
        retriever = StructureRetriever(pretrainer=pretrainer, streams=streams).fit(embeddings)
        indices = retriever.kneighbors([query], 4, return_distance=False)[0]
        title = "structure, some composition" if streams is mixed else streams
        columns[title] = [name(row) for row in known.iloc[indices].itertuples()]
    print("nearest to cubic BaTiO3 by")
    print(pd.DataFrame(columns).to_string(index=False))

    with tempfile.TemporaryDirectory() as folder:
        retriever.save(Path(folder) / "prototypes.trisk")
        retriever = trisk.load(Path(folder) / "prototypes.trisk")
    rng = np.random.default_rng(0)
    lost = known["structure"].iloc[7].copy()
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    lost = Structure(lost.lattice.matrix @ rotation, lost.species, lost.frac_coords)
    lost.perturb(0.03)
    distances, indices = retriever.kneighbors([lost], 1)
    print(
        f"{name(known.iloc[7])}, turned and rattled, is recognised: {indices[0, 0] == 7} "
        f"(distance {distances[0, 0]:.4f})"
    )


if __name__ == "__main__":
    main()

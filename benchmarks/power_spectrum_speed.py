"""How fast averaged power spectra are, beside DScribe's SOAP of the same size in the same run.

    pip install --no-deps dscribe==2.1.2 sparse
    MATMINER_DATA=... python benchmarks/power_spectrum_speed.py

The structures of Matbench's phonon task, one thread, the faster of some runs. Both see all elements
as one and give, for every structure, products of eight radial functions for degrees up to four
within 6 Å: ours mean and standard deviation over atoms of sharp neighbours, DScribe's the mean of
its default, neighbours smeared by Gaussians of 1 Å in a basis of Gaussian orbitals. The values
differ by this; what they say of similarity is compared by rank correlation of the distances
between structures. Writes benchmarks/results/power_spectrum_speed.json.
"""

import argparse
import importlib.metadata
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from dscribe.descriptors import SOAP
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

import trisk

HERE = Path(__file__).resolve().parent
CUTOFF, N_RADIAL, MAX_DEGREE = 6.0, 8, 4


def fastest(function, repeats):
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - started)
    return min(seconds), np.asarray(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "power_spectrum_speed.json")
    arguments = parser.parse_args()

    structures, _ = trisk.load_matbench("phonons")
    crystals = [AseAtomsAdaptor.get_atoms(structure) for structure in structures]
    for crystal in crystals:
        crystal.numbers[:] = 1
    ours = trisk.PowerSpectrumFeaturizer(cutoff=CUTOFF, n_radial=N_RADIAL, max_degree=MAX_DEGREE)
    soap = SOAP(species=["H"], r_cut=CUTOFF, n_max=N_RADIAL, l_max=MAX_DEGREE, periodic=True,
                average="outer")  # fmt: skip
    seconds, values = fastest(lambda: ours.fit_transform(crystals), arguments.repeats)
    peer_seconds, peer_values = fastest(lambda: soap.create(crystals), arguments.repeats)
    n_columns = peer_values.shape[1]
    correlation = spearmanr(
        pdist(values[:, : values.shape[1] // 2], "cosine"), pdist(peer_values, "cosine")
    )[0]
    report = {
        "structures": len(crystals),
        "atoms": int(sum(map(len, crystals))),
        "trisk_seconds": seconds,
        "trisk_columns": values.shape[1],
        "dscribe": importlib.metadata.version("dscribe"),
        "dscribe_seconds": peer_seconds,
        "dscribe_columns": n_columns,
        "ratio": peer_seconds / seconds,
        "rank_correlation_of_distances": correlation,
    }
    print(json.dumps(report, indent=1))
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

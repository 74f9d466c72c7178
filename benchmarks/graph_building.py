"""Crystal graphs of phonons and jdft2d: time and memory beside pymatgen and matgl, and per atom.

    python benchmarks/graph_building.py
    python benchmarks/graph_building.py --sizes

Builds every graph of both tasks to third order, without a cache, then with one (first and second
run), beside the loop over pymatgen's neighbours that CGCNN's loader made common and, where matgl
is installed, its converter; both peers give bonds alone. Then time and memory against the number
of atoms, of a graph and of a step that trains GraphTRIADS on it; ``--sizes`` measures these alone.
One process, one thread. Writes benchmarks/results/graph_building.json and .png; exits with an
error if the phonon graphs take 60 s or 200 MB.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from pymatgen.core import Element
from pymatgen.io.ase import AseAtomsAdaptor
from training_step import measure_step

from trisk import CrystalGraphFeaturizer, load_matbench

HERE = Path(__file__).resolve().parent
TASKS = ("phonons", "jdft2d")
REPEATS = {(1, 1, 1): 2, (1, 1, 2): 4, (1, 2, 2): 8, (2, 2, 2): 16, (2, 2, 4): 32, (2, 4, 4): 64,
           (4, 4, 4): 128, (5, 5, 5): 250, (5, 5, 10): 500}  # fmt: skip
ALL = "trisk, bonds, angles, dihedrals, sensors, composition"
N_ATOMS = 2000  # of all structures of one size together
LEVELS = ("atom", "bond", "angle", "dihedral")


def nearest_by_pymatgen(structures, n_neighbors=12, cutoff=8.0):
    """Bonds to the 12 nearest neighbours, atom by atom, over pymatgen's neighbour objects."""
    graphs = []
    for structure in structures:
        nearest = [
            sorted(neighbors, key=lambda neighbor: neighbor.nn_distance)[:n_neighbors]
            for neighbors in structure.get_all_neighbors(cutoff)
        ]
        targets = [[neighbor.index for neighbor in atom] for atom in nearest]
        lengths = [[neighbor.nn_distance for neighbor in atom] for atom in nearest]
        graphs.append((targets, lengths))
    return graphs


def matgl_converter():
    """matgl's converter with its default cutoff of 5 Å, or None."""
    try:
        from matgl.ext.pymatgen import Structure2Graph
    except ImportError:
        return None
    converter = Structure2Graph(tuple(e.symbol for e in Element), cutoff=5.0)
    return lambda structures: [converter.get_graph(structure) for structure in structures]


def fastest(function, structures, n_repeats=3, clock=time.perf_counter):
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(n_repeats):
        start = clock()
        function(structures)
        seconds.append(clock() - start)
    return min(seconds)


def peak_memory(function, structures):
    """Largest memory in MB that Python and NumPy held at once for it, the result included."""
    tracemalloc.start()
    function(structures)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def measure_task(name, matgl):
    structures = load_matbench(name)[0].tolist()
    full = CrystalGraphFeaturizer().fit(structures[:1])
    bonds = CrystalGraphFeaturizer(order=1, physics=False, composition=None).fit(structures[:1])
    graphs = full.transform(structures)
    seconds = {ALL: fastest(full.transform, structures)}
    seconds["trisk, bonds alone"] = fastest(bonds.transform, structures)
    with tempfile.TemporaryDirectory() as folder:
        cached = CrystalGraphFeaturizer(memory=folder).fit(structures[:1])
        seconds["trisk, all, written to the cache"] = fastest(cached.transform, structures, 1)
        seconds["trisk, all, read from the cache"] = fastest(cached.transform, structures)
        assert np.array_equal(cached.transform(structures).angle_cosines, graphs.angle_cosines)
        cache_mb = sum(p.stat().st_size for p in Path(folder).rglob("*")) / 1e6
    seconds["pymatgen, 12 nearest (bonds alone)"] = fastest(nearest_by_pymatgen, structures, 1)
    if matgl:
        seconds["matgl, within 5 Å (bonds alone)"] = fastest(matgl, structures)
    return {
        "n_structures": len(structures),
        "n_rows": {level: int(graphs.offsets[level][-1]) for level in LEVELS},
        "graphs_mb": graphs.nbytes / 1e6,
        "cache_mb": cache_mb,
        "peak_mb": peak_memory(full.transform, structures),
        "seconds": seconds,
    }


def rattled_rock_salt(repeat, seed):
    atoms = bulk("NaCl", "rocksalt", a=5.64).repeat(repeat)
    atoms.rattle(0.05, seed=seed)
    return AseAtomsAdaptor.get_structure(atoms)


def measure_sizes(matgl):
    """CPU seconds and kB of a graph, and of a training step, against the number of atoms."""
    builders = {f"trisk, order={order}": CrystalGraphFeaturizer(order=order, composition=None)
                for order in (1, 2, 3)}  # fmt: skip
    peers = {"pymatgen, 12 nearest": nearest_by_pymatgen}
    if matgl:
        peers["matgl, within 5 Å"] = matgl
    rows = []
    for repeat, n_atoms in REPEATS.items():
        n_structures = N_ATOMS // n_atoms
        structures = [rattled_rock_salt(repeat, seed) for seed in range(n_structures)]
        functions = {name: f.fit(structures).transform for name, f in builders.items()}
        graphs = {name: function(structures).nbytes for name, function in functions.items()}
        seconds = {
            name: fastest(f, structures, 3 if name in builders else 1, time.process_time)
            for name, f in {**functions, **peers}.items()
        }
        steps = {order: measure_step(structures[0], order) for order in (1, 2, 3)}
        rows.append(
            {
                "n_atoms": n_atoms,
                "seconds": {name: value / n_structures for name, value in seconds.items()},
                "graph_kb": {name: value / 1e3 / n_structures for name, value in graphs.items()},
                "step_seconds": {f"training step, order={o}": s for o, (s, _) in steps.items()},
                "step_mb": {f"training step, order={o}": mb for o, (_, mb) in steps.items()},
            }
        )
    return rows


def plot_sizes(rows, path):
    """Graphs below, training steps above, both against the number of atoms."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    atoms = [row["n_atoms"] for row in rows]
    panels = (
        (axes[0], "seconds", "step_seconds", 1e3, 1e3, "CPU time for one structure (ms)"),
        (axes[1], "graph_kb", "step_mb", 1e-3, 1, "Memory for one structure (MB)"),
    )
    for ax, graph, step, of_graph, of_step, label in panels:
        for quantity, factor, marker in ((step, of_step, "^-"), (graph, of_graph, "o--")):
            for number, name in enumerate(rows[0][quantity]):
                ours = "order=" in name
                ax.plot(
                    atoms,
                    [factor * row[quantity][name] for row in rows],
                    marker if ours else "s:",
                    color=f"C{number}" if ours else ("0.4", "0.7")[number - 3],
                    label=name.replace("trisk", "graph").replace("order=", "order "),
                    markersize=4,
                )
        ax.set(xscale="log", yscale="log", xlabel="Atoms per cell", ylabel=label)
        ax.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  frameon=False, fontsize=8)  # fmt: skip
    figure.savefig(path, dpi=150)


def print_tasks(report):
    """Rows, memory and seconds of every task."""
    for name, task in report.items():
        print(f"\n{name}: {task['n_structures']} structures, {task['n_rows']}")
        print(
            f"  graphs {task['graphs_mb']:.1f} MB, at most {task['peak_mb']:.0f} MB while they "
            f"are built, cache {task['cache_mb']:.1f} MB"
        )
        for builder, seconds in task["seconds"].items():
            print(f"  {builder:56s} {seconds:7.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "graph_building.json")
    parser.add_argument("--sizes", action="store_true", help="only against the number of atoms")
    arguments = parser.parse_args()
    matgl = matgl_converter()
    if matgl is None:
        print("matgl is not installed: its rows are left out")
    if arguments.sizes:
        report = json.loads(arguments.out.read_text(encoding="utf-8"))
    else:
        report = {name: measure_task(name, matgl) for name in TASKS}
        print_tasks(report)
    report["sizes"] = measure_sizes(matgl)
    print("\natoms  ms per structure; MB of a training step")
    for row in report["sizes"]:
        times = {**row["seconds"], **row["step_seconds"]}
        shown = ", ".join(f"{name} {1e3 * s:.2f}" for name, s in times.items())
        memory = ", ".join(f"{mb:.1f}" for mb in row["step_mb"].values())
        print(f"{row['n_atoms']:5d}  {shown}; {memory}")
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    plot_sizes(report["sizes"], arguments.out.with_suffix(".png"))
    if report["phonons"]["seconds"][ALL] > 60 or report["phonons"]["peak_mb"] > 200:
        sys.exit("the aim (phonons in 60 s and 200 MB) was missed")


if __name__ == "__main__":
    main()

"""Tasks as pandas objects with their folds, and structures and frames from the data folder."""

import gzip
import io
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

#: Folder of the data: beside the checkout, or where the variable says.
DATA = Path(os.environ.get("TRISK_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
os.environ.setdefault("MATMINER_DATA", str((DATA / "matminer").resolve()))
FRAMES = ("InP", "Ge", "Li", "Mo", "Si", "universal")
_N_TEST_FORMULAS = 5000


@cache
def matbench(task, formulas=False):
    """Rows, target and official folds of a Matbench task; structures become formulas if asked."""
    import trisk

    X, y = trisk.load_matbench(task)
    folds = list(trisk.matbench_folds(task).split(X, y))
    if formulas and X.name == "structure":
        X = X.map(lambda structure: structure.composition.formula).rename("composition")
    return X, y, folds


@cache
def demo():
    """The band gaps that ship with trisk, with folds drawn as Matbench draws them."""
    import trisk

    X, y = trisk.load_band_gaps()
    return X, y, list(trisk.matbench_folds().split(X, y))


@cache
def formation_energies(size):
    """Calculated energies (eV/atom) of distinct formulas: one fold, `size` rows to learn from."""
    table = pd.read_csv(DATA / "mp_formulas_e_form.csv.gz")
    table = table.groupby("formula", sort=False, as_index=False).min()  # the stablest polymorph
    table = table.sample(size + _N_TEST_FORMULAS, random_state=0).reset_index(drop=True)
    test, train = np.split(np.arange(len(table)), [_N_TEST_FORMULAS])
    return table["formula"].rename("composition"), table.iloc[:, 1], [(train, test)]


@cache
def perovskites():
    """Matbench's perovskites of which structure and row are certain, with their official folds."""
    data = np.load(DATA / "matbench_perovskites.npz")
    rows = np.flatnonzero(data["certain"])
    cells = read_structures(data, "numbers", "lattice")
    X = pd.Series([cells[row] for row in rows], name="structure")
    y = pd.Series(1e3 * data["target"][rows].astype(float), name="formation energy")
    fold = data["fold"][rows]
    return X, y, [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]


def cubic_perovskites():
    """7,572 cubic cells of five atoms, and heats of formation in meV/atom."""
    data = np.load(DATA / "perovskites_7572.npz")
    return read_structures(data, "Z", "cell"), 1e3 * data["heat_of_formation_eV"].astype(float)


def read_structures(data, numbers, lattices):
    """pymatgen structures of flat arrays."""
    from pymatgen.core import Structure

    starts = np.cumsum(data["n_atoms"].astype(int))[:-1]
    numbers, sites = np.split(data[numbers], starts), np.split(data["frac"], starts)
    return [Structure(*parts) for parts in zip(data[lattices], numbers, sites, strict=True)]


def read_frames(name):
    """ASE Atoms with energies, forces and stresses, in order of a file of the data folder."""
    from ase.io import read

    text = gzip.decompress((DATA / f"{name}.extxyz.gz").read_bytes()).decode()
    return read(io.StringIO(text), ":", format="extxyz")


@cache
def frames(system):
    """Training and test frames: as given, or one in five of every group to test on."""
    if system in ("Ge", "Li", "Mo", "Si"):
        return tuple(read_frames(f"mlearn_{system}_{part}") for part in ("training", "test"))
    found = read_frames("inp" if system == "InP" else "frames_universal")
    groups = np.array([frame.info["group" if system == "InP" else "set"] for frame in found])
    test, rng = np.zeros(len(found), dtype=bool), np.random.default_rng(0)
    for group in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == group))
        test[rows[: round(len(rows) / 5)]] = True
    return tuple([found[row] for row in np.flatnonzero(mask)] for mask in (~test, test))


def potential():
    """Calculator of TensorNet-MatPES through matgl 2.0.4, its weights checked by known energies.

    ``pip install --no-deps matgl==2.0.4`` with torch_geometric, torchdata and lightning; other
    versions of matgl read these weights without complaint and give wrong energies.
    """
    import matgl
    from ase.build import bulk
    from matgl.ext.ase import PESCalculator

    from trisk.featurizers import verify_potential

    weights = matgl.load_model(DATA / "potentials" / "TensorNet-MatPES-PBE-v2025.1-PES")
    calculator = PESCalculator(weights, stress_unit="eV/A3")
    known = [("NaCl", 5.64, -3.356), ("MgO", 4.21, -5.864)]
    verify_potential(calculator, [(bulk(f, "rocksalt", a=a), e) for f, a, e in known])
    return calculator


class Nequix:
    """Nequix oam-1 for lists of structures, in batches padded to few sizes, which JAX compiles.

    ``JAX_PLATFORMS=cpu``, ``pip install jax e3nn-jax jraph equinox optax`` and ``pip install
    --no-deps nequix``.
    """

    def __init__(self):
        import equinox
        from nequix.calculator import NequixCalculator

        weights = DATA / "potentials" / "nequix-oam-1.nqx"
        self.own = NequixCalculator(model_path=str(weights), backend="jax", use_kernel=False)
        self.run = equinox.filter_jit(lambda model, graph: model(graph))
        self.of_atoms = equinox.filter_jit(lambda model, *graph: model.node_energies(*graph))

    def calculate_many(self, images):
        """Energies, forces and stresses of ASE's Atoms."""
        energies, forces, stresses = (
            np.asarray(a, dtype=float) for a in self.run(self.own.model, self._graph(images))
        )
        starts = np.concatenate([[0], np.cumsum([len(image) for image in images])])
        return [
            {
                "energy": float(energies[k]),
                "forces": forces[starts[k] : starts[k + 1]],
                "stress": stresses[k].reshape(3, 3)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
            }
            for k in range(len(images))
        ]

    def _graph(self, images):
        """One graph of all structures, padded."""
        import jax
        import jraph
        from nequix import calculator as nequix

        graphs = [
            nequix.dict_to_graphstuple(
                nequix.preprocess_graph(image, self.own.atom_indices, self.own.cutoff, False)
            )
            for image in images
        ]
        graph = jraph.batch_np([jax.tree_util.tree_map(np.asarray, g) for g in graphs])
        n_atoms, edges = graph.n_node.sum(), 512
        while edges <= graph.n_edge.sum() or edges // 16 <= n_atoms + 2 * len(images):
            edges = int(1.4 * edges)
        return jraph.pad_with_graphs(graph, edges // 16, edges, edges // 32 + 2)


class NequixEnergies(Nequix):
    """Energies alone, in a third of the time."""

    def calculate_many(self, images):
        """Energies of ASE's Atoms."""
        graph = self._graph(images)
        cells, positions = graph.globals["cell"], graph.nodes["positions"]
        vectors = positions[graph.senders] - positions[graph.receivers]
        cells = np.repeat(cells, graph.n_edge, axis=0)
        vectors += np.einsum("ij,ijk->ik", graph.edges["shifts"], cells)
        energies = self.of_atoms(
            self.own.model, vectors, graph.nodes["species"], graph.senders, graph.receivers
        )
        n_atoms = np.array([len(image) for image in images])
        energies = np.asarray(energies, dtype=float)[: n_atoms.sum(), 0]
        starts = np.cumsum(n_atoms) - n_atoms
        return [{"energy": energy} for energy in np.add.reduceat(energies, starts)]

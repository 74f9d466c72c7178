"""How fast and how well the approximate index of StructureRetriever finds neighbours.

    python benchmarks/retrieval_index.py

One million synthetic embeddings of 64 columns, the width of one stream: 20,000 clusters with
log-normal sizes, centres and members Gaussian, the variance of columns falling as 1/k, members half
as wide as the centres are apart, so that clusters overlap. 1,000 fresh queries from the same
distribution. The peer in the same run is scikit-learn's exact NearestNeighbors, through the same
retriever with index="exact". One thread, cosine distance. Writes
benchmarks/results/retrieval_index.json.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import trisk
from trisk import StructureRetriever

HERE = Path(__file__).resolve().parent
N_CLUSTERS, N_QUERIES, N_NEIGHBORS, N_SINGLE = 20_000, 1_000, 10, 200


def embeddings(n_samples, n_columns, rng):
    """Clustered Gaussian rows, in single precision."""
    spread = 1 / np.sqrt(np.arange(1, n_columns + 1, dtype=np.float32))
    centers = rng.normal(size=(N_CLUSTERS, n_columns)).astype(np.float32) * spread
    share = rng.lognormal(sigma=1.0, size=N_CLUSTERS)
    clusters = rng.choice(N_CLUSTERS, n_samples, p=share / share.sum())
    rows = rng.standard_normal((n_samples, n_columns), dtype=np.float32)
    rows *= 0.5 * spread
    rows += centers[clusters]
    return rows


def memory():
    """Resident memory of this process in bytes, without what was freed but is still held."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def clocked(function):
    """Wall and CPU seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}, result


def search(retriever, queries):
    """Time of a batch and of single queries; the neighbours."""
    batch, found = clocked(
        lambda: retriever.kneighbors(queries, N_NEIGHBORS, return_distance=False)
    )
    single = [clocked(lambda q=q: retriever.kneighbors(q[None]))[0] for q in queries[:N_SINGLE]]
    times = {
        f"{kind} ms": {
            "in a batch": 1e3 * batch[kind] / len(queries),
            "alone, median": 1e3 * float(np.median([s[kind] for s in single])),
            "alone, 95 %": 1e3 * float(np.quantile([s[kind] for s in single], 0.95)),
        }
        for kind in ("wall", "cpu")
    }
    return times, found


def keep(retriever, queries, found, path):
    """Time of saving and loading; what was loaded finds the same."""
    saving, _ = clocked(lambda: retriever.save(path))
    loading, again = clocked(lambda: trisk.load(path))
    assert np.array_equal(again.kneighbors(queries, N_NEIGHBORS, return_distance=False), found)
    path.unlink()
    return {"save seconds": saving, "load seconds": loading}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--recall", type=float, nargs="*", default=[0.99])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "retrieval_index.json")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    rows = embeddings(arguments.samples + N_QUERIES, arguments.columns, rng)
    table, queries = rows[:-N_QUERIES], rows[-N_QUERIES:]
    report = {
        "embeddings": len(table), "columns": table.shape[1], "queries": len(queries),
        "neighbors": N_NEIGHBORS, "threads": 1, "machine": platform.machine(),
        "MB of the embeddings": table.nbytes / 1e6, "index": {},
    }  # fmt: skip
    settings = {"exact": {"index": "exact"}}
    settings |= {f"faiss, recall={r:g}": {"index": "faiss", "recall": r} for r in arguments.recall}
    exact = None
    for name, parameters in settings.items():
        before = memory()
        retriever = StructureRetriever(pretrainer=None, n_neighbors=N_NEIGHBORS, **parameters)
        build, _ = clocked(partial(retriever.fit, table))
        times, found = search(retriever, queries)
        exact = found if exact is None else exact
        shared = [len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]
        entry = {
            "recall@10": float(np.mean(shared)) / N_NEIGHBORS,
            "build seconds": build,
            "query": times,
            "MB held": (memory() - before) / 1e6,
            "cells searched": retriever.n_cells_searched_,
        }
        if parameters["index"] != "exact":
            entry |= keep(retriever, queries, found, arguments.out.with_suffix(".trisk"))
        report["index"][name] = entry
        print(name, json.dumps(entry, indent=1), flush=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
        del retriever


if __name__ == "__main__":
    main()

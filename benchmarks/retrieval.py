"""How well crystals of the same chemistry and of the same prototype are found, by stream.

    python benchmarks/retrieval.py --weights default

Every crystal of a collection is a query among all others. What counts as found: "chemistry", the
same set of elements in another prototype; "relatives", other elements of the same columns of the
periodic table in the same amounts; "prototype", the same prototype with other elements; "both",
elements and prototype the same. Crystals that agree in both are neither right nor wrong answers to
the first three. Scores: R@1, the share of queries whose nearest crystal is right, and mAP@10, the
mean over queries of the average precision among the ten nearest; over queries that have a right
answer. Chance is R@1 of a random order. A label with fewer than 50 such queries is left out.

Collections (labelled_crystals.py): 1,265 relaxed crystals of Matbench's phonon task, prototypes by
symmetry; formulas decorated on prototypes, two distorted copies each; 7,572 perovskites. The peers:
element fractions (composition one-hot), averaged power spectra, both together, and the same network
without training. "At one volume" scales all crystals to 20 Å³ per atom before they are embedded.
Whether columns are standardised is chosen for every row and label on the even queries; scores are
those of the odd queries. The pre-training has seen the geometry of most of these crystals, never a
label.

The recall of the approximate index (Faiss) is measured on the pre-trained embeddings of all three
streams, odd rows as queries among the even ones.

Writes benchmarks/results/retrieval.json, to which a run of other collections with the same weights
adds, and, for the phonon crystals, retrieval.png.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import labelled_crystals
import numpy as np
import pandas as pd
from retrieval_sheet import draw
from sklearn.base import clone

from trisk import PowerSpectrumFeaturizer, StructureRetriever, TriForcesPretrainer
from trisk.estimators.retrieval import scale_volumes
from trisk.featurizers import ElementFractionFeaturizer

HERE = Path(__file__).resolve().parent
STREAMS = ("composition", "structure", "interaction")
LABELS = ("chemistry", "relatives", "prototype", "both")
N_NEIGHBORS, VOLUME = 10, 20.0
FEWEST_QUERIES = 50
#: Row of the table → table of embeddings, streams.
ROWS = {
    "element fractions": ("features", "fractions"),
    "power spectrum": ("features", "spectrum"),
    "power spectrum at one volume": ("features", "scaled spectrum"),
    "fractions + power spectrum at one volume": ("features", ["fractions", "scaled spectrum"]),
}
for _kind in ("untrained", "pre-trained"):
    for _stream in STREAMS:
        ROWS[f"{_kind}, {_stream}"] = _kind, _stream
    for _stream in STREAMS[1:]:
        ROWS[f"{_kind}, {_stream} at one volume"] = f"{_kind} at one volume", _stream
    ROWS[f"{_kind}, all three"] = _kind, list(STREAMS)
    ROWS[f"{_kind}, all three at one volume"] = f"{_kind} at one volume", list(STREAMS)


def embeddings(structures, pretrainers, *, at_one_volume=True):
    """Tables by kind: features with their blocks, and what networks make."""
    blocks = {
        "fractions": ElementFractionFeaturizer(),
        "spectrum": PowerSpectrumFeaturizer(),
        "scaled spectrum": PowerSpectrumFeaturizer(volume_per_atom=VOLUME),
    }
    parts = []
    for name, featurizer in blocks.items():
        values = featurizer.fit_transform(structures).to_numpy()
        parts.append(pd.DataFrame(values).add_prefix(f"{name} "))
    found = {"features": pd.concat(parts, axis=1)}
    for kind, pretrainer in pretrainers.items():
        started = time.process_time()
        found[kind] = pretrainer.transform(list(structures))
        seconds = time.process_time() - started
        print(f"{kind}: {len(structures) / seconds:.0f} structures per CPU second", flush=True)
        if at_one_volume:
            scaled = scale_volumes(structures, VOLUME)
            found[f"{kind} at one volume"] = pretrainer.transform(scaled)
    return found


def untrained(pretrainer, structures):
    """The same network with the weights it starts from."""
    start = clone(pretrainer).set_params(
        max_epochs=1, learning_rate=1e-12, checkpoint=None, callbacks=None, verbose=0
    )
    return start.fit(list(structures[:32]))


def fingerprint(pretrainer):
    """Hash of the weights of the streams."""
    digest = hashlib.sha256()
    for value in pretrainer.nets_[0].module_.encoder.state_dict().values():
        digest.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]


def answers(crystals):
    """By label: matrices of which crystals are right answers, and which do not count."""
    same = {}
    for name in ("system", "prototype", "relatives"):
        codes = pd.factorize(crystals[name])[0]
        same[name] = codes[:, None] == codes
    nothing = np.eye(len(crystals), dtype=bool)
    found = {"relatives": (same["relatives"] & ~same["system"], same["system"])}
    if crystals["prototype"].nunique() == 1:
        return {"chemistry": (same["system"] & ~nothing, nothing)} | found
    twins = same["system"] & same["prototype"]
    found["chemistry"] = same["system"] & ~twins, twins
    found["prototype"] = same["prototype"] & ~twins, twins
    found["both"] = twins & ~nothing, nothing
    enough = [label for label in LABELS if found[label][0].any(axis=1).sum() >= FEWEST_QUERIES]
    return {label: found[label] for label in enough}


def judge(indices, right, ignored):
    """R@1 and average precision of every query that has a right answer, else NaN."""
    rows = np.arange(len(indices))[:, None]
    out = ignored[rows, indices]
    # What does not count goes to the end, the rest keeps its order.
    order = np.argsort(out, axis=1, kind="stable")[:, :N_NEIGHBORS]
    ranked = np.take_along_axis(indices, order, axis=1)
    hits = right[rows, ranked]
    n_right = right.sum(axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, N_NEIGHBORS + 1)
    with np.errstate(invalid="ignore"):
        average = (precision * hits).sum(axis=1) / np.minimum(n_right, N_NEIGHBORS)
    return np.where(n_right > 0, hits[:, 0], np.nan), average


def evaluate(crystals, tables):
    """Scores by label and row, with the choice made for each."""
    truth = answers(crystals)
    most_ignored = max(ignored.sum(axis=1).max() for _, ignored in truth.values())
    n_ranked = min(int(most_ignored) + N_NEIGHBORS, len(crystals) - 1)
    results = {
        label: {"queries": int(right.any(axis=1).sum()), "rows": {}}
        for label, (right, _) in truth.items()
    }
    for label, (right, ignored) in truth.items():
        counts = right.sum(axis=1) / np.maximum((~ignored).sum(axis=1), 1)
        results[label]["chance"] = float(counts[right.any(axis=1)].mean())
    for name, (kind, streams) in ROWS.items():
        if kind not in tables:
            continue
        scores = {}
        for standardize in (False, True):
            retriever = StructureRetriever(pretrainer=None, streams=streams, standardize=standardize)
            indices = retriever.fit(tables[kind]).kneighbors(None, n_ranked, return_distance=False)
            for label, pair in truth.items():
                scores[label, standardize] = judge(indices, *pair)
        for label in truth:
            chosen = max((False, True), key=lambda s: np.nanmean(scores[label, s][1][::2]))
            first, average = (values[1::2] for values in scores[label, chosen])
            results[label]["rows"][name] = {
                "R@1": float(np.nanmean(first)),
                "mAP@10": float(np.nanmean(average)),
                "standardize": chosen,
            }
    return results


def approximate_recall(table):
    """Part of the ten nearest of the odd rows among the even rows that Faiss finds."""
    found = []
    for index in ("exact", "faiss"):
        retriever = StructureRetriever(pretrainer=None, index=index).fit(table[::2])
        found.append(retriever.kneighbors(table[1::2], N_NEIGHBORS, return_distance=False))
    shared = [len(set(a) & set(b)) for a, b in zip(*found, strict=True)]
    return float(np.mean(shared)) / N_NEIGHBORS


def show(collection, results):
    print(collection)
    print(f"{'':40}" + "".join(f"{label:>18}" for label in results))
    print(f"{'chance, R@1':40}" + "".join(f"{r['chance']:18.3f}" for r in results.values()))
    for name in next(iter(results.values()))["rows"]:
        cells = [r["rows"][name] for r in results.values()]
        print(f"{name:40}" + "".join(f"{c['R@1']:9.3f}{c['mAP@10']:9.3f}" for c in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="default", help="default, or file of a pre-trainer")
    parser.add_argument("--collections", nargs="*", default=["phonons", "decorated", "perovskites"])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "retrieval.json")
    arguments = parser.parse_args()

    pretrained = TriForcesPretrainer.from_pretrained(arguments.weights)
    report = {"weights": fingerprint(pretrained), "collections": {}}
    if arguments.out.exists():
        before = json.loads(arguments.out.read_text())
        report = before if before["weights"] == report["weights"] else report
    for collection in arguments.collections:
        crystals = getattr(labelled_crystals, collection)()
        pretrainers = {
            "untrained": untrained(pretrained, crystals["structure"]),
            "pre-trained": pretrained,
        }
        tables = embeddings(crystals["structure"], pretrainers)
        results = evaluate(crystals, tables)
        show(f"{collection}, {len(crystals)} crystals: R@1, mAP@10", results)
        report["collections"][collection] = {
            "crystals": len(crystals),
            "recall@10 of faiss": approximate_recall(tables["pre-trained"]),
            "labels": results,
        }
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
        if collection == "phonons":
            draw(crystals, tables["pre-trained"], arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()

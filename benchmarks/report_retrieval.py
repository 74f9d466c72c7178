"""The README's lines on retrieval and probes, from the JSON files in ``results/``."""

from report_files import read

COLLECTIONS = {
    "phonons": "relaxed crystals of Matbench's phonon task",
    "decorated": "formulas on prototypes, distorted",
    "perovskites": "cubic perovskites",
}


def retrieval():
    """Scores of retrieval by stream and peer."""
    report = read("retrieval")
    if report is None:
        return []
    lines = [
        "",
        (
            "Retrieval with the weights that come with trisk (`python benchmarks/retrieval.py`, "
            "which defines the labels): R@1 and mAP@10 of the right answers among all other "
            "crystals, for every second query (on the others it was chosen, row by row, whether "
            "columns are standardised). The pre-training saw the geometry of most of these "
            "crystals, never a label. At one volume: scaled to 20 Å³ per atom first."
        ),
    ]
    for name, found in report["collections"].items():
        labels = found["labels"]
        heads = [
            f"{label} ({r['queries']:,} queries, chance {r['chance']:.3f})"
            for label, r in labels.items()
        ]
        rows = next(iter(labels.values()))["rows"]
        lines += [
            "",
            f"| {found['crystals']:,} {COLLECTIONS[name]}, by | {' | '.join(heads)} |",
            f"|---|{'---|' * len(heads)}",
            *(f"| {row} | {' | '.join(_cells(labels, row))} |" for row in rows),
        ]
    return lines


def _cells(labels, row):
    scores = [found["rows"][row] for found in labels.values()]
    return [f"{s['R@1']:.3f}, {s['mAP@10']:.3f}" for s in scores]


def index():
    """What the approximate index costs and finds."""
    report = read("retrieval_index")
    if report is None:
        return []
    exact, *others = report["index"].values()
    lines = []
    for entry in others:
        alone, batch = (entry["query"]["cpu ms"][k] for k in ("alone, median", "in a batch"))
        slow = exact["query"]["cpu ms"]
        lines.append(
            f"Among {report['embeddings']:,} synthetic embeddings of {report['columns']} columns "
            "(clustered Gaussians; `python benchmarks/retrieval_index.py`), "
            f'`StructureRetriever(index="faiss")` finds {entry["recall@10"]:.1%} of the ten '
            f"nearest in {alone:.1f} ms a query ({batch:.2f} ms in a batch), where scikit-learn's "
            f"exact search takes {slow['alone, median']:.0f} ms ({slow['in a batch']:.1f} ms): CPU "
            f"time of one thread. Building takes {entry['build seconds']['cpu']:.0f} s, "
            f"loading {entry['load seconds']['cpu']:.0f} s; the embeddings are held twice, "
            f"{2 * report['MB of the embeddings']:.0f} MB."
        )
    return ["", *lines]


def probes():
    """What linear probes read from each stream."""
    report = read("probes")
    if report is None:
        return []
    scores = report["scores"]
    quantities = list(next(iter(scores.values())))
    return [
        "",
        (
            f"What each stream tells by a linear probe ({report['crystals']:,} crystals of "
            f"{report['formulas']:,} formulas, folds by formula; `python benchmarks/probes.py`): "
            "R² of numbers, balanced accuracy of classes with chance at 0"
        ),
        "",
        f"| embedding | {' | '.join(quantities)} |",
        f"|---|{'---|' * len(quantities)}",
        *(
            f"| {name} | {' | '.join(f'{row[q]:.2f}' for q in quantities)} |"
            for name, row in scores.items()
        ),
    ]


def spectra():
    """How fast averaged power spectra are."""
    report = read("power_spectrum_speed")
    if report is None:
        return []
    rate = report["structures"] / report["trisk_seconds"]
    return [
        "",
        (
            f"Averaged power spectra of {report['structures']:,} crystals "
            f"(`python benchmarks/power_spectrum_speed.py`): {rate:,.0f} crystals/s on one thread, "
            f"{report['ratio']:.1f} times the rate of DScribe {report['dscribe']}'s SOAP with as "
            "many radial functions and degrees in the same run."
        ),
    ]

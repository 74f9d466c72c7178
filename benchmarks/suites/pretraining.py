"""What the pre-trained streams know: linear probes and retrieval.

Probes: linear models of frozen embeddings, five folds with all crystals of a formula in one; R² of
numbers, balanced accuracy of classes with chance at 0. Retrieval: every crystal is a query among
all others, R@1 and mean average precision of the ten nearest for every second query; on the others
it is chosen, for each row, whether columns are standardised. Right answers share the elements in
another prototype (chemistry), have other elements of the same columns of the periodic table
(relatives), the same prototype with other elements (prototype), or both.
"""

import warnings
from functools import cache

import numpy as np
import pandas as pd

from benchmarks import crystals
from benchmarks.runner import Model, Suite, Task
from benchmarks.suites.few_labels import streams_of

STREAMS = ("composition", "structure", "interaction")
N_NEIGHBORS, VOLUME, FEWEST_QUERIES = 10, 20.0, 50
NUMBERS = ("atoms per cell", "volume per atom", "nearest neighbour", "packing")
CLASSES = ("majority element", "chemical family", "crystal system", "prototype")
ONE_VOLUME = " at one volume"
RETRIEVAL = {"phonons": "relaxed crystals", "decorated": "formulas on prototypes, distorted",
             "perovskites": "cubic perovskites"}  # fmt: skip
COLLECTIONS = {"probes": ("phonons", "decorated")} | {n: (n,) for n in RETRIEVAL}
TASKS = {
    "probes": Task("R² or balanced accuracy", {"five folds": 1}),
    **{f"retrieval, {name}": Task("", {"every second query": 1}) for name in RETRIEVAL},
}


@cache
def collection(name):
    """Crystals of one or two collections."""
    parts = [getattr(crystals, part)() for part in COLLECTIONS[name]]
    return pd.concat(parts, ignore_index=True)


@cache
def embedding(name, kind, at_one_volume):
    """A table of a collection: columns of features, or of the network with its blocks."""
    from trisk import PowerSpectrumFeaturizer
    from trisk.featurizers import ElementFractionFeaturizer

    structures = list(collection(name)["structure"])
    if kind == "fractions":
        return ElementFractionFeaturizer().fit_transform(structures).add_prefix("fractions ")
    if kind == "spectrum":
        spectrum = PowerSpectrumFeaturizer(volume_per_atom=VOLUME if at_one_volume else None)
        values = spectrum.fit_transform(structures)
        return pd.DataFrame(np.asarray(values)).add_prefix("spectrum ")
    if at_one_volume:
        structures = [s.copy().scale_lattice(VOLUME * len(s)) for s in structures]
    return streams_of(kind).transform(structures)


def table(name, kinds, streams=None, at_one_volume=False):
    """Columns of some kinds side by side, or of some streams of one."""
    found = pd.concat([embedding(name, kind, at_one_volume) for kind in kinds], axis=1)
    return found if streams is None else found[[c for c in found if c.startswith(tuple(streams))]]


def probe(columns, target, groups, classify):
    """Cross-validated score of a linear model with a penalty chosen inside each fold."""
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    penalties = np.logspace(-1, 5, 7)
    linear = RidgeClassifierCV(penalties, class_weight="balanced")
    model = make_pipeline(StandardScaler(), linear if classify else RidgeCV(penalties))
    folds = GroupKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Ill-conditioned|Singular|y_pred contains classes")
        predicted = cross_val_predict(model, columns, target, groups=groups, cv=folds)
        if not classify:
            return float(r2_score(target, predicted))
        return float(balanced_accuracy_score(target, predicted, adjusted=True))


def shuffled(target, groups):
    """Targets of whole formulas, handed to other formulas."""
    codes, formulas = pd.factorize(groups)
    first = pd.Series(target).groupby(codes).first().to_numpy()
    return first[np.random.default_rng(0).permutation(len(formulas))][codes]


@cache
def probed():
    """Properties of the probed crystals, and their formulas."""
    found = collection("probes")
    return crystals.properties(found), found["formula"].to_numpy()


def score_probes(columns, shuffle=False):
    """Score of every property."""
    targets, formulas = probed()
    scores = {}
    for quantity in (*NUMBERS, *CLASSES):
        known = targets[quantity].notna().to_numpy()
        target, groups = targets[quantity][known].to_numpy(), formulas[known]
        target = shuffled(target, groups) if shuffle else target
        scores[quantity] = probe(columns[known], target, groups, quantity in CLASSES)
    return scores


@cache
def answers(name):
    """By label: matrices of which crystals are right answers, and which do not count."""
    found = collection(name)
    codes = {n: pd.factorize(found[n])[0] for n in ("system", "prototype", "relatives")}
    system, prototype, relatives = (c[:, None] == c for c in codes.values())
    nothing = np.eye(len(found), dtype=bool)
    labels = {"relatives": (relatives & ~system, system)}
    if found["prototype"].nunique() == 1:
        labels["chemistry"] = system & ~nothing, nothing
    else:
        twins = system & prototype
        labels["chemistry"] = system & ~twins, twins
        labels["prototype"] = prototype & ~twins, twins
        labels["both"] = twins & ~nothing, nothing
    return {k: v for k, v in labels.items() if v[0].any(axis=1).sum() >= FEWEST_QUERIES}


def judge(indices, right, ignored):
    """R@1 and average precision of every query that has a right answer, else NaN."""
    rows = np.arange(len(indices))[:, None]
    # What does not count goes to the end, the rest keeps its order.
    order = np.argsort(ignored[rows, indices], axis=1, kind="stable")[:, :N_NEIGHBORS]
    hits = right[rows, np.take_along_axis(indices, order, axis=1)]
    n_right = right.sum(axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, N_NEIGHBORS + 1)
    with np.errstate(invalid="ignore"):
        average = (precision * hits).sum(axis=1) / np.minimum(n_right, N_NEIGHBORS)
    return np.where(n_right > 0, hits[:, 0], np.nan), average


def score_retrieval(name, columns):
    """R@1 and mAP@10 of every label."""
    from trisk import StructureRetriever

    truth = answers(name)
    ignored = max(int(out.sum(axis=1).max()) for _, out in truth.values())
    n_ranked = min(ignored + N_NEIGHBORS, len(columns) - 1)
    scores = {}
    for standardize in (False, True):
        retriever = StructureRetriever(pretrainer=None, standardize=standardize).fit(columns)
        indices = retriever.kneighbors(None, n_ranked, return_distance=False)
        for label, pair in truth.items():
            scores[label, standardize] = judge(indices, *pair)
    rows = {}
    for label in truth:
        chosen = max((False, True), key=lambda s: np.nanmean(scores[label, s][1][::2]))
        first, average = (float(np.nanmean(v[1::2])) for v in scores[label, chosen])
        rows |= {f"{label}, R@1": first, f"{label}, mAP@10": average}
    return rows


def _everywhere(tasks=None, **parameters):
    return Model(table, parameters, tasks=tasks)


_ONLY = [f"retrieval, {name}" for name in RETRIEVAL]
MODELS = {
    "element fractions": _everywhere(kinds=["fractions"]),
    "power spectrum": _everywhere(kinds=["spectrum"]),
    "power spectrum at one volume": _everywhere(kinds=["spectrum"], at_one_volume=True),
    "fractions and power spectrum at one volume": _everywhere(
        _ONLY, kinds=["fractions", "spectrum"], at_one_volume=True
    ),
    **{
        f"{kind}, {stream}": _everywhere(kinds=[kind], streams=[stream])
        for kind in ("untrained", "pre-trained")
        for stream in STREAMS
    },
    **{
        f"{kind}, {stream}{ONE_VOLUME}": _everywhere(
            _ONLY, kinds=[kind], streams=[stream], at_one_volume=True
        )
        for kind in ("untrained", "pre-trained")
        for stream in STREAMS[1:]
    },
    **{
        f"{kind}, all three{ending}": _everywhere(
            _ONLY, kinds=[kind], streams=list(STREAMS), at_one_volume=bool(ending)
        )
        for kind in ("untrained", "pre-trained")
        for ending in ("", ONE_VOLUME)
    },
    **{
        f"shuffled labels, {stream}": Model(
            table, {"kinds": ["pre-trained"], "streams": [stream], "shuffle": True},
            tasks=("probes",),
        )
        for stream in STREAMS
    },
}  # fmt: skip


def measure(task, split, fold, model):
    """Scores of one embedding."""
    parameters = MODELS[model].parameters_for(task)
    shuffle = parameters.pop("shuffle", False)
    name = task.removeprefix("retrieval, ")
    columns = table(name, **parameters)
    return score_probes(columns, shuffle) if name == "probes" else score_retrieval(name, columns)


SUITE = Suite("pretraining", TASKS, MODELS, measure)

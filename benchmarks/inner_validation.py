"""Choose columns and settings by validation inside the official training folds.

    python benchmarks/inner_validation.py steels

Each outer training fold is split once more (five parts, of which ``--inner`` serve as
validation); no test fold is touched. Prints the mean validation score of every candidate, with
untuned ExtraTrees for scale, and writes ``results/inner_<task>.json``. This is how the recipes of
:mod:`trisk.pipelines` were chosen.
"""

import argparse
import json
import time

import numpy as np
from matbench import RECIPES, RESULTS, describe_machine, fold_scores, forests, load, predict
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

import trisk
from trisk.featurizers import CompositionFeaturizer, ElementFractionFeaturizer
from trisk.model_selection import fit_folds

BOTH = ElementFractionFeaturizer(scale="both")
COLUMNS = {
    "fractions": ["element_fraction"],
    "fractions and logarithms": [BOTH],
    "Magpie": ["magpie"],
    "fractions, Magpie": ["element_fraction", "magpie"],
    "fractions, Magpie, mat2vec": ["element_fraction", "magpie", "mat2vec"],
    "fractions, Magpie, electronic": trisk.pipelines.RECIPES["band_gap"].featurizer.blocks,
}
#: Changes to the recipe of the task, one at a time; "columns" names one of COLUMNS.
CANDIDATES = [
    {},
    {"pretrained": True},
    {"pretrained": "fine-tuned"},
    *({"columns": name} for name in COLUMNS),
    {"n_neighbors": None},
    {"n_neighbors": 8},
    {"n_steps": 1},
    {"n_steps": 4},
    {"deep_supervision": False, "n_steps": 4},
    {"embedding_dim": None},
    {"hidden_dim": 64, "feedforward_dim": 96},
    {"learning_rate": 1e-3},
    {"dropout": 0.3},
    {"n_attention_layers": 1},
    {"n_members": 1},
    {"n_members": 16},
    {"companion": "auto"},
]


def inner_folds(X, y, outer, n_inner):
    """Rows to train on and to validate on, all of them inside outer training folds."""
    splitter = (StratifiedKFold if y.dtype == bool else KFold)(5, shuffle=True, random_state=0)
    folds = []
    for train, _ in outer:
        inner = splitter.split(train, y.iloc[train])
        folds += [(train[a], train[b]) for a, b in list(inner)[:n_inner]]
    return folds


def validate(model, X, y, folds, batched):
    """Mean and standard deviation of the validation scores, and the seconds they took."""
    classification = y.dtype == bool
    started = time.perf_counter()
    if batched:
        fitted, _ = fit_folds(model, X, y, cv=folds)
    else:
        fitted = [clone(model).fit(X.iloc[a], y.iloc[a]) for a, _ in folds]
    predictions = [
        (b, predict(m, X.iloc[b], classification)) for m, (_, b) in zip(fitted, folds, strict=True)
    ]
    scores = next(iter(fold_scores(y, predictions, classification).values()))
    return {
        "mean": float(np.mean(scores)),
        "std": float(np.std(scores)),
        "seconds": time.perf_counter() - started,
    }


def main():
    """Score all candidates for one task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=list(RECIPES))
    parser.add_argument("--outer", type=int, default=5, help="outer training folds to use")
    parser.add_argument("--inner", type=int, default=2, help="validation parts of each")
    parser.add_argument("--members", type=int, default=4, help="networks per ensemble")
    parser.add_argument("--only", help="one candidate, beside the recipe: its name as printed")
    arguments = parser.parse_args()
    X, y = load(arguments.task)
    outer = list(trisk.matbench_folds(arguments.task).split(X, y))[: arguments.outer]
    folds = inner_folds(X, y, outer, arguments.inner)
    results = {}
    for name, forest in forests(y.dtype == bool).items():
        if name.startswith("ExtraTrees"):
            results[name] = validate(forest, X, y, folds, batched=False)
            print(f"{name:44s} {results[name]['mean']:9.4f}", flush=True)
    for changes in CANDIDATES:
        name = ", ".join(f"{k}={v}" for k, v in changes.items()) or "recipe"
        if arguments.only and name not in ("recipe", arguments.only):
            continue
        settings = {"n_members": arguments.members, "random_state": 0, **changes}
        columns = settings.pop("columns", None)
        model = trisk.composition_pipeline(RECIPES[arguments.task], **settings)
        if columns:
            model.set_params(features=CompositionFeaturizer(blocks=COLUMNS[columns]))
        results[name] = validate(model, X, y, folds, batched=True)
        print(
            f"{name:44s} {results[name]['mean']:9.4f} ± {results[name]['std']:.4f} "
            f"{results[name]['seconds']:6.0f} s",
            flush=True,
        )
    report = {
        "task": f"matbench_{arguments.task}",
        "splits": len(folds),
        "members": arguments.members,
        "machine": describe_machine(),
        "validation": results,
    }
    only = f"_{arguments.only.partition('=')[0]}" if arguments.only else ""
    path = RESULTS / f"inner_{arguments.task}{only}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

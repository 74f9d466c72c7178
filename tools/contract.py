"""The contract with scikit-learn: every class against all of its checks.

``python -m tools.contract`` runs them, some minutes on one core, and writes the table in
``docs/contract.md``; names of classes after it run these alone and print what fails.
``tests/test_contract.py`` runs the same checks one by one.
"""

import argparse
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from tools.on_tables import (
    on_tables,
    table_to_formulas,
    table_to_graphs,
    table_to_structures,
)
from trisk import estimators, featurizers
from trisk.nn import EquivariantBackbone

PAGE = Path(__file__).parents[1] / "docs" / "contract.md"
# What scikit-learn asks of its own estimators beside what its generator yields.
_FURTHER = (
    "check_dataframe_column_names_consistency",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
)
_ZEROS = "a row of zeros holds no element, and one of negative numbers is no composition"
_NO_COMPOSITIONS = dict.fromkeys(
    (
        "check_estimators_dtypes",
        "check_fit2d_1feature",
        "check_sample_weights_not_an_array",
        "check_sample_weights_pandas_series",
    ),
    _ZEROS,
)
_STEPS = dict.fromkeys(
    ("check_dont_overwrite_parameters", "check_estimators_overwrite_params"),
    "scikit-learn's Pipeline fits its steps themselves, and is exempt in its own tests",
)
_BRIEF_FIT = {
    "check_regressors_train": "one epoch of a small network does not reach the score of 0.5"
}


@dataclass(frozen=True)
class Case:
    """An estimator for the checks, what it is checked with, and what it cannot hold."""

    name: str
    estimator: Any
    rows: str = "tables"
    slow: bool = False
    #: Reason by name of check.
    declared: Mapping[str, str] = field(default_factory=dict)

    def checks(self):
        """All checks, each with an estimator of its own."""
        yield from estimator_checks.estimator_checks_generator(self.estimator, legacy=True)
        transforms = all(hasattr(self.estimator, m) for m in ("transform", "get_feature_names_out"))
        for name in _FURTHER:
            if transforms or not re.search("transform", name):
                check = getattr(estimator_checks, name)
                yield clone(self.estimator), partial(check, type(self.estimator).__name__)


def name_of(check):
    """Name of a check and what it is called with."""
    keywords = [f"{k}={v}" for k, v in getattr(check, "keywords", {}).items()]
    function = getattr(check, "func", check)
    while hasattr(function, "func"):
        keywords += [f"{k}={v}" for k, v in function.keywords.items()]
        function = function.func
    return "-".join([function.__name__, *keywords])


def is_declared(case, check):
    """Whether a check cannot hold."""
    return name_of(check).partition("-")[0] in case.declared


def with_parameters(estimator, **values):
    """Set parameters, those of the network and the training without a prefix."""
    known = estimator.get_params(deep=True)
    for name, value in values.items():
        places = [p for p in (name, f"network__{name}", f"training__{name}") if p in known]
        estimator.set_params(**{places[0]: value})
    return estimator


def energy(results):
    """Of all that a potential gives, the energies."""
    return results["energy"] if isinstance(results, Mapping) else results


def describe_graphs(graphs):
    """Numbers of atoms, bonds and angles of each graph and the sum of its bond lengths."""
    totals = np.add.reduceat(graphs.bond_lengths, graphs.offsets["bond"][:-1])
    counts = [graphs.counts(level) for level in ("atom", "bond", "angle")]
    return np.column_stack([*counts, totals])


class ShortRange:
    """A potential that costs nothing."""

    def calculate_many(self, images):
        """Energies, forces and stresses."""
        return [
            {
                "energy": float(np.linalg.norm(atoms.cell.array)),
                "forces": np.zeros((len(atoms), 3)),
                "stress": np.zeros(6),
            }
            for atoms in images
        ]


def cases():
    """Every class, small and briefly trained, by name."""
    return {case.name: case for case in (*_of_tables(), *_of_formulas(), *_of_structures())}


def _of_tables():
    sizes = {"n_members": 1, "hidden_dim": 16, "feedforward_dim": 24, "n_steps": 1}
    alone = {"max_epochs": 12, "learning_rate": 0.01}
    trees = {"Regressor": ExtraTreesRegressor(10), "Classifier": ExtraTreesClassifier(10)}
    for task, forest in trees.items():
        make = getattr(estimators, f"HybridTRIADS{task}")
        name = f"HybridTRIADS{task}"
        yield Case(name, with_parameters(make(), **sizes, **alone))
        further = {"calibrate": True} if task == "Regressor" else {}
        # What is stacked does what so short a training cannot.
        stacked = with_parameters(make(), stack_with=forest, max_epochs=2, **further, **sizes)
        yield Case(f"{name}, stacked", stacked, slow=True)
        encoder = getattr(estimators, f"CompositionEncoder{task}")(n_members=1, max_epochs=1)
        name = f"CompositionEncoder{task}"
        declared = dict(_NO_COMPOSITIONS)
        if task == "Classifier":
            declared["check_class_weight_classifiers"] = _ZEROS
        yield Case(name, encoder, declared=declared)
    linear = estimators.HurdleRegressor(LogisticRegression(), Ridge())
    yield Case("HurdleRegressor", linear)
    mean = estimators.HurdleRegressor(trees["Classifier"], trees["Regressor"], statistic="mean")
    yield Case("HurdleRegressor, mean", mean)
    yield Case("DeltaRegressor", estimators.DeltaRegressor(Ridge(), kind="difference"))
    both = [("line", Ridge()), ("trees", ExtraTreesRegressor(10, random_state=0))]
    yield Case("CalibratedVotingRegressor", estimators.CalibratedVotingRegressor(both))
    yield Case("StructureRetriever, tables", estimators.StructureRetriever(pretrainer=None))


def _of_formulas():
    for name in featurizers.__all__:
        found = getattr(featurizers, name)
        if isinstance(found, type) and ".composition." in found.__module__:
            yield Case(name, on_tables(found(), table_to_formulas), "formulas")
    numbers = FunctionTransformer(table_to_formulas, validate=True)
    forest = ExtraTreesRegressor(10, random_state=0)
    pipeline = make_pipeline(numbers, featurizers.MagpieFeaturizer(), forest)
    yield Case("Pipeline of MagpieFeaturizer and forest", pipeline, "formulas", declared=_STEPS)


def _of_structures():
    for name, parameters in {
        "SpringModelFeaturizer": {},
        "PowerSpectrumFeaturizer": {"cutoff": 5.0},
        "LayerFeaturizer": {"min_vacuum": 1.0},
        "PotentialFeaturizer": {"calculator": ShortRange(), "sensors": ("energy",)},
    }.items():
        featurizer = getattr(featurizers, name)(**parameters)
        yield Case(name, on_tables(featurizer, table_to_structures), "structures")
    embedder = featurizers.PotentialEmbedder(EquivariantBackbone(4.0, 8, 1))
    hashes = {"check_estimators_overwrite_params": "joblib gives copies of a Module other hashes"}
    bridged = on_tables(embedder, table_to_structures)
    yield Case("PotentialEmbedder", bridged, "structures", declared=hashes)
    graphs = featurizers.CrystalGraphFeaturizer(n_neighbors=6, composition=None)
    bridged = on_tables(graphs, table_to_structures, answer=describe_graphs)
    yield Case("CrystalGraphFeaturizer", bridged, "structures")
    spectrum = featurizers.PowerSpectrumFeaturizer(cutoff=4.0, n_radial=2, max_degree=1)
    retriever = estimators.StructureRetriever(pretrainer=spectrum)
    yield Case("StructureRetriever", on_tables(retriever, table_to_structures), "structures")
    brief = {"max_epochs": 1, "batch_size": 64, "n_members": 1, "hidden_dim": 8, "random_state": 0}
    widths = {"bond_dim": 8, "angle_dim": 4, "feedforward_dim": 8, "n_heads": 2, "max_cycles": 4}
    streams = {"n_layers": 1, "cutoff": 4.0}
    for task in ("Regressor", "Classifier"):
        slow = task == "Classifier"
        name = f"GraphTRIADS{task}"
        network = with_parameters(getattr(estimators, name)(), **brief, **widths)
        yield Case(name, on_tables(network, table_to_graphs), "graphs", slow)
        name = f"TriForces{task}"
        network = with_parameters(getattr(estimators, name)(), **brief, **streams)
        yield Case(name, on_tables(network, table_to_structures), "structures", slow)
    network = with_parameters(estimators.TriForcesPretrainer(), **brief, **streams)
    yield Case(
        "TriForcesPretrainer", on_tables(network, table_to_structures), "structures", slow=True
    )
    network = with_parameters(estimators.TriForcesPotential(), **brief, **streams)
    bridged = on_tables(network, table_to_structures, answer=energy)
    yield Case("TriForcesPotential", bridged, "structures", slow=True)
    sensors = on_tables(estimators.TriForcesSensors(), table_to_structures)
    yield Case("TriForcesSensors", sensors, "structures", slow=True)
    pipeline = make_pipeline(
        FunctionTransformer(table_to_structures, validate=True),
        featurizers.CrystalGraphFeaturizer(n_neighbors=6, composition=None),
        with_parameters(estimators.GraphTRIADSRegressor(), **brief, **widths),
    )
    name = "Pipeline of CrystalGraphFeaturizer and GraphTRIADSRegressor"
    yield Case(name, pipeline, "structures", slow=True, declared=_STEPS | _BRIEF_FIT)


def run(case):
    """Count what passed, was skipped, failed as declared, and failed; and say what failed."""
    counts, failures = Counter(), []
    for estimator, check in case.checks():
        name, declared = name_of(check), is_declared(case, check)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(estimator)
        except SkipTest:
            counts["skipped"] += 1
        except Exception as error:
            counts["declared" if declared else "failed"] += 1
            if not declared:
                failures.append(f"{case.name}: {name}: {type(error).__name__}: {error}")
        else:
            counts["passed"] += 1
            if declared:
                failures.append(f"{case.name}: {name}: passes, although it is declared to fail")
    return counts, failures


def table(rows):
    """Lines of the table, with the reasons of what is declared under it."""
    columns = ("passed", "skipped", "declared", "failed")
    yield "| class | rows of the checks become | " + " | ".join(columns) + " |"
    yield "|---|---|" + "---:|" * len(columns)
    for case, counts in rows:
        numbers = " | ".join(str(counts[column]) for column in columns)
        yield f"| {case.name} | {case.rows} | {numbers} |"
    total = sum((counts for _, counts in rows), Counter())
    yield "| all | | " + " | ".join(f"{total[column]:,}" for column in columns) + " |"
    yield ""
    for case, _ in rows:
        reasons: dict[str, list[str]] = {}
        for name, reason in case.declared.items():
            reasons.setdefault(reason, []).append(f"`{name}`")
        for reason, names in reasons.items():
            yield f"- {case.name}: {', '.join(names)}: {reason}."


def main():
    """Run the checks and write the table."""
    os.environ["SCIPY_ARRAY_API"] = "1"  # without which one check of each class is skipped
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="classes to check; none for all, and the page")
    names = parser.parse_args().names
    known, rows, failed = cases(), [], []
    for name in names or known:
        start = time.process_time()
        counts, failures = run(known[name])
        rows.append((known[name], counts))
        failed += failures
        print(f"{name}: {dict(counts)} in {time.process_time() - start:.0f} s of CPU", flush=True)
    print("\n".join(failed))
    if not names:
        text = PAGE.read_text()
        head, begin, rest = text.partition("<!-- table -->\n")
        _, end, tail = rest.partition("<!-- end of table -->\n")
        PAGE.write_text(head + begin + "\n" + "\n".join(table(rows)) + "\n\n" + end + tail)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()

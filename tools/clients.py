"""The matrix of clients: other packages around trisk's estimators, in the versions installed here.

``python -m tools.clients`` runs ``tests/test_clients.py`` and the tests of clients that stand
elsewhere, some minutes on one core, and writes the table in ``docs/reliability.md``. What is not
installed is left out: ``pip install -c constraints.txt -e '.[test,clients]'`` brings most of it.
``python -m tools.clients shap lime`` runs the tests of these packages alone, and the other rows
stay.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
_BACKENDS = (
    "tests/featurizers/composition/test_base.py::test_n_jobs__every_backend__gives_the_same_values",
    "tests/featurizers/structure/test_crystal_graph.py::test_backends_of_joblib__give_the_same_graphs",
)
#: By package, the tests in other files.
ELSEWHERE = {
    "scikit-learn": ("tests/estimators/test_integration.py",),
    "joblib": tuple(
        f"{test}[{name}]" for test in _BACKENDS for name in ("loky", "threading", "multiprocessing")
    ),
    "distributed": ("tests/model_selection/test_dask.py", *(f"{t}[dask]" for t in _BACKENDS)),
    "ray": ("tests/model_selection/test_ray.py", *(f"{t}[ray]" for t in _BACKENDS)),
    "optuna": tuple(
        f"tests/model_selection/test_search.py::test_search__{name}"
        for name in (
            "finds_what_is_better_and_behaves_like_an_estimator",
            "trisk_pipeline__tunes_prefixed_names",
            "trisk_estimator__given_up_after_a_tenth_of_the_epochs",
        )
    ),
    "skorch": tuple(
        f"tests/training/test_engine.py::test_{name}"
        for name in (
            "skorch_callback_ends_a_training_early",
            "skorch_checkpoint_as_it_comes",
            "skorch_log_prints_though_trisk_does_not",
            "a_function_is_recorded_by_epoch_scoring",
        )
    ),
    "skops": tuple(
        f"tests/test_persistence.py::test_any_{kind}_of_scikit_learn_comes_back"
        for kind in ("model", "classifier")
    ),
    "ase": ("tests/estimators/test_ase.py",),
    "accelerate": (
        "tests/estimators/test_pretrainer.py::test_two_processes_train_like_one_with_the_whole_batch",
    ),
    "faiss-cpu": (
        "tests/estimators/test_retrieval.py::test_faiss__does_not_touch_the_threads_of_others",
    ),
}


class Outcomes:
    """Collects what came of every test."""

    def __init__(self):
        self.by_test = {}

    def pytest_runtest_logreport(self, report):
        """Keep the outcome of a test, or of what it needs where that failed or was skipped."""
        if report.when == "call" or report.outcome != "passed":
            self.by_test[report.nodeid] = report.outcome

    def counts(self, tests):
        """Outcomes of tests by names, without or with parameters, or by files."""
        found = [
            outcome
            for test, outcome in self.by_test.items()
            if any(test == t or test.startswith((f"{t}[", f"{t}::")) for t in tests)
        ]
        return Counter(found)


def tests_of_clients():
    """Tests by package."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_clients import CLIENTS, identifier

    tests = {package: list(names) for package, names in ELSEWHERE.items()}
    for name, (package, *_) in CLIENTS.items():
        node = f"tests/test_clients.py::test_client[{identifier(name)}]"
        tests.setdefault(package, []).append(node)
    return tests


def table(tests, outcomes, version_of, rows=()):
    """Lines of the table: how many tests of each package held; `rows` stand where none ran."""
    lines = dict(rows)
    for package, names in tests.items():
        counts = outcomes.counts(names)
        n_run = counts["passed"] + counts["failed"]
        if n_run:
            version = version_of(package)
            lines[package] = f"| {package} | {version} | {n_run} | {counts['passed']} |"
    yield "| client | version | tests | held |"
    yield "|---|---|---:|---:|"
    yield from (lines[package] for package in sorted(lines, key=str.lower))


def main(arguments=None):
    """Run the tests of all packages, or of those that are named, and write the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("packages", nargs="*", help="as they stand in the table (default: all)")
    asked, tests = parser.parse_args(arguments).packages, tests_of_clients()
    from test_clients import version_of

    if unknown := sorted({*asked} - {*tests}):
        parser.error(f"no client is called {unknown}; there are {sorted(tests, key=str.lower)}")
    head, begin, rest = PAGE.read_text().partition("<!-- clients -->\n")
    written, end, tail = rest.partition("<!-- end of clients -->\n")
    rows = re.findall(r"^(\| (\S+) \| .* \| \d+ \| \d+ \|)$", written, re.MULTILINE)
    rows = [(package, row) for row, package in rows] if asked else ()
    tests = {package: tests[package] for package in asked or tests}
    outcomes, nodes = Outcomes(), [test for names in tests.values() for test in names]
    status = pytest.main(["-q", "-m", "not slow", *nodes], plugins=[outcomes])
    lines = list(table(tests, outcomes, version_of, rows))
    print("\n".join(lines))
    PAGE.write_text(head + begin + "\n" + "\n".join(lines) + "\n\n" + end + tail)
    raise SystemExit(status)


if __name__ == "__main__":
    main()

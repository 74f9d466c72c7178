"""Suites of tasks, splits and models, and the loop that runs what is missing."""

import importlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

from benchmarks import store

SUITES = (
    "compositions", "structures", "few_labels", "potentials", "pretraining", "objectives",
    "coverage", "molecules", "speed", "cuda",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What is predicted or timed, its unit, and the number of folds of every split."""

    unit: str = ""
    splits: Mapping[str, int] = field(default_factory=lambda: {"matbench": 5})
    load: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Model:
    """A model: what makes it of a task and its parameters, which are plain JSON.

    A function of the task may stand in place of the parameters; None means that the model does not
    run on the task. ``needs`` names the modules that it imports beside trisk's own.
    """

    make: Callable[..., Any]
    parameters: Mapping[str, Any] | Callable[[str], Mapping[str, Any] | None] = field(
        default_factory=dict
    )
    needs: Sequence[str] = ()
    tasks: Sequence[str] | None = None

    def parameters_for(self, task):
        """Parameters on a task, or None where the model does not run."""
        if self.tasks is not None and task not in self.tasks:
            return None
        found = self.parameters(task) if callable(self.parameters) else self.parameters
        return None if found is None else dict(found)

    def build(self, task):
        """The model for a task."""
        return self.make(task, **self.parameters_for(task))


@dataclass(frozen=True)
class Suite:
    """Tasks and models by name, and ``measure(task, split, fold, model)``.

    It gives a mapping of metrics to values; "seconds" (CPU seconds of fitting, unless the suite
    says otherwise) and "note" go to fields of their own.
    """

    name: str
    tasks: Mapping[str, Task]
    models: Mapping[str, Model]
    measure: Callable[[str, str, Any, str], Mapping[str, Any]]

    def cells(self, tasks=None, splits=None, models=None, folds=None):
        """Keys of all computations that some names choose; all without names."""
        for task, about in self.tasks.items():
            for split, n_folds in about.splits.items():
                for fold in range(n_folds):
                    for model, made in self.models.items():
                        parameters = made.parameters_for(task)
                        wanted = (task, tasks), (split, splits), (fold, folds), (model, models)
                        if parameters is None or any(n and v not in n for v, n in wanted):
                            continue
                        values = task, split, fold, model, parameters
                        yield dict(zip(store.KEY, values, strict=True))


def load(name):
    """The suite of a name."""
    return importlib.import_module(f"benchmarks.suites.{name}").SUITE


def missing(model):
    """Packages that a model needs and that are not installed."""
    return [name for name in model.needs if find_spec(name) is None]


def run(suite, cells, *, again=False, older=False, jobs=1, folder=None):
    """Compute what has no result yet, or more of it; return how many cells failed."""
    rows = [r for r in store.read(suite.name, folder) if not (older and store.is_older(r))]
    known = {store.key_of(row) for row in rows}
    left = [cell for cell in cells if again or store.key_of(cell) not in known]
    absent = {name for name in {cell["model"] for cell in left} if missing(suite.models[name])}
    for name in sorted(absent):
        packages = ", ".join(missing(suite.models[name]))
        print(f"{name} is left out: {packages} not installed (pip install)")
    left = [cell for cell in left if cell["model"] not in absent]
    print(f"{suite.name}: {len(left)} of {len(cells)} to compute", flush=True)
    if jobs == 1:
        return sum(not compute(suite.name, cell, folder) for cell in left)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(compute, suite.name, cell, folder) for cell in left]
        return sum(not done.result() for done in as_completed(running))


def compute(suite, cell, folder=None):
    """Measure one cell, store its rows, say whether that went well."""
    name = ", ".join(str(cell[part]) for part in ("task", "split", "fold", "model"))
    started = time.process_time()
    try:
        found = dict(load(suite).measure(*(cell[p] for p in store.KEY[:4])))
    except Exception:
        print(f"{name}: failed\n{traceback.format_exc()}", flush=True)
        return False
    seconds = found.pop("seconds", time.process_time() - started)
    note = found.pop("note", None)
    about = {"seconds": round(seconds, 3), **store.provenance(), **({"note": note} if note else {})}
    rows = [{**cell, "metric": metric, "value": value, **about} for metric, value in found.items()]
    store.append(suite, rows, folder)
    shown = ", ".join(f"{row['metric']} {row['value']:.5g}" for row in rows)
    print(f"{name}: {shown}; {seconds:.1f} s", flush=True)
    return True

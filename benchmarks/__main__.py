"""Run benchmarks, list them, and write their tables into the documents.

    python -m benchmarks list
    python -m benchmarks run compositions --tasks steels --models LightGBM "HybridTRIADS alone"
    python -m benchmarks report

A run computes what has no result yet and keeps every fold as soon as it ends, so it can be stopped
and started again; several may run side by side. ``--again`` computes anew what is there,
``--older`` what a network gave that has changed since. Data are read from ../shared/data beside the
checkout, or from the folder that TRISK_DATA names.
"""

import argparse
import os
import sys


def main(arguments=None):
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("list", help="tasks, splits and models of all suites")
    runs = commands.add_parser("run", help="compute what is missing")
    runs.add_argument("suite")
    for name in ("tasks", "splits", "models"):
        runs.add_argument(f"--{name}", nargs="+", help="default: all")
    runs.add_argument("--folds", nargs="+", type=int, help="default: all")
    runs.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    runs.add_argument("--threads", type=int, default=1, help="of one process")
    runs.add_argument("--again", action="store_true", help="compute anew what is there")
    runs.add_argument("--older", action="store_true", help="compute anew what older networks gave")
    shown.add_argument("suite", nargs="*")
    report = commands.add_parser("report", help="write the tables of README.md and docs/")
    report.add_argument("--check", action="store_true", help="only say whether they are current")
    options = parser.parse_args(arguments)
    if options.command == "report":
        from benchmarks import report

        return report.main(check=options.check)
    os.environ["OMP_NUM_THREADS"] = str(getattr(options, "threads", 1))  # before torch is imported
    from benchmarks import runner

    if options.command == "list":
        return list_suites(runner, options.suite or runner.SUITES)
    if options.suite not in runner.SUITES:
        parser.error(f"there is no suite {options.suite!r}; there are {', '.join(runner.SUITES)}")
    suite = runner.load(options.suite)
    chosen = {n: getattr(options, n) for n in ("tasks", "splits", "models", "folds")}
    for name, there in (("tasks", suite.tasks), ("models", suite.models)):
        unknown = sorted(set(chosen[name] or ()) - set(there))
        if unknown:
            parser.error(f"{suite.name} has no {name} {unknown}; it has {', '.join(there)}")
    cells = list(suite.cells(**chosen))
    settings = {"again": options.again, "older": options.older, "jobs": options.jobs}
    return int(runner.run(suite, cells, **settings) > 0)


def list_suites(runner, names):
    """Print tasks with their splits, and models with how many of their results are there."""
    from benchmarks import store

    for name in names:
        suite = runner.load(name)
        known = {store.key_of(row) for row in store.read(name)}
        print(f"\n{name}")
        for task, about in suite.tasks.items():
            splits = ", ".join(f"{split} ({folds})" for split, folds in about.splits.items())
            print(f"  task   {task}: {splits}")
        for model, made in suite.models.items():
            cells = [store.key_of(cell) for cell in suite.cells(models=[model])]
            lacks = runner.missing(made)
            note = f"; needs {', '.join(lacks)}" if lacks else ""
            print(f"  model  {model}: {sum(c in known for c in cells)}/{len(cells)}{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

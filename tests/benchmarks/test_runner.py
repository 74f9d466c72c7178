"""The benchmark runner: keys, resuming, files that stay whole, tables that agree with results."""

import json
import multiprocessing
from importlib.metadata import version

import pytest

from benchmarks import __main__ as command
from benchmarks import data, report, runner, store
from benchmarks.measures import fit_and_score

CALLS = []
CONSTRAINTS = report.ROOT / "constraints.txt"
ABOUT = {"seconds": 1.0, "commit": "abc", "date": "2026-01-01", "machine": "a machine"}


def measure(task, split, fold, model):
    CALLS.append((task, fold, model))
    if model == "broken" and fold == 1:
        raise ValueError("fold 1 is broken")
    return {"MAE": fold / 2, "R2": 0.5, "seconds": 2.0, "note": "made up"}


MODELS = {
    "forest": runner.Model(dict, {"n": 3}),
    "only on b": runner.Model(dict, tasks=("b",)),
    "of the task": runner.Model(dict, lambda task: {"recipe": task} if task == "a" else None),
    "elsewhere": runner.Model(dict, needs=("no_such_package",)),
    "broken": runner.Model(dict),
}
TASKS = {"a": runner.Task("eV", {"matbench": 2}), "b": runner.Task("eV", {"50 rows": 1})}
SUITE = runner.Suite("made_up", TASKS, MODELS, measure)


@pytest.fixture(autouse=True)
def suite(monkeypatch):
    CALLS.clear()
    monkeypatch.setattr(runner, "load", lambda name: SUITE)


def names(cells):
    return [(cell["task"], cell["fold"], cell["model"]) for cell in cells]


def test_cells_are_what_models_and_names_allow():
    every = names(SUITE.cells())
    assert ("b", 0, "only on b") in every
    assert ("a", 0, "only on b") not in every
    assert ("b", 0, "of the task") not in every
    assert names(SUITE.cells(["a"], models=["forest"], folds=[1])) == [("a", 1, "forest")]


def test_a_run_stores_each_fold_and_resumes(tmp_path, capsys):
    cells = list(SUITE.cells(models=["forest", "elsewhere"]))
    assert runner.run(SUITE, cells[:1], folder=tmp_path) == 0
    assert runner.run(SUITE, cells, folder=tmp_path) == 0
    assert len(CALLS) == 3
    assert "elsewhere is left out: no_such_package" in capsys.readouterr().out
    rows = store.read("made_up", tmp_path)
    assert [row["metric"] for row in rows] == ["MAE", "R2"] * 3
    assert set(rows[0]) == {*store.KEY, "metric", "value", *ABOUT, "note"}
    assert (rows[2]["value"], rows[2]["seconds"], rows[2]["note"]) == (0.5, 2.0, "made up")
    runner.run(SUITE, cells[:1], again=True, folder=tmp_path)
    assert len(CALLS) == 4
    assert len(store.read("made_up", tmp_path)) == 6


def test_a_failed_fold_is_counted_and_the_others_are_kept(tmp_path):
    cells = list(SUITE.cells(tasks=["a"], models=["broken"]))
    assert runner.run(SUITE, cells, folder=tmp_path) == 1
    assert [row["fold"] for row in store.read("made_up", tmp_path)] == [0, 0]


def test_keys_tell_what_is_computed_and_nothing_else():
    cell = next(SUITE.cells(models=["forest"]))
    assert store.key_of(cell) == store.key_of({**dict(reversed(cell.items())), **ABOUT})
    for part in store.KEY:
        assert store.key_of(cell) != store.key_of({**cell, part: "other"})


def test_older_networks_are_told_and_run_again(tmp_path, monkeypatch):
    cell = next(SUITE.cells(models=["forest"]))
    store.append("made_up", [{**cell, "metric": "MAE", "value": 1.0, **ABOUT}], tmp_path)
    assert not store.is_older(store.read("made_up", tmp_path)[0])
    runner.run(SUITE, [cell], older=True, folder=tmp_path)
    assert not CALLS
    monkeypatch.setitem(store.NETWORKS, "forest", "2026-01-02")
    assert store.is_older(store.read("made_up", tmp_path)[0])
    runner.run(SUITE, [cell], older=True, folder=tmp_path)
    assert CALLS == [("a", 0, "forest")]
    assert store.read("made_up", tmp_path)[0]["value"] == 0.0


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    cell = next(SUITE.cells(models=["forest"]))
    rows = [{**cell, "fold": k, "metric": "MAE", "value": 1.0, **ABOUT} for k in range(2)]
    store.append("made_up", rows[:1], tmp_path)
    with (tmp_path / "made_up.jsonl").open("a") as file:
        file.write('{"task": "a", "spl')
    store.append("made_up", rows[1:], tmp_path)
    assert store.read("made_up", tmp_path) == rows


def append_some(folder, writer):
    for k in range(20):
        row = {**dict.fromkeys(store.KEY, writer), "fold": k, "metric": "MAE", "value": "x" * 5000}
        store.append("made_up", [row], folder)


def test_processes_append_side_by_side(tmp_path):
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as writers:
        writers.starmap(append_some, [(tmp_path, name) for name in "abc"])
    assert len(store.read("made_up", tmp_path)) == 60


def test_result_files_hold_one_shape():
    files = sorted(store.RESULTS.glob("*.jsonl"))
    assert {*runner.SUITES, "decided"} >= {path.stem for path in files}
    for path in files:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            assert set(row) - {"note"} == {*store.KEY, "metric", "value", *ABOUT}
            assert isinstance(row["parameters"], dict)
        assert len(store.read(path.stem)) == len(rows)


def test_documents_are_current_and_every_table_is_shown(monkeypatch):
    monkeypatch.undo()
    report.cells.cache_clear()
    assert report.main(check=True) == 0, "run python -m benchmarks report"
    shown = {
        found[1] for page in report.pages() for found in report.MARKS.findall(page.read_text())
    }
    assert shown == set(report.TABLES)
    # What README shows, the present code gives.
    assert "measured with" not in (report.ROOT / "README.md").read_text(encoding="utf-8")


def test_suites_are_listed(monkeypatch, capsys):
    monkeypatch.undo()
    assert command.main(["list", "compositions", "structures", "speed"]) == 0
    assert "task   steels: matbench (5)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["run", "compositions", "--models", "no such model"])
    assert "has no models ['no such model']" in capsys.readouterr().err


def test_a_forest_on_steels_gives_the_recorded_error(matbench_dir, monkeypatch):
    monkeypatch.undo()
    forest = runner.load("compositions").models["ExtraTrees, element fractions"].build("steels")
    X, y, folds = data.matbench("steels", formulas=True)
    found = fit_and_score(forest, X, y, *folds[0])
    # Versions of scikit-learn draw other trees.
    same = f"scikit-learn=={version('scikit-learn')}" in CONSTRAINTS.read_text()
    assert found["MAE"] == pytest.approx(94.1316, abs=1e-3 if same else 2.0)

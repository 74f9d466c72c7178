"""The examples and the README's code run as a user runs them, with short trainings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from short import shorten

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {path.name: path for path in sorted((ROOT / "examples").glob("*.py"))}


def run_script(path, *arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    short = str(ROOT / "tests" / "short.py")
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", short, str(path), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout
    assert "Warning" not in done.stderr
    return done


@pytest.mark.parametrize("name", sorted({*EXAMPLES} - {"band_gaps.py"}))
def test_example_runs_without_warnings(name, tmp_path):
    run_script(EXAMPLES[name], cwd=tmp_path)


def test_band_gaps_example_writes_what_it_says(tmp_path):
    import trisk

    done = run_script(EXAMPLES["band_gaps.py"], "here", cwd=tmp_path)
    assert "The loaded model predicts the same: True" in done.stdout
    scores = pd.read_csv(tmp_path / "here" / "scores.csv", index_col=0)
    models = ["HybridTRIADS", "ExtraTrees"]
    models += [f"{name}, pre-trained columns" for name in models]
    assert scores.index.tolist() == models
    table = pd.read_csv(tmp_path / "here" / "predictions.csv")
    assert table.columns.tolist() == [*models, "formula", "measured"]
    assert table.notna().all(axis=None)
    assert len(table) == len(trisk.load_band_gaps()[0])
    assert (tmp_path / "here" / "parity.png").read_bytes().startswith(b"\x89PNG")
    assert trisk.load(tmp_path / "here" / "band_gaps.trisk").predict(["GaAs"]).shape == (1,)


def test_band_gaps_example_predicts_only_formulas_outside_its_table():
    import trisk

    source = EXAMPLES["band_gaps.py"].read_text(encoding="utf-8")
    new = re.findall(r'^ +"([A-Z][\w.]+)": [\d.]+,$', source, flags=re.MULTILINE)
    assert len(new) > 3
    assert not set(new) & set(trisk.load_band_gaps()[0])


def readme_blocks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_readme_examples_have_at_most_six_lines():
    formulas, crystals = readme_blocks()
    for block in (formulas, crystals):
        assert 0 < len([line for line in block.splitlines() if line.strip()]) <= 6


@pytest.mark.parametrize("block", range(len(readme_blocks())))
def test_readme_code_runs(block, monkeypatch, tmp_path, capsys):
    shorten(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    exec(compile(readme_blocks()[block], "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_readme_links_point_at_files():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
        missing = [target for target in targets if not (ROOT / target).exists()]
        assert not missing, f"{name} links to {missing}"

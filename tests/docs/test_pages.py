"""Every block of Python and every command on the site runs, in the order of its page."""

import re
import shlex
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
import pytest

from trisk.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "extensions"))

#: Optional comment in front of a block: <!-- needs: matbench -->, or a package in its place.
_BLOCK = re.compile(r"(?:<!-- needs: (\w+) -->\n)?```(python|bash)\n(.*?)```", re.DOTALL)


def pages():
    found = [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md"), *DOCS.glob("networks/*.md")]
    return {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in found}


def commands(code):
    """Lines of a shell that call trisk."""
    return [shlex.split(line)[1:] for line in code.splitlines() if line.startswith("trisk ")]


WITH_CODE = sorted(name for name, text in pages().items() if "```python" in text)


def test_the_first_pages_have_code():
    assert {"index.md", "start.md", "numbers.md", "guide/formulas.md"} <= set(WITH_CODE)


@pytest.mark.parametrize("page", WITH_CODE)
def test_code_runs(page, own_data, few_rows, short_runs, monkeypatch, request, capsys):
    mpl.use("agg")
    namespace = {}
    for number, (need, language, code) in enumerate(_BLOCK.findall(pages()[page]), start=1):
        if need == "matbench":
            try:
                request.getfixturevalue("matbench_dir")
            except pytest.skip.Exception:
                continue
        elif need not in ("", "repository") and find_spec(need) is None:
            continue
        monkeypatch.chdir(ROOT if need == "repository" else own_data)
        with warnings.catch_warnings():
            # Trainings of two epochs: scikit-learn and Optuna may say that they are short.
            warnings.simplefilter("ignore", UserWarning)
            if language == "python":
                exec(compile(code, f"{page}, block {number}", "exec"), namespace)
                continue
            for command in commands(code):
                assert main(command) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", ["start.md", "guide/folder.md"])
def test_pages_from_data_to_a_report_have_all_commands(page):
    found = [words[0] for _, _, code in _BLOCK.findall(pages()[page]) for words in commands(code)]
    assert found == ["fit", "predict", "report"]


def test_pages_are_read_as_files_too():
    for page, text in pages().items():
        assert "{{" not in text, page
        # Such a line would be HTML as a whole.
        assert not re.search(r"^[ -]*<!-- (score|mean):", text, re.M), page


def test_every_public_name_is_in_the_reference():
    from api import public_names

    listed = set()
    for path in DOCS.glob("reference/*.rst"):
        text = path.read_text(encoding="utf-8")
        listed |= {name.split(".")[-1] for name in re.findall(r"^   ([\w.]+)$", text, re.M)}
    assert set(public_names()) <= listed


def test_every_example_has_a_place_in_the_gallery():
    from api import EXAMPLES

    assert sorted(EXAMPLES) == sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def test_glossary_is_short():
    assert 8 <= len(re.findall(r"^[A-Z][\w -]+$", pages()["glossary.md"], re.M)) <= 15


def test_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    outside = re.sub(r"<!-- results:begin -->.*<!-- results:end -->", "", text, flags=re.DOTALL)
    assert len(outside.split()) <= 600


def test_map_of_contributing_agrees_with_the_tree():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("```\ntrisk/\n")[1].split("```")[0]
    folders, named = ["trisk"], set()
    for indent, path in re.findall(r"^( *)([\w.]+/?)  ", text, re.M):
        folders = folders[: len(indent) // 2] if indent else []
        named.add("/".join([*folders, path.rstrip("/")]))
        folders.append(path.rstrip("/"))
    assert [path for path in named if not (ROOT / path).exists()] == []
    packages = {str(p.parent.relative_to(ROOT)) for p in ROOT.glob("trisk/**/__init__.py")}
    assert packages - named == {"trisk"}

"""What importing trisk costs, what it loads, and which way the arrows between its parts point."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trisk

_PACKAGE = Path(trisk.__file__).parent
_HEAVY = ["torch", "pymatgen", "matminer", "gensim", "skorch", "sklearn", "pandas", "numpy"]


def _run(code):
    """Standard output of a fresh interpreter."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _loaded_by(code, names):
    """Those of some modules that a piece of code loads."""
    report = f"import json, sys; print(json.dumps([n for n in {names} if n in sys.modules]))"
    return json.loads(_run(f"{code}\n{report}"))


def test_import_trisk_loads_nothing_heavy():
    assert _loaded_by("import trisk", [*_HEAVY, "matplotlib", "optuna", "joblib"]) == []


def test_listing_the_names_loads_nothing_heavy():
    assert _loaded_by("import trisk; dir(trisk)", _HEAVY) == []


def test_import_trisk_takes_no_time():
    code = """
import sys, time
started = time.process_time()
import trisk
print(time.process_time() - started)
"""
    # Best of three, and well above what it takes (some milliseconds), for busy machines.
    assert min(float(_run(code)) for _ in range(3)) < 0.1


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("trisk.estimators", ["pymatgen", "matminer", "gensim", "matplotlib", "trisk.featurizers"]),
        ("trisk.nn", ["pymatgen", "matminer", "gensim", "sklearn", "pandas", "trisk.estimators"]),
        ("trisk.structures", ["torch", "skorch", "matminer", "matplotlib", "trisk.featurizers"]),
        ("trisk.featurizers", ["torch", "skorch", "gensim", "matplotlib", "trisk.estimators"]),
        ("trisk.datasets", ["torch", "skorch", "matminer", "pymatgen"]),
        ("trisk.model_selection", ["torch", "skorch", "matminer", "pymatgen"]),
        ("trisk.persistence", ["torch", "skorch", "pymatgen", "trisk.estimators"]),
        ("trisk.plotting", ["torch", "skorch", "pymatgen"]),
    ],
)
def test_module_loads_only_what_it_is_for(module, forbidden):
    assert _loaded_by(f"import {module}", forbidden) == []


def test_fitting_a_table_needs_no_chemistry():
    code = """
import numpy as np
from trisk import HybridTRIADSRegressor
X = np.random.default_rng(0).uniform(size=(20, 2))
HybridTRIADSRegressor(n_members=1, max_epochs=1).fit(X, X[:, 0]).predict(X)
"""
    assert _loaded_by(code, ["pymatgen", "matminer", "gensim", "matplotlib"]) == []


@pytest.mark.parametrize("name", trisk.__all__)
def test_public_name_resolves(name):
    assert getattr(trisk, name) is not None
    assert name in dir(trisk)


def test_public_names_are_sorted_and_unique():
    assert sorted(set(trisk.__all__)) == trisk.__all__
    assert "nn" not in trisk.__all__


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No trisk attribute HybridTriads"):
        trisk.HybridTriads  # noqa: B018
    with pytest.raises(ImportError):
        from trisk import HybridTriads  # noqa: F401
    assert not hasattr(trisk.model_selection, "nonsense")


@pytest.fixture
def examples_of_readme(tmp_path):
    """README's blocks of Python as one file."""
    readme = (_PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert blocks
    path = tmp_path / "examples_of_readme.py"
    revealed = ["reveal_type(X)", "reveal_type(MagpieFeaturizer)"]
    path.write_text("\n".join([blocks[0], *revealed, *blocks[1:]]) + "\n")
    return path


def test_mypy_understands_the_examples_of_readme(examples_of_readme):
    pytest.importorskip("mypy")
    # With the settings, and so from the cache, of `make lint`.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(examples_of_readme)],
        capture_output=True,
        text=True,
        cwd=_PACKAGE.parent,
        env={**os.environ, "MYPYPATH": str(_PACKAGE.parent)},
    )
    assert "Success: no issues found" in done.stdout
    # Seen as the class and as pandas' type, not as Any.
    assert 'MagpieFeaturizer"' in done.stdout
    assert 'Revealed type is "pandas' in done.stdout


def test_pyright_understands_the_examples_of_readme(examples_of_readme):
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    if version.returncode:
        pytest.skip("pyright cannot fetch its Node.js package here")
    (examples_of_readme.parent / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(_PACKAGE.parent)]})
    )
    done = subprocess.run(
        [*command, "--pythonpath", sys.executable, examples_of_readme.name],
        capture_output=True,
        text=True,
        cwd=examples_of_readme.parent,
    )
    assert "0 errors" in done.stdout
    assert 'Type of "MagpieFeaturizer" is "type[MagpieFeaturizer]"' in done.stdout
    assert 'Type of "X" is "Series' in done.stdout


def _imports(path):
    """Modules a file imports anywhere, also inside functions, as absolute names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


_CHEMISTRY = ["pymatgen", "matminer", "gensim"]
_TOP = [
    *("trisk.model_selection", "trisk.plotting", "trisk.pipelines", "trisk.testing", "trisk.cli"),
]
_NETWORKS = ["torch", "skorch", "trisk.nn", "trisk.training", "trisk.estimators"]
_FEATURIZERS = ["trisk.featurizers", "trisk.datasets"]
_FILES = ["trisk.persistence"]
# What each part may never import: everything that stands above it or beside it.
_NEVER = {
    "structures": [*_NETWORKS, *_FEATURIZERS, *_FILES, *_TOP, "sklearn"],
    "nn": [*_CHEMISTRY, *_NETWORKS[3:], *_FEATURIZERS, *_FILES, *_TOP, "sklearn", "skorch"],
    "training": [*_CHEMISTRY, "trisk.estimators", *_FEATURIZERS, *_FILES, *_TOP],
    "featurizers": [*_NETWORKS, "trisk.datasets", *_FILES, *_TOP],
    "estimators": [*_CHEMISTRY, *_FEATURIZERS, *_TOP],
    "datasets": [*_NETWORKS, "trisk.featurizers", *_FILES, *_TOP],
}
_EXCEPTIONS = {
    # Predicted columns are those of a network.
    "featurizers/composition/pretrained.py": ["torch", "trisk.nn"],
    # Columns are what a network holds of atoms.
    "featurizers/potential/_embedder.py": ["torch", "trisk.nn"],
}


def is_part(module, package):
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("part", _NEVER)
def test_arrows_point_down(part):
    wrong = []
    for file in sorted((_PACKAGE / part).rglob("*.py")):
        name = file.relative_to(_PACKAGE).as_posix()
        forbidden = {*_NEVER[part]} - {*_EXCEPTIONS.get(name, ())}
        wrong += [f"{name}: {m}" for m in _imports(file) for f in forbidden if is_part(m, f)]
    assert wrong == []


def test_package_imports_from_no_tests_or_benchmarks():
    outside = {"tests", "benchmarks", "tools", "examples", "pytest", "setuptools"}
    files = sorted(_PACKAGE.rglob("*.py"))
    found = [(file.name, m) for file in files for m in _imports(file) if m.split(".")[0] in outside]
    assert found == []


def test_private_names_of_other_packages_are_imported_in_one_place():
    ours = {"trisk", "__future__"}
    private = [
        f"{file.relative_to(_PACKAGE)}: {module}"
        for file in sorted(_PACKAGE.rglob("*.py"))
        for module in _imports(file)
        if module.split(".")[0] not in ours and re.search(r"\._", module)
    ]
    assert [name for name in private if not name.startswith("_compat.py")] == []
    assert private  # what it looks for is found there

"""The fast part of the tests with the oldest versions that are declared, and with the newest.

``python -m tools.versions minimum newest`` makes an environment for each in a temporary
folder, installs trisk there (the oldest by ``constraints-minimum.txt``, the newest by nothing but
the declared bounds), asks ``pip check``, and runs the tests but for those that take long whatever
the versions. ``make test-minimum`` and ``make test-newest`` do one each.

PyTorch is that of ``constraints.txt`` in both: there is no small build of others to install.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[1]
MINIMUM = ROOT / "constraints-minimum.txt"
# Minutes, and they say little of versions that shorter ones do not.
_LONG = (
    "test_docstrings.py",
    "test_examples.py",
    "cli/test_cli.py",
    "model_selection/test_dask.py",
    "model_selection/test_ray.py",
)


def torch_version():
    """The version of PyTorch in ``constraints.txt``."""
    return re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)[1]


def make_environment(folder, requirements, constraints=()):
    """Make an environment of its own; return its Python and what ``pip check`` says.

    PyTorch comes first and stays, so that no package chooses a build of its own.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(Path(folder) / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    torch = f"torch=={torch_version()}"
    # The pip that comes with Python is of its age, and slow to find versions that agree.
    for wanted in (["--upgrade", "pip"], [torch, "setuptools"], [torch, *requirements]):
        command = [*pip, *(f"--constraint={c}" for c in constraints), *wanted]
        subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    check = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True)
    return python, [] if check.returncode == 0 else check.stdout.strip().splitlines()


def installed(python):
    """Versions of all packages of an environment."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
    )
    return {p["name"]: p["version"] for p in json.loads(listed.stdout)}


def declared():
    """The lowest version that is declared of each package that trisk and its tests ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, asked = project["optional-dependencies"], list(project["dependencies"])
    wanted = ["test"]
    while wanted:
        for requirement in extras[wanted.pop()]:
            others = re.match(r"trisk\[([\w,]+)\]$", requirement)
            wanted += others[1].split(",") if others else []
            asked += [] if others else [requirement]
    pairs = [re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)(?:,<\d+)?$", r) for r in asked]
    return {p[1]: p[2] for p in pairs}


def run_tests(python, folder):
    """Counts, seconds and names of tests that failed."""
    report = Path(folder) / "report.xml"
    long = [f"--ignore=tests/{name}" for name in _LONG]
    started = time.monotonic()
    subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not slow",
            "-n2",
            "--dist=worksteal",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            *long,
        ],
        cwd=ROOT,
    )
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    counts = {k: int(suite.get(k)) for k in ("tests", "failures", "errors", "skipped")}
    failed = [
        f"{c.get('classname')}::{c.get('name')}"
        for c in suite.iter("testcase")
        if c.find("failure") is not None or c.find("error") is not None
    ]
    return counts | {"failed": failed, "seconds": round(time.monotonic() - started)}


def try_versions(kind):
    """Build an environment, run the tests in it, print what it was; whether all is well."""
    with tempfile.TemporaryDirectory(prefix=f"trisk-{kind}-") as folder:
        started = time.monotonic()
        constraints = [MINIMUM] if kind == "minimum" else []
        python, complaints = make_environment(folder, [".[test]"], constraints)
        seconds = round(time.monotonic() - started)
        versions = installed(python)
        result = {
            "kind": kind,
            "seconds_to_install": seconds,
            "pip_check": complaints,
            **run_tests(python, folder),
            "declared": {name: versions[name] for name in declared()},
        }
    print(json.dumps(result, indent=1))
    return not (result["failed"] or complaints)


def main():
    """Try the kinds that are named; leave with an error if a test failed."""
    kinds = sys.argv[1:] or ("minimum", "newest")
    passed = [try_versions(kind) for kind in kinds]
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()

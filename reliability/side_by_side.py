"""trisk beside the packages that users of potentials have: each in an environment of its own.

``python -m reliability.side_by_side [esen mace matgl orb]`` makes an environment for each in a
temporary folder, one after the other: PyTorch first, then trisk, the package and what both ask
for, as pip finds it. It notes what ``pip check`` says, imports trisk beside the package, and fits,
saves and loads a TriForces estimator, on that package's backbone where trisk has one. The results
of environments that are not named stay as they are.
"""

import json
import subprocess
import sys
import tempfile
import time

from reliability import _report
from reliability.versions import make_environment

_PACKAGES = {"esen": "fairchem-core", "mace": "mace-torch", "matgl": "matgl", "orb": "orb-models"}
_USE = """
import json, pathlib, sys, tempfile, warnings
warnings.simplefilter("ignore")
import importlib, importlib.metadata
modules = {"mace": "mace", "orb": "orb_models", "esen": "fairchem.core", "matgl": "matgl"}
importlib.import_module(modules[sys.argv[1]])
import numpy as np, torch, trisk
from ase.build import bulk
from trisk import TriForcesRegressor
torch.set_num_threads(1)
X = [bulk(m) for m in ("Cu", "Ag", "Al", "Fe", "W", "Na")]
y = np.array([x.get_volume() for x in X])
backbone = sys.argv[1] if sys.argv[1] != "matgl" else "builtin"
settings = {"hidden_dim": 16, "n_layers": 2, "cutoff": 4.5, "max_epochs": 2, "random_state": 0}
model = TriForcesRegressor(backbone=backbone, **settings).fit(X, y)
path = pathlib.Path(tempfile.mkdtemp()) / "model.trisk"
model.save(path)
assert np.isfinite(model.predict(X)).all()
np.testing.assert_allclose(trisk.load(path).predict(X), model.predict(X), rtol=1e-9)
names = [sys.argv[2], "torch", "numpy", "scikit-learn", "e3nn"]
found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
versions = {n: found.get(n) for n in names}
print(json.dumps({"backbone": backbone, "versions": versions}))
"""


def _use(name, python):
    """Whether trisk works in an environment."""
    used = subprocess.run(
        [python, "-c", _USE, name, _PACKAGES[name]], capture_output=True, text=True, timeout=600
    )
    if used.returncode:
        return {"works": False, "error": used.stderr[-1500:]}
    return {"works": True} | json.loads(used.stdout.splitlines()[-1])


def try_package(name):
    """Build the environment of a package and use trisk in it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"trisk-{name}-") as folder:
        try:
            python, complaints = make_environment(folder, [".[atoms]", _PACKAGES[name]])
        except subprocess.CalledProcessError as error:
            return {"works": False, "error": (error.stderr or str(error))[-1500:]}
        result = {"pip_check": complaints, **_use(name, python)}
    return result | {
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - started),
    }


def main():
    """Try the packages that are named, or all."""
    path = _report.RESULTS / "side_by_side.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    results = {name: known[name] for name in _PACKAGES if name in known}
    for name in sys.argv[1:] or _PACKAGES:
        results[name] = try_package(name)
        _report.write("side_by_side", results)


if __name__ == "__main__":
    main()

"""trisk beside the packages that users of potentials have: each in an environment of its own.

``python -m reliability.side_by_side mace=/path/to/bin/python orb=... esen=... matgl=...`` asks each
environment whether its packages agree (``pip check``), imports trisk beside the package, and fits,
saves and loads a TriForces estimator, on that package's backbone where trisk has one.
"""

import json
import subprocess
import sys

from reliability import _report

_PACKAGES = {"mace": "mace-torch", "orb": "orb-models", "esen": "fairchem-core", "matgl": "matgl"}
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
versions = {n: importlib.metadata.version(n) for n in names}
print(json.dumps({"backbone": backbone, "versions": versions}))
"""


def try_environment(name, python):
    """What an environment says of itself, and whether trisk works in it."""
    check = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True)
    used = subprocess.run(
        [python, "-c", _USE, name, _PACKAGES[name]], capture_output=True, text=True, timeout=600
    )
    result = {"pip_check": check.stdout.strip().splitlines(), "works": used.returncode == 0}
    if used.returncode:
        return result | {"error": used.stderr[-1500:]}
    return result | json.loads(used.stdout.splitlines()[-1])


def main():
    """Try all environments that are named."""
    environments = dict(argument.split("=", 1) for argument in sys.argv[1:])
    _report.write("side_by_side", {n: try_environment(n, p) for n, p in environments.items()})


if __name__ == "__main__":
    main()

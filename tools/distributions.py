"""Build the sdist and the wheel, check them, and use the wheel where nothing else of trisk is.

``make dist`` runs it. The wheel is built from the sdist, so that the sdist is whole; both pass
``twine check --strict``; the wheel is installed into an empty folder, and from there a model is
fitted on formulas, saved and loaded, with the tables and weights that ship.
"""

import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
_USE = """
import sys, tempfile, pathlib
import trisk, trisk.featurizers
assert pathlib.Path(trisk.__file__).is_relative_to(sys.argv[1]), trisk.__file__
from trisk.cli import main
X, y = trisk.load_band_gaps()
assert len(trisk.load_prototypes()[0])
trisk.featurizers.PretrainedFeaturizer().fit_transform(X[:3])
model = trisk.composition_pipeline(fast=True, n_members=1, max_epochs=1).fit(X[:40], y[:40])
path = pathlib.Path(tempfile.mkdtemp()) / "model.trisk"
trisk.save(model, path)
assert (trisk.load(path).predict(X[:5]) == model.predict(X[:5])).all()
"""


def _run(*command, **settings):
    subprocess.run(command, check=True, **settings)


def main():
    """Build, check, install, use."""
    started = time.monotonic()
    dist = ROOT / "dist"
    for old in dist.glob("trisk-*"):
        old.unlink()
    _run(sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT))
    files = sorted(dist.glob("trisk-*"))
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, files))
    wheel = next(f for f in files if f.suffix == ".whl")
    names = zipfile.ZipFile(wheel).namelist()
    strange = [n for n in names if not n.startswith("trisk")]
    assert not strange, strange
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder)
        _run(*pip, str(wheel))
        _run(sys.executable, "-c", _USE, folder, cwd=folder, env={"PYTHONPATH": folder})
    for file in files:
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")
    print(f"{len(names)} files in the wheel; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

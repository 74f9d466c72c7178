"""ASE's own tests, with the calculator of a potential in the place of its EMT."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from nested import make

from trisk import TriForcesPotential

SWAP = """
import ase.calculators.emt
import trisk

potential = trisk.load({path!r})


class EMT:
    implemented_properties = potential.calculator().implemented_properties

    def __new__(cls, *args, **kwargs):
        return potential.calculator()


ase.calculators.emt.EMT = EMT
"""
_QUICK = ("calculator.test_fd", "ase4.calculator", "test_potential_energies", "standardization")
_LONG = ("filter", "md.test_md", "constraints.test_fixsubsetcom", "constraints.test_fixcom")
# It holds numbers that EMT gives.
_OF_EMT = "not test_emt"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Folder of a module that replaces EMT by a potential that learned from it."""
    rng, frames = np.random.default_rng(0), []
    for number in range(18):
        frame = bulk(["Cu", "Al", "Au", "Ni", "Pt", "Ag"][number % 6], cubic=True)
        deformation = np.eye(3) * rng.uniform(0.94, 1.06) + 0.03 * rng.standard_normal((3, 3))
        frame.set_cell(frame.cell.array @ deformation, scale_atoms=True)
        frame.positions += 0.1 * rng.standard_normal((4, 3))
        frame.calc = EMT()
        results = {"energy": frame.get_potential_energy(), "forces": frame.get_forces()}
        frame.calc = SinglePointCalculator(frame, **results, stress=frame.get_stress())
        frames.append(frame)
    settings = {"hidden_dim": 16, "n_layers": 2, "cutoff": 4.5, "unknown_elements": "ignore"}
    potential = make(TriForcesPotential, max_epochs=16, batch_size=6, random_state=0, **settings)
    folder = tmp_path_factory.mktemp("swap")
    potential.set_params(learning_rate=1e-2).fit(frames).save(folder / "potential.trisk")
    (folder / "swap_emt.py").write_text(SWAP.format(path=str(folder / "potential.trisk")))
    return folder


def _exists(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its package, in an older ASE
        return False


@pytest.mark.skipif(find_spec("ase.test") is None, reason="this build of ASE has no tests")
@pytest.mark.parametrize("modules", [_QUICK, pytest.param(_LONG, marks=pytest.mark.slow)])
def test_tests_of_ase_hold_for_the_calculator(environment, modules):
    found = [name for name in (f"ase.test.{m}" for m in modules) if _exists(name)]
    path = f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}, {str(environment)!r}]"
    arguments = [
        "-p",
        "swap_emt",
        "-p",
        "no:cacheprovider",
        "-q",
        "--pyargs",
        *found,
        "-k",
        _OF_EMT,
    ]
    code = f"{path}; import pytest; sys.exit(pytest.main({arguments!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", ran.stdout)[1]) > (
        5 if len(found) == len(modules) else 2
    )  # an older ASE has fewer

"""What is computed with a potential for each crystal, as records of arrays that can be kept."""

import secrets
import threading
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import constants
from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

from trisk.featurizers.potential._cache import RecordCache, structure_key
from trisk.featurizers.potential._calls import ForceCalls, is_factory, make_calculator
from trisk.featurizers.potential._elements import energy_of_element
from trisk.featurizers.potential._stacking import binding_of_layers
from trisk.featurizers.potential._vibrations import (
    einstein_frequencies,
    force_constants,
    gamma_frequencies,
    mesh_frequencies,
    reduce_to_primitive,
)

#: GPa of 1 eV/Å³.
GPA = constants.e / constants.angstrom**3 / constants.giga
# Voigt's order, as in ASE: xx, yy, zz, yz, xz, xy.
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_STRAIN = 0.005
_RECORD_VERSION = "2"  # change it whenever a measurement comes to mean something else

#: Measurement → the settings that it depends on, beside those of the geometry.
_DEPENDS_ON: dict[str, tuple[str, ...]] = {
    "force_constants": ("displacement", "differences"),
    "phonon_mesh": ("displacement", "differences", "supercell_length", "mesh_length"),
    "elasticity": ("displacement", "differences"),
}
_OF_GEOMETRY = ("symmetry_tolerance", "relax", "max_force", "max_relaxation_steps")
#: All parameters on which the values of measurements depend.
SETTINGS = (*_OF_GEOMETRY, *_DEPENDS_ON["phonon_mesh"])

# The calculator of each thread and the energies of elements that it gave, under the token of the
# run that it was made for.
_OF_THREAD = threading.local()
_SHARED_CALCULATOR = threading.Lock()


@dataclass(frozen=True)
class MeasurementRun:
    """What to measure, with which potential and settings by name, and the folder that keeps it."""

    source: Any
    potential_name: str | None
    names: list[str]
    settings: dict[str, Any]
    batch_atoms: int
    time_limit: float | None
    folder: Any

    def key(self, name, atoms):
        """Key of a measurement of a crystal: only settings that matter to it matter to the key."""
        matters = (*_OF_GEOMETRY, *_DEPENDS_ON.get(name, ()))
        settings = ", ".join(f"{setting}={self.settings[setting]}" for setting in matters)
        texts = f"potential sensors {_RECORD_VERSION}", str(self.potential_name), name, settings
        return structure_key(*texts, atoms.numbers, atoms.cell[:], atoms.positions, atoms.pbc)

    def measure(self, atoms, calls, cache):
        """Records of one crystal by measurement: read, or made and kept at once."""
        records: dict[str, dict] = {}

        def record(name, of=atoms, kept=records):
            key = self.key(name, of)
            if key not in kept:
                found = cache.get(key)
                if found is None:
                    found = _MEASURE[name](of, calls, self, record)
                    cache.put(key, found)
                kept[key] = found
            return kept[key]

        return {name: record(name) for name in self.names}


def measure_crystals(run, crystals, *, n_jobs, progress):
    """Yield row, records, cause of failure and cache of each crystal; equal ones are made once."""
    rows_of = defaultdict(list)
    for row, atoms in crystals.items():
        rows_of[run.key("geometry", atoms)].append(row)
    token = secrets.token_hex(8)
    try:  # workers that hand each result back at once
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # multiprocessing and Ray
        parallel = Parallel(n_jobs=n_jobs)
    results = parallel(
        delayed(_measure_one)(token, run, crystals[rows[0]]) for rows in rows_of.values()
    )
    bar = tqdm(
        zip(rows_of.values(), results, strict=True),
        total=len(rows_of),
        desc="potential sensors",
        unit="structures",
        disable=not progress,
    )
    for rows, (records, cause, cache) in bar:
        for row in rows:
            yield row, records, cause, cache


def _measure_one(token, run, atoms):
    """Records of one crystal, the cause of a failure or None, and the cache with its notes."""
    if getattr(_OF_THREAD, "token", None) != token:
        _OF_THREAD.token, _OF_THREAD.elements = token, {}
        _OF_THREAD.calculator = make_calculator(run.source)
    calls = ForceCalls(_OF_THREAD.calculator, run.batch_atoms, run.time_limit)
    cache = RecordCache(run.folder)
    # Threads share a calculator unless each makes its own, and calculators keep their results.
    with nullcontext() if is_factory(run.source) else _SHARED_CALCULATOR:
        try:
            return run.measure(atoms, calls, cache), None, cache
        except Exception as error:  # whatever a foreign calculator raises
            return {}, f"{type(error).__name__}: {error}", cache


def _geometry(atoms, calls, run, record):
    """The primitive cell, relaxed if that is asked for."""
    primitive = reduce_to_primitive(atoms, run.settings["symmetry_tolerance"])
    relaxed, converged = primitive, True
    if run.settings["relax"] is not None:
        relaxed, converged = _relax(primitive, calls, run.settings)
    return {
        "numbers": np.asarray(relaxed.numbers),
        "cell": np.array(relaxed.cell[:]),
        "positions": relaxed.get_positions(),
        "pbc": np.asarray(relaxed.pbc),
        "volume_ratio": np.array(relaxed.get_volume() / primitive.get_volume()),
        "converged": np.array(converged),
    }


def _relax(atoms, calls, settings):
    """Relaxed atoms, and whether the forces came down as far as asked."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    relaxed = atoms.copy()
    relaxed.calc = calls.as_ase_calculator()
    what = FrechetCellFilter(relaxed) if settings["relax"] == "cell" else relaxed
    optimizer = BFGS(what, logfile=None)
    converged = optimizer.run(fmax=settings["max_force"], steps=settings["max_relaxation_steps"])
    relaxed.calc = None
    return relaxed, bool(converged)


def _energy_and_forces(atoms, calls, run, record):
    energies, forces, stresses = calls([_atoms(record("geometry"))])
    return {"energy": energies[0], "forces": forces[0], "stress": stresses[0]}


def _force_constants(atoms, calls, run, record):
    """Force constants at the Γ point, with the frequencies that follow."""
    crystal = _atoms(record("geometry"))
    if "phonon_mesh" in run.names:
        hessian = record("phonon_mesh")["hessian"]  # which costs no more force calls
    else:
        names = ("displacement", "symmetry_tolerance", "differences")
        hessian = force_constants(crystal, calls, *(run.settings[name] for name in names))
    masses, own = crystal.get_masses(), np.arange(len(crystal))
    blocks = hessian.reshape(len(own), 3, len(own), 3)[own, :, own, :]
    return {
        "hessian": hessian,
        "gamma": gamma_frequencies(hessian, masses),
        "einstein": einstein_frequencies(blocks, masses),
    }


def _phonon_mesh(atoms, calls, run, record):
    """Frequencies all over the Brillouin zone."""
    names = ("symmetry_tolerance", *_DEPENDS_ON["phonon_mesh"])
    settings = {name: run.settings[name] for name in names}
    return mesh_frequencies(_atoms(record("geometry")), calls, **settings)


def _elasticity(atoms, calls, run, record):
    """Elastic constants with relaxed atoms."""
    hessian = record("force_constants")["hessian"]
    return {"constants": elastic_constants(_atoms(record("geometry")), calls, hessian, _STRAIN)}


def _stacking(atoms, calls, run, record):
    """Energies of the layer stacked on itself."""
    return binding_of_layers(_atoms(record("geometry")), calls)


def _formation(atoms, calls, run, record):
    """Energy per atom less those of the elements, which all crystals of a run share."""
    from ase import Atoms

    numbers, counts = np.unique(record("geometry")["numbers"], return_counts=True)
    elements = [record("element", Atoms([n]), _OF_THREAD.elements)["energy"] for n in numbers]
    energy = record("energy_and_forces")["energy"] - counts @ elements
    return {"energy": energy / counts.sum()}


def _element(atoms, calls, run, record):
    """Energy of an element by itself."""
    return {"energy": np.array(energy_of_element(atoms.numbers[0], calls))}


_MEASURE = {
    "geometry": _geometry,
    "energy_and_forces": _energy_and_forces,
    "force_constants": _force_constants,
    "phonon_mesh": _phonon_mesh,
    "elasticity": _elasticity,
    "stacking": _stacking,
    "formation": _formation,
    "element": _element,
}


def _atoms(geometry):
    from ase import Atoms

    return Atoms(**{key: geometry[key] for key in ("numbers", "cell", "positions", "pbc")})


def elastic_constants(atoms, calls, hessian, strain):
    """Elastic constants with relaxed atoms in GPa, in Voigt's order, by central differences.

    The stresses of homogeneously strained cells give the clamped constants; what the atoms
    relax follows from the forces under strain and the force constants, without any relaxation
    being run.
    """
    images = []
    for first, second in _VOIGT:
        for sign in (1, -1):
            deformation = np.eye(3)
            # Half of an engineering shear strain goes to either off-diagonal element.
            deformation[first, second] += sign * strain / 2
            deformation[second, first] += sign * strain / 2
            image = atoms.copy()
            image.set_cell(atoms.cell[:] @ deformation, scale_atoms=True)
            images.append(image)
    _, forces, stresses = calls(images)
    if not np.isfinite(stresses).all():
        raise ValueError("the calculator gives no stress, which elastic constants need")
    clamped = (stresses[0::2] - stresses[1::2]) / (2 * strain)
    response = ((forces[0::2] - forces[1::2]) / (2 * strain)).reshape(6, -1)
    stiffness, modes = np.linalg.eigh(hessian)
    # Translations and unstable modes do not relax.
    relaxing = stiffness > 1e-3
    along = response @ modes[:, relaxing]
    relaxed = clamped - (along / stiffness[relaxing]) @ along.T / atoms.get_volume()
    return (relaxed + relaxed.T) / 2 * GPA

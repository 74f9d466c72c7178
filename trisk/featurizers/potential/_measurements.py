"""What is computed with a potential for one crystal, as records of arrays that can be kept."""

import io
from dataclasses import dataclass

import numpy as np

from trisk.featurizers._store import content_key
from trisk.featurizers.potential._bond_force_constants import bond_force_constants
from trisk.featurizers.potential._crystal_symmetry import reduce_to_primitive
from trisk.featurizers.potential._elasticity import elastic_constants
from trisk.featurizers.potential._phonon_mesh import mesh_frequencies
from trisk.featurizers.potential._vibrations import (
    einstein_frequencies,
    force_constants,
    gamma_frequencies,
)

_RECORD_VERSION = "1"  # change it whenever a measurement comes to mean something else
_STRAIN = 0.005


@dataclass(frozen=True)
class MeasurementSettings:
    """How measurements are made.

    Parameters
    ----------
    displacement : float
        Å by which atoms are moved for force constants.
    symmetry_tolerance : float or None
        Å; None uses no symmetry.
    relax : {"cell", "positions"} or None
        What is relaxed first.
    max_force : float
        eV/Å at which a relaxation ends.
    max_relaxation_steps : int
        Steps after which a relaxation ends in any case.
    supercell_length : float
        Å between opposite faces of the supercell of the phonons.
    mesh_length : float
        Å; density of the mesh of wave vectors.
    """

    displacement: float
    symmetry_tolerance: float | None
    relax: str | None
    max_force: float
    max_relaxation_steps: int
    supercell_length: float
    mesh_length: float


#: Measurement → the settings that it depends on, beside those of the geometry.
_DEPENDS_ON: dict[str, tuple[str, ...]] = {
    "geometry": (),
    "energy_and_forces": (),
    "force_constants": ("displacement",),
    "phonon_mesh": ("displacement", "supercell_length", "mesh_length"),
    "elasticity": ("displacement",),
    "bond_force_constants": ("displacement", "supercell_length"),
}
_OF_GEOMETRY = ("symmetry_tolerance", "relax", "max_force", "max_relaxation_steps")


def measurement_key(name, atoms, potential, settings):
    """Key under which a measurement is kept.

    Parameters
    ----------
    name : str
        The measurement.
    atoms : Atoms
        The crystal as it was given.
    potential : str
        Name of the potential.
    settings : MeasurementSettings
        All settings; those that do not matter to this measurement do not matter to the key.

    Returns
    -------
    bytes
        The key.
    """
    matters = (*_OF_GEOMETRY, *_DEPENDS_ON[name])
    text = ", ".join(f"{field}={getattr(settings, field)!r}" for field in matters)
    # Rounded, so that a structure written to a file and read again is found.
    cell, positions = np.round(atoms.cell[:], 8) + 0.0, np.round(atoms.positions, 8) + 0.0
    return content_key(
        f"potential sensors {_RECORD_VERSION}",
        potential,
        name,
        text,
        atoms.numbers.astype(np.int64),
        cell,
        positions,
        atoms.pbc,
    )


def measure(atoms, calls, names, settings, known):
    """Make measurements of one crystal.

    Parameters
    ----------
    atoms : Atoms
        The crystal as it was given.
    calls : ForceCalls
        What evaluates forces.
    names : list of str
        The measurements wanted.
    settings : MeasurementSettings
        How to make them.
    known : dict of str to dict
        Records that need not be made again.

    Returns
    -------
    dict of str to dict of str to ndarray
        The records made here, with those that they rest on.
    """
    made: dict[str, dict] = {}

    def record(name):
        if name in known:
            return known[name]
        if name not in made:
            made[name] = _MEASURE[name](atoms, calls, settings, record)
        return made[name]

    for name in names:
        record(name)
    return made


def _geometry(atoms, calls, settings, record):
    """The primitive cell, relaxed if that is asked for."""
    primitive = reduce_to_primitive(atoms, settings.symmetry_tolerance)
    relaxed, converged = primitive, True
    if settings.relax is not None:
        relaxed, converged = _relax(primitive, calls, settings)
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
    what = FrechetCellFilter(relaxed) if settings.relax == "cell" else relaxed
    optimizer = BFGS(what, logfile=None)
    converged = optimizer.run(fmax=settings.max_force, steps=settings.max_relaxation_steps)
    relaxed.calc = None
    return relaxed, bool(converged)


def _energy_and_forces(atoms, calls, settings, record):
    """Energy, forces and stress."""
    crystal = _atoms(record("geometry"))
    energies, forces, stresses = calls([crystal])
    return {"energy": energies[0], "forces": forces[0], "stress": stresses[0]}


def _force_constants(atoms, calls, settings, record):
    """Force constants at the Γ point, with the frequencies that follow."""
    crystal = _atoms(record("geometry"))
    hessian = force_constants(crystal, calls, settings.displacement, settings.symmetry_tolerance)
    masses = crystal.get_masses()
    return {
        "hessian": hessian,
        "gamma": gamma_frequencies(hessian, masses),
        "einstein": einstein_frequencies(hessian, masses),
    }


def _phonon_mesh(atoms, calls, settings, record):
    """Frequencies all over the Brillouin zone."""
    frequencies, weights, einstein = mesh_frequencies(
        _atoms(record("geometry")),
        calls,
        settings.displacement,
        settings.symmetry_tolerance,
        settings.supercell_length,
        settings.mesh_length,
    )
    return {"frequencies": frequencies, "weights": weights, "einstein": einstein}


def _elasticity(atoms, calls, settings, record):
    """Elastic constants with relaxed atoms."""
    hessian = record("force_constants")["hessian"]
    return {"constants": elastic_constants(_atoms(record("geometry")), calls, hessian, _STRAIN)}


def _bond_force_constants(atoms, calls, settings, record):
    """Force constants between atoms of the crystal as it was given, whose bonds are asked for."""
    blocks = bond_force_constants(
        atoms,
        calls,
        settings.displacement,
        settings.symmetry_tolerance,
        settings.supercell_length,
    )
    return {"blocks": blocks}


_MEASURE = {
    "geometry": _geometry,
    "energy_and_forces": _energy_and_forces,
    "force_constants": _force_constants,
    "phonon_mesh": _phonon_mesh,
    "elasticity": _elasticity,
    "bond_force_constants": _bond_force_constants,
}


def _atoms(geometry):
    from ase import Atoms

    return Atoms(**{key: geometry[key] for key in ("numbers", "cell", "positions", "pbc")})


def to_bytes(record):
    """Pack a record.

    Parameters
    ----------
    record : dict of str to ndarray
        The record.

    Returns
    -------
    bytes
        An ``.npz`` archive.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **record)
    return buffer.getvalue()


def from_bytes(content):
    """Unpack a record.

    Parameters
    ----------
    content : bytes
        What :func:`to_bytes` gave.

    Returns
    -------
    dict of str to ndarray
        The record.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}

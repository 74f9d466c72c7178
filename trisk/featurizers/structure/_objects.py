"""Reading one structure: pymatgen Structure, ASE Atoms, dict, file or text of a file."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trisk.structures.elements import ELEMENT_SYMBOLS, N_ELEMENTS
from trisk.structures.neighbors import geometry_fault


class StructureError(ValueError):
    """A structure cannot be read; the message says why."""


def read_structure(value):
    """Read a structure and check that it is an ordered crystal.

    Parameters
    ----------
    value : Structure, Atoms, dict, str or path-like
        A pymatgen Structure or its dict, ASE Atoms, the path of a file that pymatgen reads
        (CIF, POSCAR and others), or the text of a CIF.

    Returns
    -------
    numbers : ndarray of int64 of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_atoms, 3)
        Cartesian positions in Å.
    lattice : ndarray of shape (3, 3)
        Lattice vectors in rows, in Å.
    periodic : ndarray of bool of shape (3,)
        Directions in which it repeats.

    Raises
    ------
    StructureError
        Saying what is wrong with it.
    """
    with np.errstate(all="ignore"):  # what is not finite is refused by name
        if hasattr(value, "get_chemical_symbols"):
            arrays = _read_atoms(value)
        else:
            arrays = _read_pymatgen(_as_pymatgen(value))
        _check(*arrays)
    return arrays


def describe_atoms(numbers):
    """Formula of a list of atoms, such as "Fe2 O3".

    Parameters
    ----------
    numbers : array-like of int
        Atomic numbers.

    Returns
    -------
    str
        Symbols and counts in order of atomic number.
    """
    pairs = zip(*np.unique(numbers, return_counts=True), strict=True)
    return " ".join(f"{ELEMENT_SYMBOLS[z - 1]}{n if n > 1 else ''}" for z, n in pairs)


def describe_structure(value):
    """Short text of any value, for messages.

    Parameters
    ----------
    value : object
        Readable as a structure or not.

    Returns
    -------
    str
        The formula if there is one, or else the first line of the value's text; of a long path
        its end, which tells files apart.
    """
    try:
        if hasattr(value, "get_chemical_formula"):
            return value.get_chemical_formula()
        if hasattr(value, "composition"):
            return str(value.composition)
        text = str(value) if isinstance(value, str | os.PathLike) else repr(value)
    except Exception:  # a damaged object may not even be able to say what it is
        return type(value).__name__
    lines = text.strip().splitlines() or [""]
    if len(lines[0]) <= 80:
        return lines[0]
    is_path = isinstance(value, os.PathLike) or (len(lines) == 1 and os.sep in lines[0])
    return f"...{lines[0][-77:]}" if is_path else f"{lines[0][:77]}..."


def _as_pymatgen(value):
    """A pymatgen object from a dict, a path, a text, or itself."""
    if isinstance(value, Mapping):
        return _from_dict(value)
    if isinstance(value, str) and "\n" in value.strip():
        return _parse_file(value, from_text=True)
    if isinstance(value, str | os.PathLike):
        path = Path(value).expanduser()
        if not path.is_file():
            raise StructureError(
                "there is no such file; a string is the path of a structure file or the text of "
                "a CIF"
            )
        return _parse_file(path, from_text=False)
    if hasattr(value, "sites"):
        return value
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    if missing or type(value).__name__ in ("NAType", "NaTType"):
        raise StructureError("the value is missing")
    raise StructureError(
        f"it is of type {type(value).__name__}; expected a pymatgen Structure or its dict, ASE "
        "Atoms, the path of a structure file, or the text of a CIF"
    )


def _from_dict(value):
    from pymatgen.core import Structure

    if "lattice" not in value or "sites" not in value:
        raise StructureError(
            'the dict has no "lattice" and "sites"; expected the dict of a pymatgen Structure'
        )
    try:
        return Structure.from_dict(value)
    except Exception as error:  # whatever a damaged dict makes pymatgen raise
        raise StructureError(f"the dict cannot be read ({_first_line(error)})") from error


def _parse_file(source, *, from_text):
    from pymatgen.core import Structure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen tells of every rounded coordinate
            if from_text:
                return Structure.from_str(source, fmt="cif")
            return Structure.from_file(source)
    except Exception as error:  # whatever a damaged file makes pymatgen raise
        what = "the text cannot be read as a CIF" if from_text else "the file cannot be read"
        raise StructureError(f"{what} ({_first_line(error)})") from error


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _read_pymatgen(structure):
    lattice = getattr(structure, "lattice", None)
    if lattice is None:
        raise StructureError(
            f"it is a {type(structure).__name__}, which has no lattice; put it into a box "
            "with get_boxed_structure(a, b, c)"
        )
    numbers = np.empty(len(structure), dtype=np.int64)
    fractional = np.empty((len(structure), 3))
    for index, site in enumerate(structure):
        fractional[index] = site.frac_coords
        species = site.species
        if len(species) != 1 or species.num_atoms != 1:
            raise StructureError(
                f"site {index} is shared or partly occupied ({site.species_string}); expected an "
                "ordered structure, such as pymatgen's OrderDisorderedStructureTransformation "
                "gives"
            )
        element = next(iter(species))
        if not 1 <= element.Z <= N_ELEMENTS:
            raise StructureError(f"site {index} is {element}, which is not an element")
        numbers[index] = element.Z
    matrix = np.array(lattice.matrix, dtype=float)
    return numbers, fractional @ matrix, matrix, np.array(lattice.pbc, dtype=bool)


def _read_atoms(atoms):
    occupancies = atoms.info.get("occupancy") or {}
    for kind, occupancy in occupancies.items():
        if len(occupancy) != 1 or any(amount != 1 for amount in occupancy.values()):
            raise StructureError(
                f"sites of kind {kind} are shared or partly occupied ({occupancy}); expected an "
                "ordered structure"
            )
    numbers = np.array(atoms.numbers, dtype=np.int64)
    for index in np.flatnonzero((numbers < 1) | (numbers > N_ELEMENTS))[:1]:
        raise StructureError(f"atom {index} has the atomic number {numbers[index]}")
    return numbers, atoms.get_positions(), np.array(atoms.cell[:]), np.array(atoms.pbc, dtype=bool)


def _check(numbers, positions, lattice, periodic):
    if not len(numbers):
        raise StructureError("it has no atoms")
    if not periodic.any():
        raise StructureError(
            "it is not periodic; give it a cell and periodic boundary conditions (with ASE: "
            "atoms.center(vacuum=10); atoms.pbc = True)"
        )
    fault = geometry_fault(positions, lattice, periodic)
    if fault is not None:
        raise StructureError(fault)

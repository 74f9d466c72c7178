"""Structures of any kind → one batch of flat arrays, and an error for each row that is none."""

import bz2
import gzip
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from io import StringIO
from itertools import takewhile
from pathlib import Path

import numpy as np

from trisk._optional import if_absent
from trisk.structures.checks import SHORTEST_BOND, complete_lattice, find_faults
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS
from trisk.structures.graphs import CrystalGraphs, emptied, unbonded
from trisk.structures.rows import RowError, as_value_list, list_errors, map_chunks

__all__ = ["StructureError", "read_structures"]

_CHUNK = 64  # files that a worker reads at once

# What a text may ask of a parser. Each bound is far above what structures need.
_LONGEST_TEXT = 10_000_000  # characters, after decompression
_LONGEST_NAME = 255  # of a file
_LONGEST_LINE = {"CIF": 2_048, "XYZ": 100_000}  # the CIF's is that of the standard
_MOST_QUOTES = 64  # in a line of a CIF, whose rest pymatgen searches at each
_MOST_OPERATIONS = 192  # of a space group in its conventional cell
_MOST_CIF_ATOMS = 5_000  # which pymatgen compares pair by pair
_MOST_POSITIONS = 200_000  # atoms × operations
_SAME_POSITION = 1e-4  # of a lattice vector
_FORMULA_TOLERANCE = 0.01  # of the atoms of an element, for rounded formulas

# What of a CIF pymatgen gets to see.
_CIF_ATOMS = ("_cell_", "_atom_site_", "_atom_type_")
_CIF_SYMMETRY = ("_symmetry_", "_space_group_")
_CIF_FORMULAS = ("_chemical_formula_sum", "_chemical_formula_structural")
_CIF_UNREAD = ("_space_group_magn", "_space_group_symop_magn", "_cell_modulation")


class StructureError(ValueError):
    """Structures that cannot be used; the message names them and says why."""


def read_structures(X, *, on_error="raise", min_distance=SHORTEST_BOND, n_jobs=None, verbose=0):
    """Read structures of any kind and check that networks and searches can use them.

    Parameters
    ----------
    X : array-like of shape (n_structures,) or (n_structures, 1), or CrystalGraphs
        Structures: pymatgen ``Structure`` and ``Molecule`` objects or their dicts or JSON texts,
        ASE ``Atoms`` or rows of an ASE database, paths of files (CIF, POSCAR, extended XYZ, JSON;
        also with .gz or .bz2), texts of CIFs, or a mixture. Of graphs only the atoms are taken.
    on_error : {"raise", "nan"}, default="raise"
        Whether a structure that cannot be used raises or stays without atoms.
    min_distance : float, default=0.5
        Atoms closer to each other than this many Å are an error.
    n_jobs : int, default=None
        Number of joblib workers that read files; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar over files.

    Returns
    -------
    structures : CrystalGraphs
        Atoms without bonds and features.
    errors : list of RowError
        Row, value as text and cause of each structure that cannot be used, in order.

    Raises
    ------
    StructureError
        With ``on_error="raise"``, if a structure cannot be used.

    Notes
    -----
    Of dicts and files, only lattice, elements and positions are read: they run no code, whatever
    else they hold. Partly occupied sites, isotopes, magnetic and modulated CIFs, and CIFs whose
    atoms disagree with the formula that they state are errors.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from trisk.structures import read_structures
    >>> structures, _ = read_structures([bulk("NaCl", "rocksalt", a=5.64), molecule("H2O")])
    >>> structures.atomic_numbers.tolist(), structures.counts("atom").tolist()
    ([11, 17, 8, 1, 1], [2, 3])
    >>> structures.pbc.any(axis=1).tolist()
    [True, False]
    """
    if isinstance(X, CrystalGraphs):
        return unbonded(X.counts(), X.atomic_numbers, X.positions, X.lattices, X.pbc), []
    values = as_value_list(X, what="structures")
    rows = [row for row, value in enumerate(values) if isinstance(value, str | os.PathLike)]
    chunks = [[values[row] for row in rows[i : i + _CHUNK]] for i in range(0, len(rows), _CHUNK)]
    progress = "structure files" if verbose and rows else None
    parts = map_chunks(_read_chunk, chunks, n_jobs=n_jobs, progress=progress, unit="files")
    of_texts = dict(zip(rows, (result for part in parts for result in part), strict=True))
    empty = np.empty(0, dtype=int), np.empty((0, 3)), np.full((3, 3), np.nan), np.zeros(3, bool)
    arrays, causes = [empty], {}
    for row, value in enumerate(values):
        result = of_texts[row] if row in of_texts else _read(value)
        if isinstance(result, str):
            causes[row], result = result, empty
        arrays.append(result)
    numbers, positions, lattices, pbc = zip(*arrays, strict=True)
    atoms = unbonded(
        [len(row) for row in numbers[1:]],
        np.concatenate(numbers),
        np.concatenate(positions),
        np.stack(lattices)[1:],
        np.stack(pbc)[1:],
    )
    faults = find_faults(atoms, min_distance)
    atoms, causes = emptied(atoms, list(faults)) if faults else atoms, causes | faults
    errors = [
        RowError(row, describe_structure(values[row]), "", causes[row]) for row in sorted(causes)
    ]
    if errors and on_error == "raise":
        counted = f"{len(errors)} of {len(values)} structures cannot be used"
        raise StructureError(f"{counted}:\n  {list_errors(errors)}")
    return atoms, errors


def describe_atoms(numbers):
    """Formula of a list of atomic numbers, such as "Fe2 O3"."""
    pairs = zip(*np.unique(numbers, return_counts=True), strict=True)
    return " ".join(f"{ELEMENT_SYMBOLS[z - 1]}{n if n > 1 else ''}" for z, n in pairs)


def describe_structure(value):
    """Formula or first line of any value, for messages; of a long path its end."""
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


def to_pymatgen(atoms, row, **settings):
    """One structure of a batch as pymatgen's."""
    from pymatgen.core import Lattice, Structure

    own = slice(*atoms.offsets["atom"][row : row + 2])
    lattice = Lattice(atoms.lattices[row], pbc=tuple(atoms.pbc[row].tolist()))
    numbers, places = atoms.atomic_numbers[own].tolist(), atoms.positions[own]
    return Structure(lattice, numbers, places, coords_are_cartesian=True, **settings)


def is_source(value):
    """Whether a value is a path, text, dict or row of a structure, and not a formula."""
    if isinstance(value, str):
        if "_cell_length_a" in value or '"sites"' in value:
            return True
        name = value[-_LONGEST_NAME:].lower().removesuffix(".gz").removesuffix(".bz2")
        return name.endswith(tuple(_PARSERS)) or "poscar" in name or "contcar" in name
    is_dict = isinstance(value, dict) and "sites" in value
    return is_dict or isinstance(value, os.PathLike) or hasattr(value, "toatoms")


def is_structure(value):
    """Whether a value is an object, path, text or dict of a structure, and not a formula."""
    has_sites = hasattr(value, "cart_coords") or hasattr(value, "get_positions")
    return has_sites or is_source(value)


def _read_chunk(values):
    return [_read(value) for value in values]


def _read(value):
    """Numbers, positions, lattice and pbc of one structure, or a text that says what is wrong."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by name
            numbers, positions, lattice, pbc = _arrays_of(value)
            if not len(numbers):
                return "it has no atoms"
            return numbers, positions, complete_lattice(positions, lattice, pbc), pbc
    except StructureError as error:
        return str(error)
    except ImportError:  # a package that is missing is not the fault of a row
        raise
    except Exception as error:  # whatever a damaged value makes a parser raise
        text = " ".join(str(error).split())
        return f"it cannot be read ({type(error).__name__}: {text[:200]})"


def _arrays_of(value):
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        return _from_json(value)
    if isinstance(value, str) and "\n" in value.strip():
        return _from_cif(value)
    if isinstance(value, str | os.PathLike):
        return _from_file(value)
    if hasattr(value, "toatoms"):  # a row of an ASE database
        value = value.toatoms()
    if hasattr(value, "get_chemical_symbols"):
        return _from_atoms(value)
    if isinstance(value, Mapping):
        return _from_dict(value)
    if hasattr(value, "sites"):
        return _from_pymatgen(value)
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    if missing or type(value).__name__ in ("NAType", "NaTType"):
        raise StructureError("the value is missing")
    raise StructureError(
        f"it is of type {type(value).__name__}; expected a pymatgen Structure or its dict, ASE "
        "Atoms, the path of a structure file, or the text of a CIF"
    )


def _from_atoms(atoms):
    occupancies = atoms.info.get("occupancy")
    for kind, occupancy in occupancies.items() if isinstance(occupancies, Mapping) else ():
        if len(occupancy) != 1 or any(amount != 1 for amount in occupancy.values()):
            raise StructureError(
                f"sites of kind {kind} are shared or partly occupied ({occupancy}); expected an "
                "ordered structure"
            )
    numbers = np.array(atoms.numbers, dtype=np.int64)
    for index in np.flatnonzero((numbers < 1) | (numbers > N_ELEMENTS))[:1]:
        raise StructureError(f"atom {index} has the atomic number {numbers[index]}")
    return numbers, atoms.get_positions(), np.array(atoms.cell[:]), np.array(atoms.pbc, dtype=bool)


def _from_pymatgen(structure):
    sites = structure.sites
    numbers = [
        # The symbol of deuterium is that of hydrogen; a dummy species has no name.
        _number(index, [(getattr(e, "name", e.symbol), n) for e, n in site.species.items()])
        for index, site in enumerate(sites)
    ]
    if not hasattr(structure, "lattice"):
        positions = np.array([site.coords for site in sites], dtype=float).reshape(-1, 3)
        return np.array(numbers), positions, np.zeros((3, 3)), np.zeros(3, dtype=bool)
    lattice = np.array(structure.lattice.matrix, dtype=float)
    fractional = np.array([site.frac_coords for site in sites], dtype=float).reshape(-1, 3)
    return np.array(numbers), fractional @ lattice, lattice, np.array(structure.lattice.pbc, bool)


def _from_dict(content):
    """From what ``as_dict`` of a pymatgen Structure or Molecule gives."""
    sites, cell = content.get("sites", []), content.get("lattice")
    if "sites" not in content or (cell is None and any("abc" in site for site in sites)):
        raise StructureError(
            'the dict has no "lattice" and "sites"; expected the dict of a pymatgen Structure'
        )
    numbers = [
        _number(index, [(part["element"], part["occu"]) for part in site["species"]])
        for index, site in enumerate(sites)
    ]
    lattice, pbc = np.zeros((3, 3)), np.zeros(3, dtype=bool)
    if cell is not None:
        lattice = _vectors(cell["matrix"])
        pbc = np.array([bool(repeats) for repeats in cell.get("pbc", (True, True, True))])
        if pbc.shape != (3,):
            raise StructureError(f'its "pbc" holds {pbc.size} values and not three')
    points = _vectors([site["xyz" if cell is None else "abc"] for site in sites])
    return np.array(numbers), points if cell is None else points @ lattice, lattice, pbc


def _vectors(values):
    """Triples of numbers as an array; anything nested deeper is no number."""
    return np.array([[float(x), float(y), float(z)] for x, y, z in values]).reshape(-1, 3)


def _number(index, species):
    """Atomic number of a site with one whole atom on it."""
    if len(species) != 1 or species[0][1] != 1:
        text = ", ".join(f"{symbol}: {amount:g}" for symbol, amount in species)
        raise StructureError(
            f"site {index} is shared or partly occupied ({text}); expected an ordered structure, "
            "such as pymatgen's OrderDisorderedStructureTransformation gives"
        )
    symbol = species[0][0]
    if symbol in ("D", "T"):
        raise StructureError(f"site {index} is {symbol}; write H if its mass does not matter")
    if symbol not in ATOMIC_NUMBERS:
        raise StructureError(f"site {index} is {symbol!r}, which is not an element")
    return ATOMIC_NUMBERS[symbol]


def _from_file(value):
    try:
        path = Path(value).expanduser()
        found = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user, a null character
        found = False
    if not found:
        raise StructureError(
            "there is no such file; a string is the path of a structure file or the text of a CIF"
        )
    name, opener = path.name.lower(), _OPENERS.get(path.suffix.lower())
    name = name.rpartition(".")[0] if opener else name
    is_poscar = "poscar" in name or "contcar" in name
    parse = _PARSERS.get(Path(name).suffix, _from_poscar if is_poscar else None)
    if parse is None:
        raise StructureError(
            "the file cannot be read, as its name says none of the formats CIF (.cif), POSCAR "
            "(POSCAR, CONTCAR, .vasp), extended XYZ (.xyz, .extxyz) and JSON (.json); read it with "
            "ase.io.read and give what that returns"
        )
    with (opener or open)(path, "rb") as file:
        content = file.read(_LONGEST_TEXT + 1)
    return parse(content.decode("utf-8", errors="replace"))


def _lines(text, kind=None):
    """Lines of a text that is not too long for its parser."""
    if len(text) > _LONGEST_TEXT:
        raise StructureError(f"it has more than {_LONGEST_TEXT // 10**6} million characters")
    lines = text.split("\n")
    if kind is not None and max(map(len, lines)) > _LONGEST_LINE[kind]:
        raise StructureError(f"a line has more than the {_LONGEST_LINE[kind]} characters of {kind}")
    return lines


def _from_json(text):
    _lines(text)
    content = json.loads(text)
    if not isinstance(content, Mapping):
        raise StructureError("its JSON is not the dict of a pymatgen Structure")
    return _from_dict(content)


def _from_xyz(text):
    lines = _lines(text, "XYZ")
    n_atoms = int(lines[0])
    if n_atoms > len(lines) - 2 or any(line.strip() for line in lines[n_atoms + 2 :]):
        raise StructureError(
            f"its {len(lines)} lines are not one structure of {n_atoms} atoms; of several "
            "structures, give what ase.io.read(path, ':') returns"
        )
    with if_absent("XYZ files need ASE: pip install 'trisk[atoms]'"):
        from ase.io import read
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _from_atoms(read(StringIO(text), format="extxyz"))


def _from_poscar(text):
    lines = [line.split() for line in _lines(text)]
    lattice = _vectors(line[:3] for line in lines[2:5])
    is_vector = len(lines[1]) == 3 and re.fullmatch(r"[\d.eE+ -]+", " ".join(lines[1]))
    scale = np.array(lines[1] if is_vector else lines[1][0], dtype=float)
    if scale.min() < 0:  # the volume
        scale = np.cbrt(-scale / abs(np.linalg.det(lattice)))
    named = list(takewhile(lambda words: not _are_counts(words), lines[5:]))
    counted = list(takewhile(_are_counts, lines[5 + len(named) :]))
    # VASP writes what follows an underscore or a slash into names of its own files.
    symbols = [word.split("/")[0].split("_")[0] for words in named for word in words]
    counts = [int(word) for words in counted for word in words]
    if not symbols:
        raise StructureError("it does not name its elements; write their symbols above the counts")
    if len(symbols) != len(counts) or sum(counts) > len(lines):
        raise StructureError(
            f"it has {len(lines)} lines for {sum(counts)} atoms of {len(symbols)} kinds, of which "
            f"{len(counts)} are counted"
        )
    start = 5 + len(named) + len(counted)
    start += lines[start][0][0] in "sS"  # selective dynamics
    points = _vectors(line[:3] for line in lines[start + 1 : start + 1 + sum(counts)])
    if len(points) != sum(counts):
        raise StructureError(f"it has {len(points)} positions for {sum(counts)} atoms")
    names = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]
    numbers = [_number(index, [(symbol, 1)]) for index, symbol in enumerate(names)]
    lattice = scale * lattice
    is_cartesian = lines[start][0][0] in "cCkK"
    positions = scale * points if is_cartesian else points @ lattice
    return np.array(numbers), positions, lattice, np.ones(3, dtype=bool)


def _are_counts(words):
    return bool(words) and all(word.isdigit() for word in words)


def _from_cif(text):
    """From the block with atoms; only what describes the crystal reaches the parser."""
    lines = _lines(text, "CIF")
    if any(line.count("'") + line.count('"') > _MOST_QUOTES for line in lines):
        raise StructureError(f"a line has more than {_MOST_QUOTES} quotation marks")
    from pymatgen.io.cif import CifFile, CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen tells of every rounded coordinate
        # It would search each run of empty lines as often as the run is long.
        blocks = CifFile.from_str("\n".join(line for line in lines if line.strip())).data.values()
        blocks = [block for block in blocks if "_atom_site_fract_x" in block.data]
        if len(blocks) != 1:
            found = f"{len(blocks)} crystals" if blocks else "no fractional coordinates"
            raise StructureError(f"it cannot be read as a CIF: it holds {found}")
        (block,) = blocks
        if any(key.startswith(_CIF_UNREAD) for key in block.data):
            raise StructureError("magnetic and modulated CIFs are not read")
        if len(block.data["_atom_site_fract_x"]) > _MOST_CIF_ATOMS:
            raise StructureError(
                f"a CIF of more than {_MOST_CIF_ATOMS} atoms takes minutes; write a POSCAR or JSON"
            )
        parser = CifParser.from_str(f"{_part_of_cif(block, _CIF_ATOMS)}\n", check_cif=False)
        unit = parser.parse_structures(primitive=False, on_error="raise")[0]
        operations = parser.get_symops(_part_of_cif(block, _CIF_SYMMETRY))
    numbers, _, lattice, pbc = _from_pymatgen(unit)
    copies, points = _expand(unit.frac_coords, operations)
    _check_formula(block.data, numbers[copies])
    return numbers[copies], points @ lattice, lattice, pbc


def _part_of_cif(block, prefixes):
    """A block with some of its fields, none of which takes the parser minutes."""
    from pymatgen.io.cif import CifBlock

    kept = {key: value for key, value in block.data.items() if key.startswith(prefixes)}
    for key, value in kept.items():
        entries = [value] if isinstance(value, str) else value
        if max(map(len, entries), default=0) > _LONGEST_LINE["CIF"]:
            raise StructureError(f"{key} holds more than {_LONGEST_LINE['CIF']} characters")
        if "_xyz" in key and len(entries) > _MOST_OPERATIONS:
            raise StructureError(f"{key} holds {len(entries)} operations; no space group has")
    loops = [[key for key in loop if key in kept] for loop in block.loops]
    return CifBlock(kept, [loop for loop in loops if loop], "structure")


def _expand(fractional, operations):
    """All different images of atoms under symmetry operations: whose they are, and where."""
    if len(fractional) * len(operations) > _MOST_POSITIONS:
        raise StructureError(
            f"{len(operations)} operations on {len(fractional)} atoms give more than "
            f"{_MOST_POSITIONS} positions"
        )
    turns = np.array([operation.rotation_matrix for operation in operations])
    shifts = np.array([operation.translation_vector for operation in operations])
    copies, points = [], []
    for atom, place in enumerate(fractional):
        images = (turns @ place + shifts) % 1
        steps = images[:, None] - images
        same = (abs(steps - np.round(steps)) < _SAME_POSITION).all(axis=2)
        first = ~np.tril(same, -1).any(axis=1)
        points.append(images[first])
        copies += [atom] * int(first.sum())
    return np.array(copies), np.concatenate(points)


def _check_formula(data, numbers):
    """Compare the atoms with the formula that the file states."""
    from pymatgen.core import Composition

    formulas = [data[key] for key in _CIF_FORMULAS if data.get(key, "?").strip("'\" ?.")]
    try:
        stated = Composition(formulas[0]).remove_charges().get_el_amt_dict()
    except Exception:  # there is none, or none that can be read
        return
    found = dict(zip(*np.unique(numbers, return_counts=True), strict=True))
    ratios = [found.pop(ATOMIC_NUMBERS.get(symbol), 0) / stated[symbol] for symbol in stated] or [1]
    uneven = max(ratios) - min(ratios) > _FORMULA_TOLERANCE * max(ratios)
    # So many formulas as the file says, unless one is of the whole cell.
    n_formulas = str(data.get("_cell_formula_units_Z", "?")).strip("'\" ?.")
    one = math.gcd(*map(round, stated.values())) == 1 and n_formulas.isdecimal()
    fewer = min(ratios) < (int(n_formulas) if one else 1) - _FORMULA_TOLERANCE
    if found or uneven or fewer:
        raise StructureError(
            f"its atoms are {describe_atoms(numbers)}, but it states the formula "
            f"{' '.join(formulas[0].split())}: some are missing or too many"
        )


_OPENERS: dict[str, Callable] = {".gz": gzip.open, ".bz2": bz2.open}
_PARSERS: dict[str, Callable] = {
    ".cif": _from_cif,
    ".json": _from_json,
    ".xyz": _from_xyz,
    ".extxyz": _from_xyz,
    ".vasp": _from_poscar,
    ".poscar": _from_poscar,
}

"""Structures from files, databases and the network, one after the other."""

from itertools import islice
from pathlib import Path

from trisk._optional import if_absent
from trisk.datasets._matbench import DatasetNotFoundError

_LEMAT_BULK = "LeMaterial/LeMat-Bulk"
_LEMAT_COLUMNS = ["immutable_id", "lattice_vectors", "species_at_sites", "cartesian_site_positions"]


def stream_files(folder, pattern="**/*.cif", *, limit=None):
    """Read the structure files of a folder, one after the other.

    Parameters
    ----------
    folder : str or path-like
        Folder that is searched, with the folders in it.
    pattern : str, default="**/*.cif"
        Which files, as :meth:`pathlib.Path.glob` understands it: CIF, POSCAR, extended XYZ or
        JSON, also compressed.
    limit : int, default=None
        Largest number of structures; all if None.

    Returns
    -------
    structures : generator of pymatgen.core.Structure
        Structures in the order of the files' names; its ``properties["file"]`` is the path.

    Raises
    ------
    DatasetNotFoundError, ValueError
        If there is no such file, or one cannot be read.

    Examples
    --------
    >>> from trisk.datasets import stream_files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from trisk.testing import make_structures
    >>> with TemporaryDirectory() as folder:
    ...     for number, structure in enumerate(make_structures(3)[0]):
    ...         _ = structure.to(str(Path(folder) / f"{number}.cif"))
    ...     print([len(structure) for structure in stream_files(folder)])
    [2, 2, 2]
    """
    files = sorted(Path(folder).glob(pattern))
    if not files:
        raise DatasetNotFoundError(f"There is no file {pattern!r} in {str(folder)!r}.")
    return _read_files(files[:limit])


def _read_files(files):
    from trisk.structures.readers import read_structures, to_pymatgen

    for file in files:
        atoms, errors = read_structures([file], on_error="nan")
        if errors:
            raise ValueError(f"{str(file)!r} is no structure file: {errors[0].cause}")
        yield to_pymatgen(atoms, 0, properties={"file": str(file)})


def stream_ase_database(path, selection=None, *, limit=None):
    """Read the rows of an ASE database, one after the other.

    Parameters
    ----------
    path : str or path-like
        Database file, or whatever :func:`ase.db.connect` understands.
    selection : str, default=None
        Which rows, in ASE's language, such as ``"natoms<20,Si"``; all if None.
    limit : int, default=None
        Largest number of structures; all if None.

    Returns
    -------
    structures : generator of ase.Atoms
        Structures in the order of the rows.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    """
    from ase.db import connect

    if "://" not in str(path) and not Path(path).is_file():
        raise DatasetNotFoundError(f"There is no database at {str(path)!r}.")
    rows = connect(str(path)).select(selection, limit=limit)
    return (row.toatoms() for row in rows)


def stream_lemat_bulk(source=_LEMAT_BULK, subset="compatible_pbe", *, limit=None):
    """Read LeMat-Bulk [1]_ from Hugging Face (extra ``trisk[lemat]``), one structure at a time.

    Parameters
    ----------
    source : str or path-like, default="LeMaterial/LeMat-Bulk"
        Name of the data set, or a folder that holds a copy of it.
    subset : str, default="compatible_pbe"
        Part of the data set: ``"compatible_pbe"``, ``"compatible_pbesol"``,
        ``"compatible_scan"`` or ``"non_compatible"``.
    limit : int, default=None
        Largest number of structures; all if None, which is 5.3 million.

    Returns
    -------
    structures : generator of ase.Atoms
        Structures in the order of the data set; its ``info["id"]`` is their name there. They are
        read while they are used, and nothing else of the row is.

    References
    ----------
    .. [1] M. Siron et al., "LeMat-Bulk", ICLR AI4MAT workshop (2025). The data are under CC BY 4.0.
    """
    with if_absent("LeMat-Bulk needs Hugging Face's datasets: pip install 'trisk[lemat]'"):
        from datasets import load_dataset
    rows = load_dataset(str(source), subset, split="train", streaming=True)
    return _lemat_atoms(islice(rows.select_columns(_LEMAT_COLUMNS), limit))


def _lemat_atoms(rows):
    from ase import Atoms

    for row in rows:
        yield Atoms(
            row["species_at_sites"],
            positions=row["cartesian_site_positions"],
            cell=row["lattice_vectors"],
            pbc=True,
            info={"id": row["immutable_id"]},
        )

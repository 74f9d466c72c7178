"""Structures from the network, one after the other."""

from itertools import islice

from trisk._optional import if_absent

_LEMAT_BULK = "LeMaterial/LeMat-Bulk"
_LEMAT_COLUMNS = ["immutable_id", "lattice_vectors", "species_at_sites", "cartesian_site_positions"]


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

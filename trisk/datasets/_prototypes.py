"""The prototypes of crystal structures that come with pymatgen."""

import bisect
import gzip
import importlib.util
import json
from pathlib import Path

from trisk.datasets._matbench import DatasetNotFoundError

#: Last space group of each crystal system.
_CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}


def load_prototypes(*, as_frame=False):
    """Load the 288 prototypes of the AFLOW encyclopedia [1]_ that come with pymatgen.

    A diagnostic: the crystal system of a structure is a matter of its geometry alone.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether to return the entire table instead of ``(X, y)``.

    Returns
    -------
    X : pandas.Series of shape (n_samples,)
        :class:`pymatgen.core.Structure` objects, named ``"structure"``; all are ordered.
    y : pandas.Series of shape (n_samples,)
        Crystal systems (str), one of seven.
    frame : pandas.DataFrame of shape (n_samples, 7)
        Only with ``as_frame=True``, in place of the two: columns ``structure``, ``aflow`` (the
        prototype's label), ``pearson``, ``strukturbericht`` and ``mineral`` (empty where there
        is none), ``space_group`` (number) and ``crystal_system``.

    Raises
    ------
    DatasetNotFoundError
        If the installed pymatgen holds no prototypes.

    Notes
    -----
    Space group and crystal system are those of the AFLOW label. With spglib and a tolerance of
    0.01 Å, three structures have a higher symmetry; their crystal system is the same.

    References
    ----------
    .. [1] M. J. Mehl et al., "The AFLOW library of crystallographic prototypes: part 1",
       Comput. Mater. Sci. 136, S1 (2017). https://doi.org/10.1016/j.commatsci.2017.01.017

    Examples
    --------
    >>> from trisk.datasets import load_prototypes
    >>> X, y = load_prototypes()
    >>> y.value_counts()["cubic"].item()
    66
    >>> frame = load_prototypes(as_frame=True).set_index("mineral")
    >>> frame.loc["Cinnabar", ["aflow", "crystal_system"]].tolist()
    ['AB_hP6_154_a_b', 'trigonal']
    """
    import pandas as pd
    from pymatgen.core import Structure

    with gzip.open(_find_file(), "rt", encoding="utf-8") as file:
        entries = json.load(file)
    rows = []
    for entry in entries:
        tags = entry["tags"]
        space_group = int(tags["aflow"].split("_")[2])
        rows.append(
            {
                "structure": Structure.from_dict(entry["snl"]),
                "aflow": tags["aflow"],
                "pearson": tags["pearson"],
                "strukturbericht": tags["strukturbericht"].replace("None", ""),
                "mineral": tags["mineral"],
                "space_group": space_group,
                "crystal_system": _crystal_system(space_group),
            }
        )
    frame = pd.DataFrame(rows)
    if as_frame:
        return frame
    X, y = frame["structure"], frame["crystal_system"].rename("crystal system")
    y.attrs = {"quantity": "crystal system", "unit": None}
    return X, y


def _crystal_system(space_group):
    last = list(_CRYSTAL_SYSTEMS.values())
    return list(_CRYSTAL_SYSTEMS)[bisect.bisect_left(last, space_group)]


def _find_file():
    """Where pymatgen keeps the prototypes, without an import of its analysis package."""
    spec = importlib.util.find_spec("pymatgen.analysis")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "prototypes" / "aflow_prototypes.json.gz"
        if path.is_file():
            return path
    raise DatasetNotFoundError(
        "the installed pymatgen holds no aflow_prototypes.json.gz; install pymatgen 2026.5 or a "
        "later one"
    )

"""Tables that ship: measured band gaps with trisk, prototypes of crystals with pymatgen."""

import bisect
import gzip
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from trisk.data import data_file
from trisk.datasets._matbench import DatasetNotFoundError

if TYPE_CHECKING:
    import pandas as pd

_CRYSTAL_SYSTEMS = (
    *("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"),
)
_LAST_SPACE_GROUPS = (2, 15, 74, 142, 167, 194, 230)


@overload
def load_band_gaps(*, as_frame: Literal[False] = False) -> "tuple[pd.Series, pd.Series]": ...
@overload
def load_band_gaps(*, as_frame: Literal[True]) -> "pd.DataFrame": ...
def load_band_gaps(*, as_frame=False):
    """Load measured band gaps of some 390 inorganic compounds, elements and metals.

    The table ships with trisk; ``trisk/data/band_gaps.md`` tells how it was made and spells out the
    sources. Each formula occurs once, with the gap of the polymorph that is stable at room
    temperature unless a note says otherwise; metals and semimetals have a gap of zero.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether to return the entire table instead of ``(X, y)``.

    Returns
    -------
    X : pandas.Series of shape (n_samples,)
        Formulas, named ``"composition"``.
    y : pandas.Series of shape (n_samples,)
        Fundamental gaps in eV, named ``"band gap"``; ``y.attrs`` holds the keys
        ``"quantity"`` and ``"unit"``.
    frame : pandas.DataFrame of shape (n_samples, 7)
        Only with ``as_frame=True``, in place of the two: columns ``formula``, ``band_gap``
        (eV), ``temperature`` (K, NaN where unknown), ``transition`` (``"direct"``,
        ``"indirect"`` or empty), ``polymorph``, ``source`` and ``note``.

    Examples
    --------
    >>> from trisk.datasets import load_band_gaps
    >>> X, y = load_band_gaps()
    >>> y[X == "GaAs"].item()
    1.42
    >>> frame = load_band_gaps(as_frame=True).set_index("formula")
    >>> frame.loc["TiO2", ["transition", "polymorph", "source"]].tolist()
    ['direct', 'rutile', 'Madelung 2004']
    """
    import pandas as pd

    file = data_file("band_gaps.csv")
    frame = pd.read_csv(file, keep_default_na=False, na_values={"temperature": [""]})
    if as_frame:
        return frame
    X, y = frame["formula"].rename("composition"), frame["band_gap"].rename("band gap")
    y.attrs = {"quantity": "band gap", "unit": "eV"}
    return X, y


@overload
def load_prototypes(*, as_frame: Literal[False] = False) -> "tuple[pd.Series, pd.Series]": ...
@overload
def load_prototypes(*, as_frame: Literal[True]) -> "pd.DataFrame": ...
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

    Notes
    -----
    Space group and crystal system are those of the AFLOW label. With spglib and a tolerance of
    0.01 Å, three structures have a higher symmetry; their crystal system is the same.

    References
    ----------
    .. [1] M. J. Mehl et al., Comp. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017

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

    content = _find_prototypes().read_bytes()
    entries = json.loads(gzip.decompress(content) if content[:1] == b"\x1f" else content)
    frame = pd.DataFrame([entry["tags"] for entry in entries])
    frame = frame[["aflow", "pearson", "strukturbericht", "mineral"]].replace("None", "")
    frame.insert(0, "structure", [Structure.from_dict(entry["snl"]) for entry in entries])
    frame["space_group"] = frame["aflow"].str.split("_").str[2].astype(int)
    frame["crystal_system"] = [
        _CRYSTAL_SYSTEMS[bisect.bisect_left(_LAST_SPACE_GROUPS, n)] for n in frame["space_group"]
    ]
    if as_frame:
        return frame
    X, y = frame["structure"], frame["crystal_system"].rename("crystal system")
    y.attrs = {"quantity": "crystal system", "unit": None}
    return X, y


def _find_prototypes():
    """Where pymatgen keeps the prototypes, without an import of its analysis package."""
    spec = importlib.util.find_spec("pymatgen.analysis")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        # The second until pymatgen 2025.3.
        for name in ("prototypes/aflow_prototypes.json.gz", "aflow_prototypes.json"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise DatasetNotFoundError(
        "the installed pymatgen holds no AFLOW prototypes; install pymatgen again"
    )

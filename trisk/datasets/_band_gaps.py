"""The table of measured band gaps that ships with trisk."""

from typing import TYPE_CHECKING, Literal, overload

from trisk.data import data_file

if TYPE_CHECKING:
    import pandas as pd


@overload
def load_band_gaps(*, as_frame: Literal[False] = False) -> "tuple[pd.Series, pd.Series]": ...
@overload
def load_band_gaps(*, as_frame: Literal[True]) -> "pd.DataFrame": ...
def load_band_gaps(*, as_frame=False):
    """Load measured band gaps of some 390 inorganic compounds, elements and metals.

    The table ships with trisk; ``trisk/data/band_gaps.md`` tells how it was made and
    spells out the sources. Each formula occurs once, with the gap of the polymorph that is
    stable at room temperature unless a note says otherwise; metals and semimetals have a gap
    of zero.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether to return the entire table, with temperature, kind of transition, polymorph,
        source and notes, instead of ``(X, y)``.

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

    frame = pd.read_csv(
        data_file("band_gaps.csv"), keep_default_na=False, na_values={"temperature": [""]}
    )
    if as_frame:
        return frame
    X, y = frame["formula"].rename("composition"), frame["band_gap"].rename("band gap")
    y.attrs = {"quantity": "band gap", "unit": "eV"}
    return X, y

"""Element symbols and element property tables as arrays indexed by atomic number."""

from functools import lru_cache
from importlib import resources

import numpy as np

_PERIODIC_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se
    Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy
    Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf
    Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

#: Symbols of the 118 elements in order of atomic number: ``ELEMENT_SYMBOLS[Z - 1]``.
ELEMENT_SYMBOLS = tuple(_PERIODIC_TABLE.split())

N_ELEMENTS = len(ELEMENT_SYMBOLS)

#: Symbol → atomic number. Deuterium and tritium are hydrogen, as pymatgen counts them.
ATOMIC_NUMBERS = {symbol: z for z, symbol in enumerate(ELEMENT_SYMBOLS, start=1)} | {"D": 1, "T": 1}


@lru_cache(maxsize=16)
def read_element_table(filename):
    """Read a table of ``trisk/featurizers/data`` that holds one row per element.

    Parameters
    ----------
    filename : str
        CSV file whose first column is the element symbol; an empty field is a missing value.

    Returns
    -------
    names : tuple of str
        Column names, without the symbol's.
    values : ndarray of shape (119, n_columns)
        Row ``Z`` belongs to atomic number ``Z``; row 0 and elements without data are NaN.
        The array is cached and read-only.
    """
    text = resources.files("trisk").joinpath("featurizers", "data", filename).read_text("utf-8")
    header, *lines = text.splitlines()
    names = tuple(header.split(",")[1:])
    values = np.full((N_ELEMENTS + 1, len(names)), np.nan)
    for line in lines:
        symbol, *fields = line.split(",")
        values[ATOMIC_NUMBERS[symbol]] = [float(field) if field else np.nan for field in fields]
    values.setflags(write=False)
    return names, values


def element_columns(filename, names):
    """Read columns of an element table.

    Parameters
    ----------
    filename : str
        CSV file, as for :func:`read_element_table`.
    names : sequence of str
        Columns, in the order wanted.

    Returns
    -------
    ndarray of shape (119, n_names)
        NaN where there is no data.
    """
    known, values = read_element_table(filename)
    return values[:, [known.index(name) for name in names]]


def impute_element_means(values):
    """Fill missing element values with the mean over the elements that have one.

    Parameters
    ----------
    values : ndarray of shape (119, n_columns)
        Row ``Z`` belongs to atomic number ``Z``; NaN where data is missing.

    Returns
    -------
    ndarray of shape (119, n_columns)
        A filled copy; row 0 stays NaN.
    """
    filled = np.where(np.isnan(values), np.nanmean(values[1:], axis=0), values)
    filled[0] = np.nan
    return filled


def elements_without_data(table, values):
    """Find the rows that hold an element with a missing value.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions.
    values : ndarray of shape (119, n_columns)
        Element values, NaN where missing.

    Returns
    -------
    dict of int to list of str
        Row index → symbols of its elements that lack at least one value.
    """
    lacking = np.isnan(values).any(axis=1)
    lacking_entries = np.flatnonzero(lacking[table.elements])
    found: dict[int, list[str]] = {}
    rows = table.rows
    for entry in lacking_entries:
        found.setdefault(int(rows[entry]), []).append(ELEMENT_SYMBOLS[table.elements[entry] - 1])
    return found

"""Element symbols and element property tables as arrays indexed by atomic number."""

from functools import lru_cache

import numpy as np

from trisk.data import data_file

_PERIODIC_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se
    Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy
    Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf
    Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

#: Symbols of the 118 elements in order of atomic number: ``ELEMENT_SYMBOLS[Z - 1]``.
ELEMENT_SYMBOLS = tuple(_PERIODIC_TABLE.split())

N_ELEMENTS = len(ELEMENT_SYMBOLS)

_MASSES = """
    1.008 4.0026 6.94 9.0122 10.81 12.011 14.007 15.999 18.9984 20.1797 22.9898 24.305 26.9815
    28.085 30.9738 32.06 35.45 39.948 39.0983 40.078 44.9559 47.867 50.9415 51.9961 54.938 55.845
    58.9332 58.6934 63.546 65.38 69.723 72.63 74.9216 78.971 79.904 83.798 85.4678 87.62 88.9058
    91.224 92.9064 95.95 97.9072 101.07 102.906 106.42 107.868 112.414 114.818 118.71 121.76 127.6
    126.904 131.293 132.905 137.327 138.905 140.116 140.908 144.242 144.913 150.36 151.964 157.25
    158.925 162.5 164.93 167.259 168.934 173.054 174.967 178.49 180.948 183.84 186.207 190.23
    192.217 195.084 196.967 200.592 204.38 207.2 208.98 208.982 209.987 222.018 223.02 226.025
    227.028 232.038 231.036 238.029 237.048 244.064 243.061 247.07 247.07 251.08 252.083 257.095
    258.098 259.101 262.11 267.122 268.126 271.134 270.133 269.134 278.156 281.165 281.166 285.177
    286.182 289.19 289.194 293.204 293.208 294.214
"""

#: Standard atomic weights of the elements 1 to 118 in u (IUPAC 2016; without stable isotopes, the
#: mass of the longest-lived one).
ATOMIC_MASSES = tuple(float(mass) for mass in _MASSES.split())

#: Symbol → atomic number.
ATOMIC_NUMBERS = {symbol: z for z, symbol in enumerate(ELEMENT_SYMBOLS, start=1)}


@lru_cache(maxsize=16)
def read_element_table(filename):
    """Names of the columns of a table of ``trisk.data`` and their values by atomic number.

    The values have shape (119, n_columns) and are read-only; row 0, empty fields and elements
    that the table lacks are NaN.
    """
    header, *lines = data_file(filename).read_text("utf-8").splitlines()
    names = tuple(header.split(",")[1:])
    values = np.full((N_ELEMENTS + 1, len(names)), np.nan)
    for line in lines:
        symbol, *fields = line.split(",")
        values[ATOMIC_NUMBERS[symbol]] = [float(field) if field else np.nan for field in fields]
    values.setflags(write=False)
    return names, values


def impute_element_means(values):
    """Fill missing element values with the mean over the elements that have one."""
    filled = np.where(np.isnan(values), np.nanmean(values[1:], axis=0), values)
    filled[0] = np.nan
    return filled


#: Feature → the element table and column that it is read from.
_SOURCES = {
    "group": ("magpie_elements.csv", "Column"),
    "period": ("magpie_elements.csv", "Row"),
    "Mendeleev number": ("magpie_elements.csv", "MendeleevNumber"),
    "atomic mass": (),  # ATOMIC_MASSES
    "covalent radius": ("magpie_elements.csv", "CovalentRadius"),
    "atomic radius": ("descriptor_elements.csv", "miracle_radius"),
    "electronegativity": ("magpie_elements.csv", "Electronegativity"),
    "first ionization energy": ("descriptor_elements.csv", "first_ionization_energy"),
    "electron affinity": ("descriptor_elements.csv", "electron_affinity"),
    "s valence electrons": ("magpie_elements.csv", "NsValence"),
    "p valence electrons": ("magpie_elements.csv", "NpValence"),
    "d valence electrons": ("magpie_elements.csv", "NdValence"),
    "f valence electrons": ("magpie_elements.csv", "NfValence"),
    "valence electrons": ("magpie_elements.csv", "NValence"),
    "unfilled valence orbitals": ("magpie_elements.csv", "NUnfilled"),
    "ground-state volume": ("magpie_elements.csv", "GSvolume_pa"),
    "melting temperature": ("magpie_elements.csv", "MeltingT"),
    "cohesive energy": ("descriptor_elements.csv", "cohesive_energy"),
}

#: Names of the features, in the order of their columns.
ATOM_FEATURES = tuple(_SOURCES)


@lru_cache(maxsize=len(_SOURCES))
def element_property(name):
    """One of ``ATOM_FEATURES`` by atomic number, in its table's unit; the mean where unknown."""
    return impute_element_means(_recorded(name)[:, None])[:, 0]


@lru_cache(maxsize=1)
def atom_feature_table():
    """Features by atomic number: 18 columns of mean 0 and variance 1, unknown ones at the mean."""
    values = np.stack([_recorded(name) for name in ATOM_FEATURES], axis=1)
    scaled = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    table = impute_element_means(scaled).astype(np.float32)
    table.setflags(write=False)
    return table


def _recorded(name):
    if name == "atomic mass":
        return np.array([np.nan, *ATOMIC_MASSES])
    filename, column = _SOURCES[name]
    names, values = read_element_table(filename)
    return values[:, names.index(column)]

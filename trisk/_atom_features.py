"""What a crystal graph says of an element: 18 properties on one scale."""

from functools import lru_cache

import numpy as np

from trisk._element_data import element_columns, impute_element_means

#: Feature → the element table and column that it is read from.
_SOURCES = {
    "group": ("magpie_elements.csv", "Column"),
    "period": ("magpie_elements.csv", "Row"),
    "Mendeleev number": ("magpie_elements.csv", "MendeleevNumber"),
    "atomic mass": ("descriptor_elements.csv", "atomic_mass"),
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


@lru_cache(maxsize=1)
def atom_feature_table():
    """Features by atomic number.

    Returns
    -------
    ndarray of float32 of shape (119, 18)
        Each column has mean 0 and variance 1 over the elements with data; an element without
        data has the mean. Row 0 is NaN. Cached and read-only.
    """
    columns = [element_columns(filename, (name,)) for filename, name in _SOURCES.values()]
    values = np.concatenate(columns, axis=1)
    scaled = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    table = impute_element_means(scaled).astype(np.float32)
    table.setflags(write=False)
    return table

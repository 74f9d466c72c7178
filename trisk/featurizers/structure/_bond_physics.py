"""Physics sensors of a bond, from the two elements and the length alone."""

import numpy as np

from trisk.structures.elements import element_columns, impute_element_means

#: Names of the sensors, in the order of their columns.
BOND_SENSORS = ("bond stiffness (N/m)", "reduced mass (u)", "Einstein frequency (1/cm)")

_GORDY = 167.0  # N/m for a bond order of one, electronegativities of Pauling, lengths in Å
_VALENCE_DECAY = 0.37  # Å
# √(N/m / u) / 2πc = √(1 / 1.66053907e-27) / (2π · 2.99792458e10) per centimetre
WAVENUMBER = 130.2794


def bond_valences(numbers_i, numbers_j, lengths):
    """Valences of bonds around the sum of the covalent radii.

    Parameters
    ----------
    numbers_i, numbers_j : ndarray of int of shape (n_bonds,)
        Atomic numbers of the two atoms.
    lengths : ndarray of shape (n_bonds,)
        Lengths d in Å.

    Returns
    -------
    ndarray of shape (n_bonds,)
        exp((rᵢ + rⱼ − d) / 0.37 Å).
    """
    radii = _element_values("magpie_elements.csv", "CovalentRadius") / 100
    return np.exp((radii[numbers_i] + radii[numbers_j] - lengths) / _VALENCE_DECAY)


def bond_sensors(numbers_i, numbers_j, lengths):
    """Estimate how stiff bonds are and how fast they vibrate.

    Parameters
    ----------
    numbers_i, numbers_j : ndarray of int of shape (n_bonds,)
        Atomic numbers of the two atoms.
    lengths : ndarray of shape (n_bonds,)
        Lengths d in Å.

    Returns
    -------
    ndarray of shape (n_bonds, 3)
        Columns as in ``BOND_SENSORS``:

        - Stiffness k = 167 N/m · n (χᵢ χⱼ / d²)^¾ after Gordy [1]_, with Pauling's
          electronegativities χ, and for the bond order the bond valence
          n = exp((rᵢ + rⱼ − d) / 0.37 Å) [2]_ around the sum of the covalent radii r [3]_.
          Gordy's additive constant of 30 N/m is left out: it is meant for bonded pairs, and
          here a pair far apart has no stiffness.
        - Reduced mass µ = mᵢ mⱼ / (mᵢ + mⱼ).
        - Frequency √(k/µ) / 2πc of the two atoms on that spring.

    References
    ----------
    .. [1] W. Gordy, "A relation between bond force constants, bond orders, bond lengths, and the
       electronegativities of the bonded atoms", J. Chem. Phys. 14, 305 (1946).
    .. [2] I. D. Brown, D. Altermatt, "Bond-valence parameters obtained from a systematic
       analysis of the inorganic crystal structure database", Acta Cryst. B 41, 244 (1985).
    .. [3] B. Cordero et al., "Covalent radii revisited", Dalton Trans. 2832 (2008).
    """
    electronegativities = _element_values("magpie_elements.csv", "Electronegativity")
    masses = _element_values("descriptor_elements.csv", "atomic_mass")
    mass_i, mass_j = masses[numbers_i], masses[numbers_j]
    order = bond_valences(numbers_i, numbers_j, lengths)
    product = electronegativities[numbers_i] * electronegativities[numbers_j]
    stiffness = _GORDY * order * (product / lengths**2) ** 0.75
    reduced_mass = mass_i * mass_j / (mass_i + mass_j)
    frequency = WAVENUMBER * np.sqrt(stiffness / reduced_mass)
    return np.stack([stiffness, reduced_mass, frequency], axis=1)


def _element_values(filename, name):
    """One property by atomic number, the mean over the elements where there is none."""
    return impute_element_means(element_columns(filename, (name,)))[:, 0]

"""Small crystals of several kinds, made on the spot."""

import numpy as np

# Space group, lattice vectors over the cube's edge, cations' and anions' fractional coordinates.
_FCC = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
_KINDS = (
    ("rock salt", _FCC, [[0, 0, 0]], [[0.5, 0.5, 0.5]], 2.0),
    ("zinc blende", _FCC, [[0, 0, 0]], [[0.25, 0.25, 0.25]], 4 / 3**0.5),
    ("caesium chloride", np.eye(3).tolist(), [[0, 0, 0]], [[0.5, 0.5, 0.5]], 2 / 3**0.5),
    (
        "fluorite",
        _FCC,
        [[0, 0, 0]],
        [[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
        4 / 3**0.5,
    ),
)
_CATIONS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Zn", "Cd", "Al", "Ga", "Ti", "Zr")
_ANIONS = ("O", "S", "Se", "F", "Cl", "Br", "N", "P")


def make_structures(n_samples=24, *, random_state=0):
    """Make small binary crystals, slightly strained and displaced, with two targets.

    Parameters
    ----------
    n_samples : int, default=24
        Number of crystals.
    random_state : int, RandomState instance or None, default=0
        Seed.

    Returns
    -------
    structures : list of pymatgen.core.Structure
        Rock salts, zinc blendes, caesium chlorides and fluorites of common elements.
    frequency : ndarray of shape (n_samples,)
        A number that depends on bond lengths and masses as a frequency does.
    kind : ndarray of shape (n_samples,)
        Name of the structure type.

    Examples
    --------
    >>> from trisk.testing import make_structures
    >>> structures, frequency, kind = make_structures(4)
    >>> kind.tolist()
    ['rock salt', 'zinc blende', 'caesium chloride', 'fluorite']
    """
    from pymatgen.core import Element, Structure
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    structures, frequency, kinds = [], [], []
    for number in range(n_samples):
        kind, vectors, cations, anions, edge = _KINDS[number % len(_KINDS)]
        cation, anion = Element(rng.choice(_CATIONS)), Element(rng.choice(_ANIONS))
        length = rng.uniform(0.85, 1.0) * (float(cation.atomic_radius) + 1.0)
        strain = np.eye(3) + rng.uniform(-0.02, 0.02, size=(3, 3))
        lattice = edge * length * np.array(vectors) @ strain
        sites = np.array(cations + anions, dtype=float)
        sites = sites + rng.uniform(-0.01, 0.01, size=sites.shape)
        species = [cation] * len(cations) + [anion] * len(anions)
        structures.append(Structure(lattice, species, sites))
        reduced_mass = 1 / (1 / float(cation.atomic_mass) + 1 / float(anion.atomic_mass))
        frequency.append(1e4 / length**1.5 / reduced_mass**0.5)
        kinds.append(kind)
    return structures, np.array(frequency), np.array(kinds)

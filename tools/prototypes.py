"""Crystals that might exist: known structures with the elements of known formulas."""

import warnings

import numpy as np


def decorate_prototypes(formulas, prototypes, n_structures, *, max_atoms=20, random_state=0):
    """Put the elements of formulas on the sites of structures with the same stoichiometry.

    A formula such as MgAl2O4 goes to any structure whose formula has the same amounts (A2BC4).
    Where several elements have the same amount, they take the places of each other in the order
    of electronegativity, so that cations come to sites of cations. The volume follows from
    expected bond lengths [1]_.

    Parameters
    ----------
    formulas : array-like of str
        Chemical formulas; repeated ones are more likely.
    prototypes : sequence of pymatgen.core.Structure
        Structures whose sites are taken.
    n_structures : int
        How many to make.
    max_atoms : int, default=20
        Largest number of atoms.
    random_state : int, default=0
        Seed of the choice of formulas and prototypes.

    Returns
    -------
    list of pymatgen.core.Structure
        Decorated structures; fewer than asked for if too few formulas have a prototype.

    References
    ----------
    .. [1] I.-H. Chu et al., "Predicting the volumes of crystals", Comput. Mater. Sci. 146, 184
       (2018). https://doi.org/10.1016/j.commatsci.2018.01.040

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from tools.prototypes import decorate_prototypes
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> (crystal,) = decorate_prototypes(["MgO"], [salt], 1)
    >>> crystal.formula, bool(crystal.volume < salt.volume)
    ('Mg4 O4', True)
    """
    from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor
    from pymatgen.core import Composition

    rng = np.random.default_rng(random_state)
    by_pattern: dict[str, list] = {}
    for prototype in prototypes:
        if len(prototype) <= max_atoms and prototype.is_ordered:
            by_pattern.setdefault(prototype.composition.anonymized_formula, []).append(prototype)
    predictor = DLSVolumePredictor()
    made: list = []
    with warnings.catch_warnings():
        # Elements without electronegativity or radius are left out below.
        warnings.simplefilter("ignore", UserWarning)
        for row in rng.permutation(len(formulas)):
            if len(made) == n_structures:
                break
            composition = Composition(formulas[row])
            candidates = by_pattern.get(composition.anonymized_formula)
            if not candidates or any(np.isnan(element.X) for element in composition):
                continue
            structure = _decorate(composition, candidates[rng.integers(len(candidates))])
            try:
                structure.scale_lattice(predictor.predict(structure))
            except (ValueError, TypeError):  # no bond within reach, or an unknown radius
                continue
            made.append(structure)
    return made


def _decorate(composition, prototype):
    """Replace the elements of a prototype by those of a composition of the same pattern."""

    def ordered(elements):
        reduced = elements.reduced_composition
        return sorted(reduced, key=lambda element: (reduced[element], _affinity(element)))

    replaced = dict(zip(ordered(prototype.composition), ordered(composition), strict=True))
    structure = prototype.copy()
    structure.replace_species(replaced)
    return structure


def _affinity(element):
    """Electronegativity, and the atomic number where there is none."""
    return (np.nan_to_num(element.X), element.Z)

"""Crystals that might exist: elements of formulas on the sites of known structures."""

import numpy as np

from tools.prototypes import decorate_prototypes
from trisk.testing import make_structures


def test_decorated_prototypes_keep_sites_and_change_elements():
    structures = make_structures(8, random_state=0)[0]
    formulas = ["Ba1 F2", "O2 Zr1", "He1 F2", "Ti1 N1", "Fe1"]
    made = decorate_prototypes(formulas, structures, 10, random_state=0)
    assert sorted(s.reduced_formula for s in made) == ["BaF2", "TiN", "ZrO2"]
    for structure in made:
        assert (structure.distance_matrix + 10 * np.eye(len(structure))).min() > 1.5
    again = decorate_prototypes(formulas, structures, 10, random_state=0)
    assert again == made

"""The 7,572 perovskites at hand: cubic cells of five atoms and their heats of formation."""

from pathlib import Path

import numpy as np
from pymatgen.core import Structure

#: Folder of the data, beside the checkout.
DATA = Path(__file__).resolve().parents[1] / "../shared/data"


def read_perovskites(folder=DATA):
    """Structures, and heats of formation in meV per atom."""
    data = np.load(Path(folder) / "perovskites_7572.npz")
    starts = np.cumsum(data["n_atoms"])[:-1]
    numbers, sites = np.split(data["Z"], starts), np.split(data["frac"], starts)
    cells = zip(data["cell"], numbers, sites, strict=True)
    # Per atom: two structures of LaYN3 differ by 0.64 here and by 2.9 eV a cell in a potential.
    return [Structure(*parts) for parts in cells], 1e3 * data["heat_of_formation_eV"].astype(float)

"""What Matbench v0.1 says of each of its tasks."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class MatbenchTask:
    """Inputs, target and size of one Matbench task.

    Attributes
    ----------
    name : str
        Full name, such as ``"matbench_steels"``.
    inputs : {"composition", "structure"}
        What a row describes.
    target : str
        Name of the target column.
    quantity : str
        The target in words, for axis labels.
    unit : str or None
        Unit of the target; None for a dimensionless or categorical one.
    n_samples : int
        Number of rows.
    """

    name: str
    inputs: str
    target: str
    quantity: str
    unit: str | None
    n_samples: int

    @property
    def classification(self):
        """Whether the target is a class."""
        return self.target in {"gfa", "is_metal"}

    def sample_ids(self):
        """Matbench's row names: ``mb-steels-001``, as wide as the number of rows."""
        prefix = self.name.replace("matbench", "mb").replace("_", "-")
        width = len(str(self.n_samples))
        return [f"{prefix}-{row:0{width}d}" for row in range(1, self.n_samples + 1)]


_ROWS = (
    ("dielectric", "structure", "n", "refractive index", None, 4764),
    ("expt_gap", "composition", "gap expt", "band gap", "eV", 4604),
    ("expt_is_metal", "composition", "is_metal", "metallic", None, 4921),
    ("glass", "composition", "gfa", "glass forming", None, 5680),
    ("jdft2d", "structure", "exfoliation_en", "exfoliation energy", "meV/atom", 636),
    ("log_gvrh", "structure", "log10(G_VRH)", "log₁₀ shear modulus", "log₁₀ GPa", 10987),
    ("log_kvrh", "structure", "log10(K_VRH)", "log₁₀ bulk modulus", "log₁₀ GPa", 10987),
    ("mp_e_form", "structure", "e_form", "formation energy", "eV/atom", 132752),
    ("mp_gap", "structure", "gap pbe", "PBE band gap", "eV", 106113),
    ("mp_is_metal", "structure", "is_metal", "metallic", None, 106113),
    ("perovskites", "structure", "e_form", "formation energy", "eV/cell", 18928),
    ("phonons", "structure", "last phdos peak", "last phonon DOS peak", "cm⁻¹", 1265),
    ("steels", "composition", "yield strength", "yield strength", "MPa", 312),
)

MATBENCH_TASKS = {row[0]: MatbenchTask(f"matbench_{row[0]}", *row[1:]) for row in _ROWS}


def find_task(name):
    """Task of a name given with or without ``matbench_``.

    Parameters
    ----------
    name : str
        ``"steels"`` or ``"matbench_steels"``.

    Returns
    -------
    MatbenchTask
        Its task.

    Raises
    ------
    ValueError
        If no task has this name.
    """
    if isinstance(name, str) and name.removeprefix("matbench_") in MATBENCH_TASKS:
        return MATBENCH_TASKS[name.removeprefix("matbench_")]
    near = difflib.get_close_matches(str(name).removeprefix("matbench_"), MATBENCH_TASKS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"{name!r} is no Matbench task.{hint} The tasks are {', '.join(MATBENCH_TASKS)}, "
        "with or without the prefix 'matbench_'."
    )

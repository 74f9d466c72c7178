"""PotentialFeaturizer: sensors of crystals from any interatomic potential."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from trisk._compat import Interval, StrOptions
from trisk._optional import if_absent
from trisk.featurizers._rows import TableFeaturizer
from trisk.featurizers.potential._cache import RecordCache
from trisk.featurizers.potential._calls import (
    is_calculator,
    is_factory,
    is_potential,
    make_calculator,
)
from trisk.featurizers.potential._columns import MEASUREMENTS, sensor_columns, sensor_values
from trisk.featurizers.potential._measurements import SETTINGS, MeasurementRun, measure_crystals
from trisk.featurizers.potential._vibrations import require_phonopy
from trisk.featurizers.structure._base import StructureFeaturizer

_WITHOUT_PHONOPY = {"energy_and_forces", "geometry", "stacking", "formation"}


@dataclass(repr=False, eq=False)
class PotentialFeaturizer(TableFeaturizer, StructureFeaturizer):
    """Energies, stresses, vibrations and elastic constants from an interatomic potential.

    Every structure is reduced to its primitive cell, relaxed if asked for, and measured with the
    potential; columns are statistics of what comes out. Nothing is learned from the data, and no
    weights come with trisk.

    Parameters
    ----------
    calculator : ASE calculator, callable, object with ``calculate_many`` or fitted potential
        The potential, or a function without arguments that makes it, which is what workers
        need that cannot share one. A fitted :class:`~trisk.estimators.TriForcesPotential` goes
        inside ``sklearn.frozen.FrozenEstimator``, or a clone of the featurizer forgets it. An
        object with ``calculate_many(images)``, which takes a list of ASE ``Atoms`` and gives a
        list of dicts with "energy" (eV), "forces" (eV/Å) and "stress" (eV/Å³, ASE's order and
        sign), is called with many structures at once.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be measured: raise a
        :class:`~trisk.featurizers.FeaturizationError` at once, or give NaN and warn once.
    n_jobs : int, default=None
        Number of joblib workers over structures; None is 1, -1 all processors.
    sensors : sequence of str, default=("energy", "stress", "forces", "gamma", "einstein")
        What to measure: sensors of the table in the Notes.
    relax : {"cell", "positions"} or None, default=None
        What to relax before measuring: cell and positions, positions alone, or nothing.
    max_force : float, default=0.02
        Force in eV/Å at which a relaxation ends.
    max_relaxation_steps : int, default=200
        Steps after which a relaxation ends in any case; "relaxation converged" tells.
    displacement : float, default=0.01
        Å by which atoms are moved for force constants.
    differences : {"central", "forward"}, default="central"
        Whether atoms are moved to both sides where symmetry does not make the two alike, or to
        one side, which takes as little as half of the force calls. The error of one side grows
        with ``displacement``: 0.003 Å kept it below 0.3 % of the highest frequency in nine
        crystals without inversion (0.01 Å: 0.7 %).
    symmetry_tolerance : float or None, default=1e-3
        Distance in Å within which atoms count as equivalent, for the primitive cell and to save
        displacements. None uses no symmetry and keeps the cell as it is.
    supercell_length : float, default=8.0
        Smallest distance in Å between opposite faces of the supercell for "phonon_dos".
    mesh_length : float, default=30.0
        Å; the mesh for "phonon_dos" has some ``mesh_length`` / a wave vectors along a lattice
        vector of length a.
    batch_atoms : int, default=256
        Most atoms in one call of ``calculate_many``; a larger structure goes alone.
    time_limit : float or None, default=None
        Seconds that one structure may take; it fails at the first call after that.
    memory : str, path-like or None, default=None
        Folder where measurements are kept, each with a checksum, under the hash of structure,
        settings and ``potential_name``. A run that was interrupted continues where it stopped; a
        damaged file is named in a warning and made again; where the folder cannot be written, a
        warning says so and nothing is kept.
    potential_name : str or None, default=None
        Name of the potential and its version, which ``memory`` needs: it cannot see when the
        weights change.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    {attributes}
    n_features_out_ : int
        Number of columns given out.

    Notes
    -----
    ===================  ==============================================================  ===========
    sensor               columns                                                         force calls
    ===================  ==============================================================  ===========
    "energy"             energy per atom                                                 1
    "stress"             pressure and von Mises stress                                   the same
    "forces"             largest force on an atom                                        the same
    "relaxation"         volume after over before, whether it converged                  its steps
    "gamma"              optical frequencies at the Γ point: the highest four, the       1 + at most
                         lowest, imaginary modes, quantiles, mean, deviation             6 an atom
    "einstein"           frequencies of each sublattice against the resting others:      the same
                         extremes, imaginary modes, quantiles, mean, deviation
    "phonon_dos"         the last peak of the density of states at two widths, maximum,  as for
                         mean of the highest band, imaginary share, Einstein             "gamma", in
                         frequencies of single atoms, quantiles, mean, deviation         a supercell
    "elasticity"         bulk and shear modulus (Hill), universal anisotropy, softest    12 more
                         eigenvalue, with relaxed atoms
    "elastic_constants"  the tensor they follow from, C11 to C66, in Voigt's order       the same
                         xx, yy, zz, yz, xz, xy and the axes of the structure
    "stacking"           of a single layer: energy that it gains on another, per atom    22 or 29
                         and per area, where three or four shifts and seven gaps are
                         best; beyond 3 Å; its spread over the shifts; the best gap
    "formation"          energy per atom less that of the elements, each the lowest of   1, and 49
                         four simple crystals and molecules of two atoms                 an element
    ===================  ==============================================================  ===========

    Frequencies are in cm⁻¹ and come from phonopy [1]_ (``pip install "trisk[phonopy]"``), which
    "elasticity" needs too: differences of the forces, made symmetric and free of uniform
    translations. Beside "phonon_dos", "gamma" and "einstein" cost nothing. Imaginary frequencies
    are counted and given as negative numbers. The long-range field of longitudinal modes is left
    out, so that they are too soft in polar crystals near Γ. A crystal with one atom per cell has
    no optical mode, and its columns are 0.

    "stacking" estimates the energy of exfoliation where the potential knows dispersion forces, as
    the sum of one and of DFT-D3 does (``ase.calculators.mixing.SumCalculator``). It asks for
    energies alone.

    The guide to interatomic potentials names calculators, and what goes wrong with weights.

    References
    ----------
    .. [1] A. Togo et al., J. Phys.: Condens. Matter 35, 353001 (2023), doi:10.1088/1361-648X/acd831

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from trisk.featurizers import PotentialFeaturizer
    >>> featurizer = PotentialFeaturizer(EMT, sensors=["elasticity"])
    >>> featurizer.fit_transform([bulk("Cu"), bulk("Au")]).round().astype(int).T
                                                  0    1
    Potential bulk modulus (GPa)                125  158
    Potential shear modulus (GPa)                53   27
    Potential elastic anisotropy                  2    1
    Potential softest elastic eigenvalue (GPa)   54   30
    """

    _parameter_constraints = {
        **StructureFeaturizer._parameter_constraints,
        "calculator": "no_validation",  # type: ignore[dict-item]
        "sensors": ["array-like"],
        "relax": [StrOptions({"cell", "positions"}), None],
        "max_force": [Interval(Real, 0, None, closed="neither")],
        "max_relaxation_steps": [Interval(Integral, 1, None, closed="left")],
        "displacement": [Interval(Real, 0, 0.5, closed="right")],
        "differences": [StrOptions({"central", "forward"})],
        "symmetry_tolerance": [Interval(Real, 0, None, closed="neither"), None],
        "supercell_length": [Interval(Real, 0, None, closed="neither")],
        "mesh_length": [Interval(Real, 0, None, closed="neither")],
        "batch_atoms": [Interval(Integral, 1, None, closed="left")],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "memory": [str, PathLike, None],
        "potential_name": [str, None],
        "verbose": ["verbose"],
    }

    calculator: Any
    _: KW_ONLY
    sensors: Sequence[str] = ("energy", "stress", "forces", "gamma", "einstein")
    relax: str | None = None
    max_force: float = 0.02
    max_relaxation_steps: int = 200
    displacement: float = 0.01
    differences: str = "central"
    symmetry_tolerance: float | None = 1e-3
    supercell_length: float = 8.0
    mesh_length: float = 30.0
    batch_atoms: int = 256
    time_limit: float | None = None
    memory: str | PathLike | None = None
    potential_name: str | None = None
    verbose: int = 0

    def transform(self, X):
        structures, errors = self._read(X)
        if errors and self.on_error == "raise":
            self._report(errors, len(structures))
        rows = np.flatnonzero(structures.counts())
        crystals = {int(row): _atoms_of(structures, row) for row in rows}
        values = np.full((len(structures), self.n_features_out_), np.nan)
        run = MeasurementRun(
            source=self.calculator,
            potential_name=self.potential_name,
            names=list(dict.fromkeys(["geometry", *(MEASUREMENTS[s] for s in self.sensors)])),
            settings={name: getattr(self, name) for name in SETTINGS},
            batch_atoms=self.batch_atoms,
            time_limit=self.time_limit,
            folder=self.memory,
        )
        cache = RecordCache(self.memory)
        for row, records, cause, notes in measure_crystals(
            run, crystals, n_jobs=self.n_jobs, progress=bool(self.verbose)
        ):
            cache.add_notes(notes)
            if cause is None:
                values[row] = sensor_values(self.sensors, records)
                continue
            errors += self._errors(structures, {row: cause})
            if self.on_error == "raise":
                break  # an hour of further rows would not help
        cache.warn(stacklevel=3)  # the caller of transform, past scikit-learn's wrapper
        self._report(sorted(errors, key=lambda error: error.row), len(structures))
        return self._as_frame(values, X)

    def _feature_names(self):
        return sensor_columns(self.sensors)

    def _prepare(self):
        """Check what the constraints of single parameters cannot see."""
        with if_absent("PotentialFeaturizer needs ASE: pip install 'trisk[atoms]'"):
            import ase  # noqa: F401 (whether it is there)
        if is_potential(self.calculator):
            check_is_fitted(self.calculator)
        elif not is_calculator(self.calculator) and not is_factory(self.calculator):
            make_calculator(self.calculator)
        unknown = [sensor for sensor in self.sensors if sensor not in MEASUREMENTS]
        if unknown or isinstance(self.sensors, str) or not len(self.sensors):
            raise ValueError(
                f"sensors={self.sensors!r} must be a list of some of {list(MEASUREMENTS)}"
            )
        if not {MEASUREMENTS[sensor] for sensor in self.sensors} <= _WITHOUT_PHONOPY:
            require_phonopy()
        if self.memory is not None and not self.potential_name:
            raise ValueError(
                "memory keeps results under the name of the potential: give potential_name, "
                'such as "TensorNet-MatPES-PBE-v2025.1"'
            )


def _atoms_of(structures, row):
    from ase import Atoms

    atoms = slice(*structures.offsets["atom"][row : row + 2])
    return Atoms(
        numbers=structures.atomic_numbers[atoms],
        positions=structures.positions[atoms],
        cell=structures.lattices[row],
        pbc=structures.pbc[row],
    )

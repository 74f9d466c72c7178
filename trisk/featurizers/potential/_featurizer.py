"""PotentialFeaturizer: sensors of crystals from any interatomic potential."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    check_is_fitted,
)

from trisk.featurizers._store import ContentStore
from trisk.featurizers.potential._bond_force_constants import with_force_constants
from trisk.featurizers.potential._columns import MEASUREMENTS, sensor_columns, sensor_values
from trisk.featurizers.potential._force_calls import (
    is_calculator,
    is_factory,
    is_potential,
    make_calculator,
)
from trisk.featurizers.potential._measurements import MeasurementSettings
from trisk.featurizers.potential._runs import MeasurementRuns
from trisk.featurizers.potential._supercell import require_phonopy
from trisk.featurizers.structure._base import StructureFeaturizer
from trisk.featurizers.structure._objects import describe_atoms
from trisk.featurizers.structure._structures import parse_structures
from trisk.structures.rows import RowError

_DEFAULT_SENSORS = ("energy", "stress", "forces", "gamma", "einstein")


class PotentialFeaturizer(StructureFeaturizer):
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
    sensors : sequence of str, default=("energy", "stress", "forces", "gamma", "einstein")
        What to measure: "energy", "stress", "forces", "relaxation", "gamma", "einstein",
        "phonon_dos" or "elasticity"; see Notes.
    relax : {"cell", "positions"} or None, default=None
        What to relax before measuring: cell and positions, positions alone, or nothing.
    max_force : float, default=0.02
        Force in eV/Å at which a relaxation ends.
    max_relaxation_steps : int, default=200
        Steps after which a relaxation ends in any case; "relaxation converged" tells.
    displacement : float, default=0.01
        Å by which atoms are moved for force constants.
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
        Folder where measurements are kept under the hash of structure, settings and
        ``potential_name``. A run that was interrupted continues where it stopped.
    potential_name : str or None, default=None
        Name of the potential and its version, which ``memory`` needs: it cannot see when the
        weights change.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be measured: raise a
        :class:`~trisk.featurizers.FeaturizationError` at once, or give NaN, list it in
        ``errors_`` and warn once.
    n_jobs : int, default=None
        Number of joblib workers over structures; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Structures that the latest ``transform`` could not measure: row, formula, featurizer,
        cause.
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of columns given out.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    See Also
    --------
    verify_potential : Notices weights that were loaded wrongly.

    Notes
    -----
    ==============  ==============================================================  ===========
    sensor          columns                                                         force calls
    ==============  ==============================================================  ===========
    "energy"        energy per atom                                                 1
    "stress"        pressure and von Mises stress                                   the same
    "forces"        largest force on an atom                                        the same
    "relaxation"    volume after over before, whether it converged                  its steps
    "gamma"         optical frequencies at the Γ point: the highest four, the       6 per orbit
                    lowest, imaginary modes, quantiles, mean, deviation
    "einstein"      frequencies of each sublattice against the resting others:      the same
                    extremes, imaginary modes, quantiles, mean, deviation
    "phonon_dos"    the last peak of the density of states at two widths, maximum,  as symmetry
                    mean of the highest band, imaginary share, Einstein             leaves, in a
                    frequencies of single atoms, quantiles, mean, deviation         supercell
    "elasticity"    bulk and shear modulus (Hill), universal anisotropy, softest    12 more
                    eigenvalue, with relaxed atoms
    ==============  ==============================================================  ===========

    Frequencies are in cm⁻¹ and come from central differences of the forces, made symmetric and
    free of uniform translations (phonopy [1]_ does the same for "phonon_dos", which needs
    ``pip install "trisk[phonopy]"``). Imaginary frequencies are counted and given as negative
    numbers. The long-range field of longitudinal modes is left out, so that they are too soft in
    polar crystals near Γ. A crystal with one atom per cell has no optical mode, and its columns
    are 0.

    Calculators are made in one line each, and passed as such a function:

    - MACE: ``mace.calculators.mace_mp(model=path, default_dtype="float64")``;
    - Orb: ``ORBCalculator(orb_v3_conservative_inf_omat(weights_path=path))`` from
      ``orb_models.forcefield``;
    - matgl: ``matgl.ext.ase.PESCalculator(matgl.load_model(path), stress_unit="eV/A3")``;
    - CHGNet: ``chgnet.model.CHGNetCalculator(CHGNet.from_file(path))``.

    A library that loads weights of another version can go wrong in silence: matgl 4.1 reads
    those of matgl 2.0 and gives −2.7 instead of −3.4 eV/atom for NaCl.
    :func:`~trisk.featurizers.verify_potential` compares two known energies first.

    References
    ----------
    .. [1] A. Togo, L. Chaput, T. Tadano, I. Tanaka, "Implementation strategies in phonopy and
       phono3py", J. Phys.: Condens. Matter 35, 353001 (2023).
       https://doi.org/10.1088/1361-648X/acd831

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

    _parameter_constraints: dict = {
        **StructureFeaturizer._parameter_constraints,
        "calculator": "no_validation",
        "sensors": ["array-like"],
        "relax": [StrOptions({"cell", "positions"}), None],
        "max_force": [Interval(Real, 0, None, closed="neither")],
        "max_relaxation_steps": [Interval(Integral, 1, None, closed="left")],
        "displacement": [Interval(Real, 0, 0.5, closed="right")],
        "symmetry_tolerance": [Interval(Real, 0, None, closed="neither"), None],
        "supercell_length": [Interval(Real, 0, None, closed="neither")],
        "mesh_length": [Interval(Real, 0, None, closed="neither")],
        "batch_atoms": [Interval(Integral, 1, None, closed="left")],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "memory": "no_validation",
        "potential_name": [str, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        calculator,
        *,
        sensors=_DEFAULT_SENSORS,
        relax=None,
        max_force=0.02,
        max_relaxation_steps=200,
        displacement=0.01,
        symmetry_tolerance=1e-3,
        supercell_length=8.0,
        mesh_length=30.0,
        batch_atoms=256,
        time_limit=None,
        memory=None,
        potential_name=None,
        on_error="raise",
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(on_error=on_error, n_jobs=n_jobs)
        self.calculator = calculator
        self.sensors = sensors
        self.relax = relax
        self.max_force = max_force
        self.max_relaxation_steps = max_relaxation_steps
        self.displacement = displacement
        self.symmetry_tolerance = symmetry_tolerance
        self.supercell_length = supercell_length
        self.mesh_length = mesh_length
        self.batch_atoms = batch_atoms
        self.time_limit = time_limit
        self.memory = memory
        self.potential_name = potential_name
        self.verbose = verbose

    def transform(self, X):
        """Measure structures.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Structures: pymatgen ``Structure`` objects or their dicts, ASE ``Atoms``, paths of
            files (CIF, POSCAR, …), texts of CIFs, or a mixture.

        Returns
        -------
        pandas.DataFrame of shape (n_samples, n_features_out)
            One row per structure, under the index of X if X is a pandas object.

        Raises
        ------
        FeaturizationError
            With ``on_error="raise"``, when a structure cannot be measured.
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        name = type(self).__name__
        table, errors = parse_structures(X, featurizer=name)
        if errors and self.on_error == "raise":
            self._report(errors, table.n_rows)
        crystals = {int(row): _atoms_of(table, row) for row in np.flatnonzero(table.lengths)}
        values = np.full((table.n_rows, self.n_features_out_), np.nan)
        needed = dict.fromkeys(m for sensor in self.sensors for m in MEASUREMENTS[sensor])
        names = ["geometry", *(name for name in needed if name != "geometry")]
        for row, records, cause in self._measure(crystals, names):
            if cause is None:
                values[row] = sensor_values(self.sensors, records)
                continue
            errors.append(RowError(row, describe_atoms(crystals[row].numbers), name, cause))
            if self.on_error == "raise":
                break  # an hour of further rows would not help
        self._report(sorted(errors, key=lambda error: error.row), table.n_rows)
        index = X.index if hasattr(X, "iloc") else None
        return pd.DataFrame(values, columns=sensor_columns(self.sensors), index=index, copy=False)

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, except that it must match the column name seen in ``fit``.

        Returns
        -------
        ndarray of str objects of shape (n_features_out,)
            The names.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(sensor_columns(self.sensors), dtype=object)

    def _prepare(self):
        """Check what the constraints of single parameters cannot see."""
        try:
            import ase  # noqa: F401 (whether it is there)
        except ImportError as error:
            raise ImportError(
                'PotentialFeaturizer needs ASE: pip install "trisk[atoms]"'
            ) from error
        if is_potential(self.calculator):
            check_is_fitted(self.calculator)
        elif not is_calculator(self.calculator) and not is_factory(self.calculator):
            make_calculator(self.calculator)
        unknown = [sensor for sensor in self.sensors if sensor not in MEASUREMENTS]
        if unknown or isinstance(self.sensors, str) or not len(self.sensors):
            raise ValueError(
                f"sensors={self.sensors!r} must be a list of some of {list(MEASUREMENTS)}"
            )
        if "phonon_dos" in self.sensors:
            require_phonopy()
        if self.memory is not None and not self.potential_name:
            raise ValueError(
                "memory keeps results under the name of the potential: give potential_name, "
                'such as "TensorNet-MatPES-PBE-v2025.1"'
            )
        self.n_features_out_ = len(sensor_columns(self.sensors))

    def _check_force_constants(self):
        """Check what force constants of bonds need, before an hour of force calls."""
        require_phonopy()
        if self.relax is not None:
            raise ValueError(
                f"the bonds of a crystal are those of the structure as it is given, but "
                f"relax={self.relax!r} would change it; use relax=None"
            )

    def _measure_force_constants(self, table):
        """Force constants of the bonds by row, and errors, for a table of structures."""
        crystals = {int(row): _atoms_of(table, row) for row in np.flatnonzero(table.lengths)}
        measured, errors = {}, []
        for row, records, cause in self._measure(crystals, ["bond_force_constants"]):
            if cause is None:
                measured[row] = records["bond_force_constants"]["blocks"]
                continue
            formula = describe_atoms(crystals[row].numbers)
            errors.append(RowError(row, formula, type(self).__name__, cause))
            if self.on_error == "raise":
                break
        return measured, errors

    #: From graphs and force constants by row to graphs with sensors of sites and bonds.
    _with_force_constants = staticmethod(with_force_constants)

    def _measure(self, crystals, names):
        """Yield (row, records, cause) of all crystals, in no particular order."""
        runs = MeasurementRuns(
            source=self.calculator,
            names=names,
            settings=MeasurementSettings(
                displacement=float(self.displacement),
                symmetry_tolerance=self.symmetry_tolerance,
                relax=self.relax,
                max_force=float(self.max_force),
                max_relaxation_steps=int(self.max_relaxation_steps),
                supercell_length=float(self.supercell_length),
                mesh_length=float(self.mesh_length),
            ),
            potential=self.potential_name,
            batch_atoms=int(self.batch_atoms),
            time_limit=self.time_limit,
            store=None if self.memory is None else ContentStore(self.memory),
        )
        return runs.run(crystals, n_jobs=self.n_jobs, progress=bool(self.verbose))


def _atoms_of(table, row):
    from ase import Atoms

    atoms = slice(*table.offsets[row : row + 2])
    return Atoms(
        numbers=table.numbers[atoms],
        positions=table.positions[atoms],
        cell=table.lattices[row],
        pbc=table.periodic[row],
    )

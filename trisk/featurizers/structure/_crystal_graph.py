"""CrystalGraphFeaturizer: structures in, graphs out."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, Options
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_feature_names, check_is_fitted
from tqdm import tqdm

from trisk.featurizers._rows import RowFeaturizer
from trisk.featurizers._store import ContentStore
from trisk.featurizers.composition._presets import CompositionFeaturizer
from trisk.featurizers.structure._base import StructureFeaturizer
from trisk.featurizers.structure._graph_arrays import GraphSettings, build_graphs
from trisk.featurizers.structure._graph_context import (
    TRANSFORMER,
    fit_transformers,
    measure,
    transform_graphs,
    with_context,
)
from trisk.featurizers.structure._graph_packing import graph_keys, pack_graphs, unpack_graphs
from trisk.featurizers.structure._objects import describe_atoms
from trisk.featurizers.structure._structures import parse_structures
from trisk.structures.graphs import CrystalGraphs
from trisk.structures.neighbors import LARGEST_CUTOFF
from trisk.structures.rows import RowError


class CrystalGraphFeaturizer(StructureFeaturizer):
    """Graphs of crystals: atoms, bonds, angles, dihedrals and the composition.

    1. Every atom is bonded to its nearest neighbours, periodic images included.
    2. Angles lie between the nearest bonds of an atom; dihedrals k-i-j-l lie around the nearest
       bonds i-j.
    3. Atoms carry 18 properties of their elements, bonds carry physics sensors, and structures
       carry features of their compositions.

    A shell of equally distant neighbours (no gap of more than 0.01 Å) is never cut, so that
    graphs depend neither on the order of the atoms nor on the orientation or the choice of the
    cell. Nothing is learned from the data.

    Parameters
    ----------
    order : {1, 2, 3}, default=3
        1 for bonds alone, 2 with angles, 3 with dihedrals as well.
    n_neighbors : int or None, default=12
        Nearest neighbours that an atom is bonded to; more where the last of them is in the
        middle of a shell, and fewer where the cutoff comes first. None bonds all within the
        cutoff.
    cutoff : float, default=8.0
        Length of the longest bond in Å, at most 100.
    n_angle_neighbors : int, default=8
        Angles lie between the bonds of those shells that fit into this many neighbours; the
        first shell takes part in any case.
    n_dihedral_neighbors : int, default=4
        All three bonds of a dihedral belong to shells that fit into this many neighbours. A
        close-packed atom, whose first shell is larger, has none. Dihedrals with an angle within
        3° of straight are left out.
    physics : bool, default=True
        Whether bonds carry an empirical stiffness, a reduced mass and an Einstein frequency; see
        Notes.
    composition : sequence of str or featurizers, or None, default=("magpie", "mat2vec")
        Blocks of :class:`~trisk.featurizers.CompositionFeaturizer` that describe the
        composition; None for none.
    structure : transformer, sequence of transformers or None, default=None
        Tables of structures whose columns follow the features of the composition.
        :class:`~trisk.featurizers.SpringModelFeaturizer`,
        :class:`~trisk.featurizers.PotentialFeaturizer` and other featurizers of trisk see the
        structures, and their ``on_error`` becomes that of this one. Any other transformer that
        learns nothing from data, such as :class:`~trisk.estimators.TriForcesSensors`, sees the
        graphs; one that was fitted before stands in a :class:`~sklearn.frozen.FrozenEstimator`.
    potential : PotentialFeaturizer or None, default=None
        Measures force constants with an interatomic potential, from which the physics sensors
        of sites and bonds follow in place of the empirical ones; see Notes. Its ``sensors`` do
        not matter here (see ``structure`` for these), and its ``on_error`` becomes that of this
        featurizer. Needs ``physics=True``.
    memory : str or path-like, default=None
        Folder that keeps computed graphs under the hash of the structure and of the parameters
        above, and structures under the content of the file. A structure met again, in another
        fold or another session, is read from there.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give a graph without atoms, list it in
        ``errors_`` and warn once.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    composition_ : CompositionFeaturizer or None
        The fitted featurizer of the compositions.
    structure_ : list of transformers
        The fitted transformers of ``structure``.
    potential_ : PotentialFeaturizer or None
        The fitted featurizer of ``potential``.
    errors_ : pandas.DataFrame
        Structures that the latest ``transform`` could not featurize: row, formula, featurizer,
        cause.
    n_features_in_ : int
        Always 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    See Also
    --------
    trisk.structures.graphs.CrystalGraphs : What ``transform`` gives.

    Notes
    -----
    For a bond of length d between elements of electronegativity χ, covalent radius r and mass m:
    the stiffness is k = 167 N/m · n (χᵢ χⱼ / d²)^¾ (Gordy's rule [1]_), where the bond valence
    n = exp((rᵢ + rⱼ − d) / 0.37 Å) [2]_ stands for the bond order; the reduced mass is
    µ = mᵢ mⱼ / (mᵢ + mⱼ), and the Einstein frequency is √(k/µ) / 2πc in cm⁻¹.

    With ``potential``, the blocks Φᵢⱼ of second derivatives of its energy come from forces in a
    supercell (phonopy). For a bond of direction u, the stiffness is −u·Φᵢⱼu along and
    −(tr Φᵢⱼ − u·Φᵢⱼu) / 2 across it, in N/m; both may be negative. The Einstein frequency is that
    of the two atoms along the bond while all others rest,
    ω² = (a + b)/2 + √(((a − b)/2)² + (u·Φᵢⱼu)²/mᵢmⱼ) with a = u·Φᵢᵢu / mᵢ and b = u·Φⱼⱼu / mⱼ.
    Images of an atom in the supercell share its force constants if they are equally close; those
    further away have none. The three Einstein frequencies of each atom, the roots of the
    eigenvalues of Φᵢᵢ / mᵢ, follow the features of the atoms, in cm⁻¹ and negative where
    imaginary.

    References
    ----------
    .. [1] W. Gordy, "A relation between bond force constants, bond orders, bond lengths, and the
       electronegativities of the bonded atoms", J. Chem. Phys. 14, 305 (1946).
    .. [2] I. D. Brown, D. Altermatt, "Bond-valence parameters obtained from a systematic
       analysis of the inorganic crystal structure database", Acta Cryst. B 41, 244 (1985).

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from trisk.featurizers import CrystalGraphFeaturizer
    >>> silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
    >>> graphs = CrystalGraphFeaturizer(n_neighbors=4).fit_transform([silicon])
    >>> [int(graphs.counts(level)[0]) for level in ("atom", "bond", "angle", "dihedral")]
    [8, 32, 48, 144]
    >>> round(float(graphs.angle_cosines.max()), 3)
    -0.333
    """

    _parameter_constraints: dict = {
        **StructureFeaturizer._parameter_constraints,
        "order": [Options(Integral, {1, 2, 3})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "cutoff": [Interval(Real, 0, LARGEST_CUTOFF, closed="right")],
        "n_angle_neighbors": [Interval(Integral, 2, None, closed="left")],
        "n_dihedral_neighbors": [Interval(Integral, 2, None, closed="left")],
        "physics": ["boolean"],
        "composition": [list, tuple, None],
        "structure": [TRANSFORMER, list, tuple, None],
        "potential": [HasMethods(["_measure_force_constants"]), None],
        "memory": [str, os.PathLike, None],
        "verbose": ["verbose"],
    }

    _failed_rows = "are graphs without atoms"

    def __init__(
        self,
        *,
        order=3,
        n_neighbors=12,
        cutoff=8.0,
        n_angle_neighbors=8,
        n_dihedral_neighbors=4,
        physics=True,
        composition=("magpie", "mat2vec"),
        structure=None,
        potential=None,
        memory=None,
        on_error="raise",
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(on_error=on_error, n_jobs=n_jobs)
        self.order = order
        self.n_neighbors = n_neighbors
        self.cutoff = cutoff
        self.n_angle_neighbors = n_angle_neighbors
        self.n_dihedral_neighbors = n_dihedral_neighbors
        self.physics = physics
        self.composition = composition
        self.structure = structure
        self.potential = potential
        self.memory = memory
        self.verbose = verbose

    def transform(self, X):
        """Build the graphs of structures.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Structures: pymatgen ``Structure`` objects or their dicts, ASE ``Atoms``, paths of
            files (CIF, POSCAR, …), texts of CIFs, or a mixture.

        Returns
        -------
        CrystalGraphs of shape (n_samples,)
            One graph per structure, in order.

        Raises
        ------
        FeaturizationError
            With ``on_error="raise"``, when a structure cannot be featurized.
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        name = type(self).__name__
        store = None if self.memory is None else ContentStore(self.memory)
        table, errors = parse_structures(
            X, featurizer=name, store=store, n_jobs=self.n_jobs, verbose=self.verbose
        )
        graphs, causes = self._build(table, store)
        errors += [
            RowError(row, describe_atoms(table.take([row]).numbers), name, cause)
            for row, cause in causes.items()
        ]
        tables, force_constants = {}, {}
        go_on = not errors or self.on_error == "nan"
        for place, featurizer in enumerate(self.structure_ if go_on else ()):
            if isinstance(featurizer, RowFeaturizer):
                tables[place] = measure(featurizer, X)
                _add_errors(errors, [RowError(*row) for row in featurizer.errors_.to_numpy()])
        if self.potential_ is not None and go_on:
            sound = table.without_atoms(list(causes))
            force_constants, found = self.potential_._measure_force_constants(sound)
            _add_errors(errors, found)
        self._report(sorted(errors, key=lambda error: error.row), table.n_rows)
        failed = [error.row for error in errors if table.lengths[error.row]]
        if len(failed) > len(causes):
            table = table.without_atoms(failed)
            graphs, _ = self._build(table, store)
        if self.potential_ is not None:
            kept = np.flatnonzero(graphs.counts("atom"))
            graphs = self.potential_._with_force_constants(
                graphs, {row: force_constants[row] for row in kept.tolist()}
            )
        for place, transformer in reversed(list(enumerate(self.structure_))):
            values = tables[place] if place in tables else transform_graphs(transformer, graphs)
            graphs = with_context(graphs, values, tuple(transformer.get_feature_names_out()))
        if self.composition_ is not None:
            context, _ = self.composition_._compute_chunked(table.compositions())
            graphs = with_context(graphs, context, tuple(self.composition_._feature_names()))
        return graphs

    def _prepare(self):
        self.composition_ = None
        if self.composition is not None:
            self.composition_ = CompositionFeaturizer(blocks=list(self.composition))._set_up()
        self.structure_ = fit_transformers(self.structure, self.on_error)
        self.potential_ = None
        if self.potential is not None:
            if not self.physics:
                raise ValueError("potential= gives physics sensors; use physics=True")
            self.potential._check_force_constants()
            self.potential_ = clone(self.potential).set_params(on_error=self.on_error).fit([])

    def _settings(self):
        return GraphSettings(
            self.order,
            self.n_neighbors,
            self.cutoff,
            self.n_angle_neighbors,
            self.n_dihedral_neighbors,
            bool(self.physics),
        )

    def _build(self, table, store):
        """Graphs of all rows, and the rows that have none with their causes."""
        if store is not None:
            return self._build_or_look_up(table, store)
        batches: list[CrystalGraphs] = []
        causes: dict[int, str] = {}
        for _, graphs, failures in self._compute(table, np.arange(table.n_rows)):
            batches.append(graphs)
            causes |= failures
        return CrystalGraphs.concatenate(batches), causes

    def _build_or_look_up(self, table, store):
        """What ``_build`` gives, from the disk where possible."""
        settings = self._settings()
        keys = graph_keys(table, settings)
        packed = store.get_many(keys)
        missing = np.array([row for row, key in enumerate(keys) if key not in packed], dtype=int)
        causes: dict[int, str] = {}
        for rows, graphs, failures in self._compute(table, missing) if len(missing) else ():
            new = dict(zip([keys[row] for row in rows], pack_graphs(graphs), strict=True))
            packed |= new
            causes |= failures
            failed = {keys[row] for row in failures}
            store.put_many({key: content for key, content in new.items() if key not in failed})
        table = table.without_atoms(list(causes))
        return unpack_graphs([packed[key] for key in keys], table, settings.sensor_names), causes

    def _compute(self, table, rows):
        """Compute the graphs of some rows: (rows, their graphs, causes of failure) by chunks."""
        chunks = [rows[part] for part in table.take(rows).chunks()]
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(build_graphs)(table.take(chunk), self._settings()) for chunk in chunks
        )
        with tqdm(
            total=len(rows), desc="crystal graphs", unit="structures", disable=not self.verbose
        ) as progress:
            for chunk, (graphs, causes) in zip(chunks, results, strict=True):
                yield chunk, graphs, {int(chunk[row]): cause for row, cause in causes.items()}
                progress.update(len(chunk))


def _add_errors(errors, found):
    """Add the errors of rows that have none yet."""
    known = {error.row for error in errors}
    errors += [error for error in found if error.row not in known]

"""CrystalGraphFeaturizer: structures in, graphs out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from trisk._compat import HasMethods, Interval, Options, check_feature_names
from trisk.featurizers._rows import RowFeaturizer, with_process
from trisk.featurizers.composition.presets import CompositionFeaturizer
from trisk.featurizers.structure._base import StructureFeaturizer, in_chunks
from trisk.featurizers.structure._graph_arrays import build_graphs
from trisk.structures.graphs import CrystalGraphs, emptied
from trisk.structures.neighbors import LARGEST_CUTOFF
from trisk.structures.readers import describe_atoms

_TRANSFORMER = HasMethods(["fit", "transform", "get_feature_names_out"])


@dataclass(kw_only=True, repr=False, eq=False)
class CrystalGraphFeaturizer(StructureFeaturizer):
    """Graphs of crystals: atoms, bonds, angles, dihedrals and the composition.

    1. Every atom is bonded to its nearest neighbours, periodic images included; molecules and
       slabs have none along directions that do not repeat.
    2. Angles lie between the nearest bonds of an atom; dihedrals k-i-j-l lie around the nearest
       bonds i-j.
    3. Atoms carry 18 properties of their elements, bonds carry physics sensors, and structures
       carry features of their compositions.

    A shell of equally distant neighbours (no gap of more than 0.01 Å) is never cut, so that
    graphs depend neither on the order of the atoms nor on the orientation or the choice of the
    cell. Nothing is learned from structures.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give a graph without atoms and warn
        once; ``explain_errors`` then lists the causes.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    order : {0, 1, 2, 3}, default=3
        0 for atoms alone, 1 with bonds, 2 with angles, 3 with dihedrals as well. TriForces finds
        the neighbours itself: 0 is enough before it.
    n_neighbors : int or None, default=12
        Nearest neighbours that an atom is bonded to; more where the last of them is in the middle
        of a shell, and fewer where the cutoff comes first. None bonds all within the cutoff.
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
        Whether bonds carry an empirical stiffness k, by Gordy's rule as in
        :class:`~trisk.featurizers.SpringModelFeaturizer`, a reduced mass µ = mᵢ mⱼ / (mᵢ + mⱼ) and
        an Einstein frequency √(k/µ) / 2πc in cm⁻¹.
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
    process : sequence of str, default=()
        Columns beside the structure, such as temperatures or routes; X is then a DataFrame. They
        follow as further columns of context. Missing numbers become the median of `fit`, with a
        column that says so; text becomes one column per value, all zero for an unknown one.
    column : str or None, default=None
        Column of structures in a DataFrame; None takes the only one that is not in `process`.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    composition_ : CompositionFeaturizer or None
        The fitted featurizer of the compositions.
    structure_ : list of transformers
        The fitted transformers of ``structure``.
    columns_ : ColumnTransformer or None
        What splits a DataFrame into structures and columns of the process; None without these.
    n_features_in_ : int
        Number of columns seen in ``fit``; 1 for structures alone.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names; only if it was a DataFrame.

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

    order: int = 3
    n_neighbors: int | None = 12
    cutoff: float = 8.0
    n_angle_neighbors: int = 8
    n_dihedral_neighbors: int = 4
    physics: bool = True
    composition: Sequence[Any] | None = ("magpie", "mat2vec")
    structure: Any = None
    process: Sequence[str] = ()
    column: str | None = None
    verbose: int = 0

    _parameter_constraints = {
        "order": [Options(Integral, {0, 1, 2, 3})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "cutoff": [Interval(Real, 0, LARGEST_CUTOFF, closed="right")],
        "n_angle_neighbors": [Interval(Integral, 2, None, closed="left")],
        "n_dihedral_neighbors": [Interval(Integral, 2, None, closed="left")],
        "physics": ["boolean"],
        "composition": [list, tuple, None],
        "structure": [_TRANSFORMER, list, tuple, None],
        "process": [list, tuple],
        "column": [str, None],
        "verbose": ["verbose"],
    }
    _failed_rows = "are graphs without atoms"

    def fit(self, X, y=None):
        names = list(getattr(X, "columns", ()))
        if len(names) < 2 and self.column is None and not self.process:
            self.columns_ = None
            return super().fit(X)
        self._set_up()
        process = list(self.process)
        others = [name for name in names if name not in process]
        if self.column is None and len(others) != 1:
            raise ValueError(
                f"The columns beside those of process={process} are {others}: name those of the "
                "process in process=[…], and that of the structures in column=…, which "
                "structure_pipeline calls structure=…, if others are left."
            )
        self.columns_ = with_process("passthrough", process, self.column or others[0]).fit(X)
        check_feature_names(self, X, reset=True)
        self.n_features_in_ = len(names)
        return self

    def transform(self, X):
        """Build the graphs of structures.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or DataFrame
            Structures, as for ``fit``, and the columns of the process if there are any.

        Returns
        -------
        CrystalGraphs of shape (n_samples,)
            One graph per structure, in order.
        """
        values, process = self._split(X)
        atoms, errors = self._read(values, self.verbose)
        graphs, causes = self._build(atoms)
        errors += self._errors(atoms, causes)
        formulas = []
        if self.composition_ is not None:
            of_rows = np.split(atoms.atomic_numbers, atoms.offsets["atom"][1:-1])
            texts = [describe_atoms(numbers) for numbers in of_rows[: len(atoms)]]
            formulas = [text.replace(" ", "") for text in texts]
        tables: dict[int, np.ndarray] = {}
        for place, transformer in enumerate(self._transformers):
            if isinstance(transformer, RowFeaturizer) and (not errors or self.on_error == "nan"):
                rows = formulas if transformer is self.composition_ else values
                probe = transformer._collecting()
                probe.on_error = self.on_error
                tables[place] = probe.transform(rows).to_numpy()
                known = {error.row for error in errors}
                errors += [error for error in probe._found if error.row not in known]
        self._report(sorted(errors, key=lambda error: error.row), len(values))
        if errors:
            graphs = emptied(graphs, [error.row for error in errors])
        columns = [
            tables[place] if place in tables else _measure_graphs(transformer, graphs)
            for place, transformer in enumerate(self._transformers)
        ]
        names = [name for t in self._transformers for name in t.get_feature_names_out()]
        given = {**graphs.names, "context": (*names, *process)}
        if len(process.columns):
            given["process"] = tuple(process)
        context = np.hstack([graphs.context, *columns, process]).astype(np.float32)
        context[graphs.counts() == 0] = np.nan
        return replace(graphs, context=context, names=given)

    def set_output(self, *, transform=None):
        """Do nothing, as graphs fit into no data frame: a pipeline can set that of other steps.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Ignored.

        Returns
        -------
        CrystalGraphFeaturizer
            The featurizer itself.
        """
        return self

    @property
    def _transformers(self):
        """What gives columns of context, in their order."""
        return [t for t in (self.composition_, *self.structure_) if t is not None]

    def _split(self, X):
        """Structures as a list, and a DataFrame of columns of the process."""
        check_is_fitted(self)
        if self.columns_ is None:
            values = self._values(X)
            return values, pd.DataFrame(index=range(len(values)))
        columns = self.columns_.transform(X)
        return columns.iloc[:, 0].tolist(), columns.iloc[:, 1:]

    def _prepare(self):
        self.composition_ = None
        if self.composition is not None:
            self.composition_ = CompositionFeaturizer(blocks=list(self.composition)).fit([])
        self.structure_ = _fit_transformers(self.structure)

    def _build(self, atoms):
        """Graphs of all rows, and the rows that have lost their atoms with their causes."""
        parameters = {*signature(build_graphs).parameters} - {"atoms"}
        build = partial(build_graphs, **{name: getattr(self, name) for name in parameters})
        progress = "crystal graphs" if self.verbose else None
        graphs, causes = in_chunks(build, atoms, n_jobs=self.n_jobs, progress=progress)
        return CrystalGraphs.concatenate(graphs), causes


def _fit_transformers(transformers):
    """Fitted copies of transformers of structures or graphs, which learn nothing from data."""
    fitted = []
    if transformers is not None and not isinstance(transformers, list | tuple):
        transformers = [transformers]
    for transformer in transformers or ():
        if not _TRANSFORMER.is_satisfied_by(transformer):
            raise ValueError(
                f"structure holds {transformer!r}; expected transformers of structures, such as "
                "SpringModelFeaturizer()"
            )
        fitted.append(clone(transformer).fit([], None))
    return fitted


def _measure_graphs(transformer, graphs):
    """Columns of all rows from a transformer that sees the graphs which hold atoms."""
    values = np.full((len(graphs), len(transformer.get_feature_names_out())), np.nan)
    kept = np.flatnonzero(graphs.counts())
    if len(kept):
        values[kept] = transformer.transform(graphs[kept])
    return values

"""LayerFeaturizer: what the geometry of a single layer says of how it holds to the next."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from trisk.featurizers.structure._layers import LAYER_COLUMNS, find_layers, layer_columns
from trisk.featurizers.structure._tables import StructureTableFeaturizer


class LayerFeaturizer(StructureTableFeaturizer):
    """Area, thickness and faces of two-dimensional materials.

    1. The structure is cut at the widest gap between its atomic planes; what is left is one
       layer, its images apart from each other by vacuum.
    2. Columns tell of the area per atom, thickness and weight of the layer, of the elements on
       its two faces beside those within, and of how well its atoms are bonded.

    Layers that hold together by dispersion forces do so by some 20 meV per Å², whatever they are
    made of [1]_: an energy of exfoliation per atom is then that times the area per atom, and what
    is left to learn is a correction. Nothing is learned from the data.

    Parameters
    ----------
    min_vacuum : float, default=5.0
        Least gap in Å between a layer and its image; a structure whose widest gap is less is
        no single layer.
    cutoff : float, default=6.0
        Distance in Å within which every atom needs a neighbour, and up to which bond valences
        are summed; at most 100.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be featurized: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN, list it in ``errors_`` and
        warn once.
    n_jobs : int, default=None
        Number of joblib workers over chunks of structures; None is 1, -1 all processors.
    verbose : int, default=0
        Whether to show a progress bar over structure files.

    Attributes
    ----------
    errors_ : pandas.DataFrame
        Structures that the latest ``transform`` could not featurize: row, formula, featurizer,
        cause.
    n_features_in_ : int
        Always 1.
    n_features_out_ : int
        Number of columns given out.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column seen in ``fit``; only if it was a DataFrame.

    See Also
    --------
    SpringModelFeaturizer : Columns about bonds and vibrations, for any crystal.
    trisk.estimators.DeltaRegressor : Learns the correction to an estimate in one column.

    Notes
    -----
    The layer lies along a lattice plane; directions in which the structure does not repeat count
    as infinite vacuum. Atoms within 0.3 Å of the outermost one make a face, and "lower" and
    "higher" order the two faces by the value itself. "Outward correlation" is that of a property
    with the distance of the atoms from the middle of the layer. Atoms are bonded where they are
    closer than 1.25 times the sum of their covalent radii; valence sums add
    exp((rᵢ + rⱼ − d) / 0.37 Å) [2]_.

    References
    ----------
    .. [1] T. Björkman, A. Gulans, A. V. Krasheninnikov, R. M. Nieminen, "van der Waals bonding in
       layered compounds from advanced density-functional first-principles calculations",
       Phys. Rev. Lett. 108, 235502 (2012). https://doi.org/10.1103/PhysRevLett.108.235502
    .. [2] I. D. Brown, D. Altermatt, "Bond-valence parameters obtained from a systematic
       analysis of the inorganic crystal structure database", Acta Cryst. B 41, 244 (1985).

    Examples
    --------
    >>> from ase.build import graphene, mx2
    >>> from trisk.featurizers import LayerFeaturizer
    >>> X = LayerFeaturizer().fit_transform([graphene(vacuum=8.0), mx2("MoS2", vacuum=8.0)])
    >>> X["Layer area per atom (A2)"].round(2).tolist()
    [2.62, 2.92]
    >>> X["Layer thickness (A)"].round(2).tolist()
    [0.0, 3.19]
    """

    _parameter_constraints: dict = {
        **StructureTableFeaturizer._parameter_constraints,
        "min_vacuum": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, *, min_vacuum=5.0, cutoff=6.0, on_error="raise", n_jobs=None, verbose=0):
        super().__init__(cutoff=cutoff, on_error=on_error, n_jobs=n_jobs, verbose=verbose)
        self.min_vacuum = min_vacuum

    def _feature_names(self):
        return [f"Layer {name}" for name in LAYER_COLUMNS]

    def _find_faults(self, table, pairs):
        causes = super()._find_faults(table, pairs)
        rows = np.flatnonzero(table.lengths)
        for row, gap in zip(rows, find_layers(table.take(rows)).gaps, strict=True):
            if gap < self.min_vacuum:
                causes.setdefault(
                    int(row),
                    f"is no single layer: its widest gap is {gap:.3g} Å, less than "
                    f"min_vacuum={self.min_vacuum:g}",
                )
        return causes

    def _compute(self, table, bonds):
        return layer_columns(table, find_layers(table), bonds)

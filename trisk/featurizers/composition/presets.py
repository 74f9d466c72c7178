"""Blocks of composition descriptors side by side, from one reading of the formulas."""

import difflib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from trisk._compat import StrOptions
from trisk.featurizers.composition import alloys, fractions, ions, magpie, orbitals, pretrained
from trisk.featurizers.composition.base import BaseCompositionFeaturizer

BLOCKS = {
    "atomic_orbitals": orbitals.AtomicOrbitalFeaturizer,
    "band_center": orbitals.BandCenterFeaturizer,
    "element_fraction": fractions.ElementFractionFeaturizer,
    "ion_property": ions.IonPropertyFeaturizer,
    "magpie": magpie.MagpieFeaturizer,
    "mat2vec": pretrained.Mat2VecFeaturizer,
    "miedema": alloys.MiedemaFeaturizer,
    "pretrained": pretrained.PretrainedFeaturizer,
    "stoichiometry": fractions.StoichiometryFeaturizer,
    "transition_metal_fraction": fractions.TransitionMetalFractionFeaturizer,
    "valence_orbital": orbitals.ValenceOrbitalFeaturizer,
    "wen": alloys.WenFeaturizer,
    "yang": alloys.YangFeaturizer,
}

_COMMON = ("stoichiometry", "valence_orbital", "ion_property")

#: Preset → the descriptors between the Magpie block and the mat2vec block.
PRESETS = {
    "general": ("element_fraction", *_COMMON, "band_center"),
    "steels": ("element_fraction", *_COMMON, "band_center"),
    "band_gap": (*_COMMON, "band_center", "atomic_orbitals"),
    "metallicity": (*_COMMON, "band_center", "transition_metal_fraction", "atomic_orbitals"),
    "glass": (*_COMMON, "transition_metal_fraction"),
    "exfoliation": (*_COMMON, "transition_metal_fraction"),
}


@dataclass(kw_only=True, repr=False, eq=False)
class CompositionFeaturizer(BaseCompositionFeaturizer):
    """Magpie statistics, task descriptors and mat2vec in one table.

    1. The input is read once.
    2. Each block computes its columns for all rows.
    3. The blocks stand side by side in the order Magpie, task descriptors, mat2vec, the order in
       which the HybridTRIADS estimators use them.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        Whether a row that a block cannot featurize is an error, or gives one warning and NaN: in
        that block's columns, or in all columns if the formula cannot be read.
    n_jobs : int, default=None
        Number of joblib workers over chunks of rows; None is 1, -1 all processors.
    missing : {"mean", "nan", "raise"}, default="mean"
        What stands for data that an element lacks, in every block given by name: the mean over
        the elements that have it (Nh to Og, of which next to nothing is known, are an error), NaN,
        or an error of that row, treated as ``on_error`` says.
    preset : str, default="general"
        The task descriptors between Magpie and mat2vec, those of the published TRIADS models:

        ============= =======================================================================
        "general"     element fractions, stoichiometry, valence orbitals, ion properties, band
                      centre
        "steels"      the same
        "band_gap"    stoichiometry, valence orbitals, ion properties, band centre, atomic
                      orbitals (HOMO and LUMO)
        "metallicity" those of "band_gap" and the transition-metal fraction
        "glass"       stoichiometry, valence orbitals, ion properties, transition-metal
                      fraction; no electronic-structure descriptors
        "exfoliation" the same as "glass"
        ============= =======================================================================

        The published model for exfoliation energies adds eleven structure descriptors.
    blocks : list of str or featurizer, default=None
        Blocks to use in place of the preset's, in this order: names ("atomic_orbitals",
        "band_center", "element_fraction", "ion_property", "magpie", "mat2vec", "miedema",
        "pretrained", "stoichiometry", "transition_metal_fraction", "valence_orbital", "wen",
        "yang") or composition featurizers, whose own ``missing`` then counts.

    Attributes
    ----------
    blocks_ : list of featurizers
        The fitted blocks, in the order of their columns.

    References
    ----------
    .. [1] TRIADS, https://github.com/Rtx09x/TRIADS: the feature lists of its training scripts.

    Examples
    --------
    >>> from trisk.featurizers import CompositionFeaturizer, Mat2VecFeaturizer
    >>> featurizer = CompositionFeaturizer(blocks=["magpie", Mat2VecFeaturizer(vectors="megnet16")])
    >>> featurizer.fit_transform(["Fe2O3", "GaAs"]).shape
    (2, 148)
    """

    preset: str = "general"
    blocks: list | tuple | None = None

    _parameter_constraints = {
        **BaseCompositionFeaturizer._parameter_constraints,
        "preset": [StrOptions(set(PRESETS))],
        "blocks": [list, tuple, None],
    }

    def _prepare(self):
        specs = ["magpie", *PRESETS[self.preset], "mat2vec"] if self.blocks is None else self.blocks
        if not len(specs):
            raise ValueError("blocks is empty; name at least one block or leave it None")
        self.blocks_ = [self._make_block(spec)._set_up() for spec in specs]
        repeated = [name for name, n in Counter(self._feature_names()).items() if n > 1]
        if repeated:
            raise ValueError(
                f"two blocks give the same columns, first {repeated[0]!r}; drop one of them"
            )

    def _make_block(self, spec):
        if isinstance(spec, BaseCompositionFeaturizer):
            return clone(spec)
        if not isinstance(spec, str) or spec not in BLOCKS:
            close = difflib.get_close_matches(str(spec), BLOCKS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"blocks holds {spec!r}; expected a composition featurizer or one of "
                f"{', '.join(BLOCKS)}.{hint}"
            )
        return BLOCKS[spec](missing=self.missing)

    def _feature_names(self):
        return [name for block in self.blocks_ for name in block._feature_names()]

    def _featurize(self, table):
        """Values and errors of all blocks, with NaN where each says."""
        results = [block._featurize(table) for block in self.blocks_]
        errors = [error for _, block_errors in results for error in block_errors]
        return np.hstack([values for values, _ in results]), errors

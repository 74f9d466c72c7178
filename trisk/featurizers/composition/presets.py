"""Blocks of composition descriptors side by side, from one reading of the formulas."""

import difflib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor

from trisk._compat import StrOptions
from trisk.featurizers.composition import alloys, fractions, ions, magpie, orbitals, pretrained
from trisk.featurizers.composition.base import BaseCompositionFeaturizer
from trisk.featurizers.composition.formulas import parse_compositions

# Rows on which forests choose columns, and the fewest of which they can.
_MOST_ROWS, _FEWEST_ROWS = 1500, 20

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

# Orbital energies and oxidation states tell metals from the rest; glasses gain a little too.
_ALL = (
    "element_fraction",
    "magpie",
    "stoichiometry",
    "valence_orbital",
    "band_center",
    "transition_metal_fraction",
    "atomic_orbitals",
    "ion_property",
)
_COMMON = ("stoichiometry", "valence_orbital", "ion_property")

#: Preset → its blocks; composition_pipeline knows the same names.
PRESETS = {
    "general": ("magpie",),
    # Statistics of elemental properties blur the traces that make a steel.
    "steels": (fractions.ElementFractionFeaturizer(scale="both"),),
    "band_gap": _ALL,
    "metallicity": _ALL,
    "glass": _ALL,
    "exfoliation": ("magpie",),
    "published_steels": ("magpie", "element_fraction", *_COMMON, "band_center", "mat2vec"),
    "published_band_gap": ("magpie", *_COMMON, "band_center", "atomic_orbitals", "mat2vec"),
    "published_metallicity": (
        *("magpie", *_COMMON, "band_center"),
        *("transition_metal_fraction", "atomic_orbitals", "mat2vec"),
    ),
    "published_glass": ("magpie", *_COMMON, "transition_metal_fraction", "mat2vec"),
    "published_exfoliation": ("magpie", *_COMMON, "transition_metal_fraction", "mat2vec"),
}
#: Presets that "auto" chooses from, the first of those that are equally good.
_CANDIDATES = ("general", "steels", "band_gap")


@dataclass(kw_only=True, repr=False, eq=False)
class CompositionFeaturizer(BaseCompositionFeaturizer):
    """Blocks of descriptors side by side, by the kind of task or as listed.

    The input is read once; each block then computes its columns for all rows.

    {Parameters to missing}
        What stands for data that an element lacks, in every block given by name: the mean over
        the elements that have it (Nh to Og, of which next to nothing is known, are an error), NaN
        in the columns of that block, or an error of that row.
    preset : str, default="general"
        Columns for a kind of task; :func:`trisk.composition_pipeline` knows the same names.

        ======================== ==========================================================
        "general", "exfoliation" Magpie statistics
        "steels"                 element fractions and their decimal logarithms
        "band_gap", "glass",     element fractions, Magpie statistics, stoichiometry, valence
        "metallicity"            and atomic orbitals, band centre, transition-metal fraction,
                                 ion properties
        "published_steels", …    those of the TRIADS models for steels, band_gap, metallicity,
                                 glass and exfoliation
        "auto"                   those of "general", "steels" or "band_gap", see Notes
        ======================== ==========================================================

        The published models are those of [1]_; the one for exfoliation energies adds eleven
        structure descriptors.
    pretrained : bool or "auto", default=False
        Whether to add the columns of :class:`PretrainedFeaturizer`; ``"auto"`` adds them where
        they help on the training rows.
    blocks : list of str or featurizer, default=None
        Blocks to use in place of the preset's, in this order: names ("atomic_orbitals",
        "band_center", "element_fraction", "ion_property", "magpie", "mat2vec", "miedema",
        "pretrained", "stoichiometry", "transition_metal_fraction", "valence_orbital", "wen",
        "yang") or composition featurizers, whose own ``missing`` then counts.

    Attributes
    ----------
    blocks_ : list of featurizers
        The fitted blocks, in the order of their columns.
    preset_ : str or None
        The preset in use; None with `blocks`.
    pretrained_ : bool
        Whether the pre-trained columns are in use.

    Notes
    -----
    ``"auto"`` grows a forest on each candidate's columns of up to 1,500 training rows, which takes
    seconds, and compares its errors on rows that each tree has not seen. Magpie statistics come
    before fractions before all, and columns from scratch before pre-trained ones; the first
    candidate within one standard error of the best is taken. It needs `y` in `fit`.

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
    pretrained: bool | str = False
    blocks: list | tuple | None = None

    _parameter_constraints = {
        "preset": [StrOptions({*PRESETS, "auto"})],
        "pretrained": ["boolean", StrOptions({"auto"})],
        "blocks": [list, tuple, None],
    }

    def fit(self, X, y=None):
        """Load the blocks; ``"auto"`` chooses them.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Compositions and structures of any kind, as for other featurizers.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets, by which ``"auto"`` chooses; ignored otherwise.

        Returns
        -------
        self : object
            The fitted featurizer.
        """
        self._validate_params()
        self.preset_, self.pretrained_ = self._choose(X, y)
        return super().fit(X, y)

    def _prepare(self):
        if not hasattr(self, "preset_"):  # a block of another one, which nobody fits
            self.preset_, self.pretrained_ = self._choose(None, None)
        specs = self._specs(self.preset_, self.pretrained_)
        if not len(specs):
            raise ValueError("blocks is empty; name at least one block or leave it None")
        self.blocks_ = [self._make_block(spec)._set_up() for spec in specs]
        repeated = [name for name, n in Counter(self._feature_names()).items() if n > 1]
        if repeated:
            raise ValueError(
                f"two blocks give the same columns, first {repeated[0]!r}; drop one of them"
            )

    def _specs(self, preset, with_pretrained):
        blocks = PRESETS[preset] if self.blocks is None else self.blocks
        return [*blocks, *(["pretrained"] if with_pretrained else [])]

    def _choose(self, X, y):
        """The preset, and whether to add pre-trained columns."""
        presets: list[str | None] = [self.preset] if self.blocks is None else [None]
        if presets == ["auto"]:
            presets = [*_CANDIDATES]
        of_encoder = (False, True) if self.pretrained == "auto" else (bool(self.pretrained),)
        candidates = [(preset, added) for added in of_encoder for preset in presets]
        if len(candidates) == 1:
            return candidates[0]
        if y is None or hasattr(X, "__next__"):
            raise ValueError('"auto" chooses columns by y and reads X twice: give lists of both.')
        losses = self._forest_losses(X, y, [self._specs(*candidate) for candidate in candidates])
        if len(losses[0]) < _FEWEST_ROWS:
            return candidates[0]
        excess = losses - losses[losses.mean(1).argmin()]
        within = excess.mean(1) <= excess.std(1) / np.sqrt(excess.shape[1])
        return candidates[int(within.argmax())]

    def _forest_losses(self, X, y, specs):
        """Loss of each row, with each list of blocks, in the trees that were not grown on it."""
        table, _ = parse_compositions(X)
        y = np.asarray(y)
        if y.dtype.kind not in "iuf":
            y = (y.reshape(-1, 1) == np.unique(y)).astype(float)
        y = y.reshape(len(y), -1).astype(float)
        of_classes = np.isin(y, (0, 1)).all()
        usable = np.flatnonzero((table.lengths > 0) & np.isfinite(y).all(1))
        rows = np.sort(np.random.default_rng(0).permutation(usable)[:_MOST_ROWS])
        if len(rows) < _FEWEST_ROWS:
            return np.empty((1, 0))
        part, target = table.take(rows), np.squeeze(y[rows] / (y[rows].std(0) + 1e-300))
        made = {spec: self._make_block(spec)._set_up() for blocks in specs for spec in blocks}
        values = {spec: np.nan_to_num(block._featurize(part)[0]) for spec, block in made.items()}
        losses = []
        for blocks in specs:
            forest = ExtraTreesRegressor(
                100, max_features=1 / 3, bootstrap=True, oob_score=True, random_state=0,
                n_jobs=self.n_jobs,
            )  # fmt: skip
            forest.fit(np.hstack([values[spec] for spec in blocks]), target)
            error = np.abs(forest.oob_prediction_ - target).reshape(len(rows), -1)
            losses.append((np.square(error) if of_classes else error).mean(1))
        return np.stack(losses)

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

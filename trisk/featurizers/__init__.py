"""Chemistry → numbers: transformers that turn formulas and structures into feature tables."""

from trisk.featurizers._column_selector import ColumnSelector
from trisk.featurizers._rows import FeaturizationError
from trisk.featurizers.composition import (
    AtomicOrbitalFeaturizer,
    BandCenterFeaturizer,
    CompositionFeaturizer,
    ElementFractionFeaturizer,
    IonPropertyFeaturizer,
    MagpieFeaturizer,
    Mat2VecFeaturizer,
    MiedemaFeaturizer,
    PretrainedFeaturizer,
    StoichiometryFeaturizer,
    TransitionMetalFractionFeaturizer,
    ValenceOrbitalFeaturizer,
    WenFeaturizer,
    YangFeaturizer,
)
from trisk.featurizers.potential import PotentialFeaturizer, verify_potential
from trisk.featurizers.structure import (
    CrystalGraphFeaturizer,
    LayerFeaturizer,
    PowerSpectrumFeaturizer,
    SpringModelFeaturizer,
)

__all__ = [
    "AtomicOrbitalFeaturizer",
    "BandCenterFeaturizer",
    "ColumnSelector",
    "CompositionFeaturizer",
    "CrystalGraphFeaturizer",
    "ElementFractionFeaturizer",
    "FeaturizationError",
    "IonPropertyFeaturizer",
    "LayerFeaturizer",
    "MagpieFeaturizer",
    "Mat2VecFeaturizer",
    "MiedemaFeaturizer",
    "PotentialFeaturizer",
    "PowerSpectrumFeaturizer",
    "PretrainedFeaturizer",
    "SpringModelFeaturizer",
    "StoichiometryFeaturizer",
    "TransitionMetalFractionFeaturizer",
    "ValenceOrbitalFeaturizer",
    "WenFeaturizer",
    "YangFeaturizer",
    "verify_potential",
]

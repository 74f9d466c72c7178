"""Chemistry → numbers: transformers that turn formulas and structures into feature tables."""

from trisk.featurizers._rows import FeaturizationError
from trisk.featurizers.composition.alloys import MiedemaFeaturizer, WenFeaturizer, YangFeaturizer
from trisk.featurizers.composition.formulas import formulas_from_amounts
from trisk.featurizers.composition.fractions import (
    ElementFractionFeaturizer,
    StoichiometryFeaturizer,
    TransitionMetalFractionFeaturizer,
)
from trisk.featurizers.composition.ions import IonPropertyFeaturizer
from trisk.featurizers.composition.magpie import MagpieFeaturizer
from trisk.featurizers.composition.orbitals import (
    AtomicOrbitalFeaturizer,
    BandCenterFeaturizer,
    ValenceOrbitalFeaturizer,
)
from trisk.featurizers.composition.presets import CompositionFeaturizer
from trisk.featurizers.composition.pretrained import Mat2VecFeaturizer, PretrainedFeaturizer
from trisk.featurizers.potential import (
    PotentialEmbedder,
    PotentialFeaturizer,
    verify_potential,
)
from trisk.featurizers.structure._crystal_graph import CrystalGraphFeaturizer
from trisk.featurizers.structure._layer import LayerFeaturizer
from trisk.featurizers.structure._power_spectrum import PowerSpectrumFeaturizer
from trisk.featurizers.structure._springs import SpringModelFeaturizer

__all__ = [
    "AtomicOrbitalFeaturizer",
    "BandCenterFeaturizer",
    "CompositionFeaturizer",
    "CrystalGraphFeaturizer",
    "ElementFractionFeaturizer",
    "FeaturizationError",
    "IonPropertyFeaturizer",
    "LayerFeaturizer",
    "MagpieFeaturizer",
    "Mat2VecFeaturizer",
    "MiedemaFeaturizer",
    "PotentialEmbedder",
    "PotentialFeaturizer",
    "PowerSpectrumFeaturizer",
    "PretrainedFeaturizer",
    "SpringModelFeaturizer",
    "StoichiometryFeaturizer",
    "TransitionMetalFractionFeaturizer",
    "ValenceOrbitalFeaturizer",
    "WenFeaturizer",
    "YangFeaturizer",
    "formulas_from_amounts",
    "verify_potential",
]

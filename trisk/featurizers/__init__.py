"""Chemistry → numbers: transformers that turn formulas and structures into feature tables."""

from trisk.featurizers._alloys import WenFeaturizer, YangFeaturizer
from trisk.featurizers._composition import CompositionFeaturizer
from trisk.featurizers._crystal_graph import CrystalGraphFeaturizer
from trisk.featurizers._electronic import AtomicOrbitalFeaturizer, BandCenterFeaturizer
from trisk.featurizers._fractions import (
    ElementFractionFeaturizer,
    StoichiometryFeaturizer,
    TransitionMetalFractionFeaturizer,
)
from trisk.featurizers._magpie import MagpieFeaturizer
from trisk.featurizers._mat2vec import Mat2VecFeaturizer
from trisk.featurizers._miedema import MiedemaFeaturizer
from trisk.featurizers._oxidation import IonPropertyFeaturizer
from trisk.featurizers._potential import PotentialFeaturizer
from trisk.featurizers._potential_check import verify_potential
from trisk.featurizers._pretrained import PretrainedFeaturizer
from trisk.featurizers._rows import FeaturizationError
from trisk.featurizers._spring_model import SpringModelFeaturizer
from trisk.featurizers._valence import ValenceOrbitalFeaturizer

__all__ = [
    "AtomicOrbitalFeaturizer",
    "BandCenterFeaturizer",
    "CompositionFeaturizer",
    "CrystalGraphFeaturizer",
    "ElementFractionFeaturizer",
    "FeaturizationError",
    "IonPropertyFeaturizer",
    "MagpieFeaturizer",
    "Mat2VecFeaturizer",
    "MiedemaFeaturizer",
    "PotentialFeaturizer",
    "PretrainedFeaturizer",
    "SpringModelFeaturizer",
    "StoichiometryFeaturizer",
    "TransitionMetalFractionFeaturizer",
    "ValenceOrbitalFeaturizer",
    "WenFeaturizer",
    "YangFeaturizer",
    "verify_potential",
]

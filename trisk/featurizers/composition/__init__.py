"""Formulas → numbers."""

from trisk.featurizers.composition._alloys import WenFeaturizer, YangFeaturizer
from trisk.featurizers.composition._electronic import AtomicOrbitalFeaturizer, BandCenterFeaturizer
from trisk.featurizers.composition._fractions import (
    ElementFractionFeaturizer,
    StoichiometryFeaturizer,
    TransitionMetalFractionFeaturizer,
)
from trisk.featurizers.composition._magpie import MagpieFeaturizer
from trisk.featurizers.composition._mat2vec import Mat2VecFeaturizer
from trisk.featurizers.composition._miedema import MiedemaFeaturizer
from trisk.featurizers.composition._oxidation import IonPropertyFeaturizer
from trisk.featurizers.composition._presets import CompositionFeaturizer
from trisk.featurizers.composition._pretrained import PretrainedFeaturizer
from trisk.featurizers.composition._valence import ValenceOrbitalFeaturizer

__all__ = [
    "AtomicOrbitalFeaturizer",
    "BandCenterFeaturizer",
    "CompositionFeaturizer",
    "ElementFractionFeaturizer",
    "IonPropertyFeaturizer",
    "MagpieFeaturizer",
    "Mat2VecFeaturizer",
    "MiedemaFeaturizer",
    "PretrainedFeaturizer",
    "StoichiometryFeaturizer",
    "TransitionMetalFractionFeaturizer",
    "ValenceOrbitalFeaturizer",
    "WenFeaturizer",
    "YangFeaturizer",
]

"""Chemistry → numbers: transformers that turn formulas and structures into feature tables."""

from trisk.featurizers._base import FeaturizationError
from trisk.featurizers._composition import CompositionFeaturizer
from trisk.featurizers._magpie import MagpieFeaturizer
from trisk.featurizers._mat2vec import Mat2VecFeaturizer

__all__ = [
    "CompositionFeaturizer",
    "FeaturizationError",
    "MagpieFeaturizer",
    "Mat2VecFeaturizer",
]

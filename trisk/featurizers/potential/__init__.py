"""What an interatomic potential says of a crystal."""

from trisk.featurizers.potential._calls import verify_potential
from trisk.featurizers.potential._embedder import PotentialEmbedder
from trisk.featurizers.potential._featurizer import PotentialFeaturizer

__all__ = [
    "PotentialEmbedder",
    "PotentialFeaturizer",
    "verify_potential",
]

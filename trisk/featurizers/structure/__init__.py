"""Crystal structures → graphs, and numbers from geometry alone."""

from trisk.featurizers.structure._crystal_graph import CrystalGraphFeaturizer
from trisk.featurizers.structure._layer import LayerFeaturizer
from trisk.featurizers.structure._power_spectrum import PowerSpectrumFeaturizer
from trisk.featurizers.structure._springs import SpringModelFeaturizer

__all__ = [
    "CrystalGraphFeaturizer",
    "LayerFeaturizer",
    "PowerSpectrumFeaturizer",
    "SpringModelFeaturizer",
]

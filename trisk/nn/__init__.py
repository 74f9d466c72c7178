"""Torch modules: no scikit-learn, no chemistry objects, no files."""

from trisk.nn.backbones import BACKBONES, Backbone, make_backbone
from trisk.nn.backbones.equivariant import EquivariantBackbone
from trisk.nn.backbones.potentials import (
    POTENTIALS,
    Potential,
    as_backbone,
    check_sizes,
    load_potential,
)
from trisk.nn.batch import CrystalBatch, GraphBatch, to_batch
from trisk.nn.encoder import CompositionEncoder, CompositionEncoderNetwork
from trisk.nn.graph import GraphTRIADSNetwork
from trisk.nn.heads import (
    EnergyHead,
    PotentialNetwork,
    PretrainingNetwork,
    PropertyHead,
    PropertyNetwork,
)
from trisk.nn.hybrid import HybridTRIADSNetwork, InputLayout
from trisk.nn.members import MemberLinear, initialize_members, select_members
from trisk.nn.objectives import (
    OBJECTIVES,
    DeepSupervisionLoss,
    PotentialLoss,
    PretrainingLoss,
    PropertyLoss,
)
from trisk.nn.stacks import MemberLosses, NetworkStack
from trisk.nn.streams import STREAMS, CompositionStream, StructureStream, TriForcesEncoder

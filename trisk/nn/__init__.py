"""Torch modules: no scikit-learn, no chemistry objects, no files."""

from trisk.nn.backbones import BACKBONES, Backbone, EquivariantBackbone, make_backbone
from trisk.nn.basis import BesselBasis, real_spherical_harmonics, smooth_cutoff
from trisk.nn.batch import CrystalBatch, GraphBatch, Segments
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
from trisk.nn.members import (
    MemberDropout,
    MemberLayerNorm,
    MemberLinear,
    PeriodicEmbedding,
    SeededNetwork,
    initialize_members,
    select_members,
)
from trisk.nn.objectives import (
    OBJECTIVES,
    DeepSupervisionLoss,
    PotentialLoss,
    PretrainingLoss,
    PropertyLoss,
    epps_pulley,
    sigreg,
    sum_over_processes,
)
from trisk.nn.recursion import RecursiveCore
from trisk.nn.streams import (
    STREAMS,
    CompositionStream,
    ElementVectors,
    PowerSpectrum,
    StreamEmbeddings,
    StructureStream,
    TriForcesEncoder,
    coordination,
)

__all__ = [
    "BACKBONES",
    "OBJECTIVES",
    "STREAMS",
    "Backbone",
    "BesselBasis",
    "CompositionEncoder",
    "CompositionEncoderNetwork",
    "CompositionStream",
    "CrystalBatch",
    "DeepSupervisionLoss",
    "ElementVectors",
    "EnergyHead",
    "EquivariantBackbone",
    "GraphBatch",
    "GraphTRIADSNetwork",
    "HybridTRIADSNetwork",
    "InputLayout",
    "MemberDropout",
    "MemberLayerNorm",
    "MemberLinear",
    "PeriodicEmbedding",
    "PotentialLoss",
    "PotentialNetwork",
    "PowerSpectrum",
    "PretrainingLoss",
    "PretrainingNetwork",
    "PropertyHead",
    "PropertyLoss",
    "PropertyNetwork",
    "RecursiveCore",
    "SeededNetwork",
    "Segments",
    "StreamEmbeddings",
    "StructureStream",
    "TriForcesEncoder",
    "coordination",
    "epps_pulley",
    "initialize_members",
    "make_backbone",
    "real_spherical_harmonics",
    "select_members",
    "sigreg",
    "smooth_cutoff",
    "sum_over_processes",
]

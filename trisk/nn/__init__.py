"""Torch modules: no scikit-learn, no chemistry objects, no files."""

from trisk.nn._batch_invariance import BatchInvariance
from trisk.nn._composition_encoder import CompositionEncoder
from trisk.nn._composition_stream import CompositionStream
from trisk.nn._crystal_batch import CrystalBatch
from trisk.nn._crystal_losses import PotentialLoss, PropertyLoss
from trisk.nn._elements import ElementVectors
from trisk.nn._encoder_network import CompositionEncoderNetwork
from trisk.nn._graph_batch import GraphBatch
from trisk.nn._graph_triads import GraphTRIADSNetwork
from trisk.nn._heads import EnergyHead, PotentialNetwork, PropertyHead, PropertyNetwork
from trisk.nn._hybrid_triads import HybridTRIADSNetwork, InputLayout
from trisk.nn._losses import DeepSupervisionLoss
from trisk.nn._members import (
    MemberDropout,
    MemberLayerNorm,
    MemberLinear,
    PeriodicEmbedding,
    initialize_members,
    keep_members,
    select_members,
)
from trisk.nn._optimizer import MemberAdamW
from trisk.nn._pretraining import PretrainingNetwork
from trisk.nn._processes import sum_over_processes
from trisk.nn._radial import BesselBasis
from trisk.nn._recursion import RecursiveCore
from trisk.nn._sigreg import epps_pulley, sigreg
from trisk.nn._spherical_harmonics import real_spherical_harmonics
from trisk.nn._structure_stream import PowerSpectrum, StructureStream
from trisk.nn._triforces import StreamEmbeddings, TriForcesEncoder
from trisk.nn.backbones import Backbone, EquivariantBackbone

__all__ = [
    "Backbone",
    "BatchInvariance",
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
    "MemberAdamW",
    "MemberDropout",
    "MemberLayerNorm",
    "MemberLinear",
    "PeriodicEmbedding",
    "PotentialLoss",
    "PotentialNetwork",
    "PowerSpectrum",
    "PretrainingNetwork",
    "PropertyHead",
    "PropertyLoss",
    "PropertyNetwork",
    "RecursiveCore",
    "StreamEmbeddings",
    "StructureStream",
    "TriForcesEncoder",
    "epps_pulley",
    "initialize_members",
    "keep_members",
    "real_spherical_harmonics",
    "select_members",
    "sigreg",
    "sum_over_processes",
]

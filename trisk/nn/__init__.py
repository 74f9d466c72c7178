"""Torch modules: no scikit-learn, no chemistry objects, no files."""

from trisk.nn._hybrid_triads import HybridTRIADSNetwork, InputLayout
from trisk.nn._losses import DeepSupervisionLoss
from trisk.nn._members import (
    MemberDropout,
    MemberLayerNorm,
    MemberLinear,
    PeriodicEmbedding,
    initialize_members,
    select_members,
)
from trisk.nn._recursion import RecursiveCore

__all__ = [
    "DeepSupervisionLoss",
    "HybridTRIADSNetwork",
    "InputLayout",
    "MemberDropout",
    "MemberLayerNorm",
    "MemberLinear",
    "PeriodicEmbedding",
    "RecursiveCore",
    "initialize_members",
    "select_members",
]

"""Self-supervision on crystals: views and objectives."""

from trisk.nn import OBJECTIVES, PretrainingLoss
from trisk.pretraining.crystals._decoration import decorate_prototypes
from trisk.pretraining.crystals._views import ViewMaker, neighbor_estimate

__all__ = ["OBJECTIVES", "PretrainingLoss", "ViewMaker", "decorate_prototypes", "neighbor_estimate"]

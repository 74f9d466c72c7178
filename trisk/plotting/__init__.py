"""Plots in the style of scikit-learn's displays."""

from trisk.plotting._calibration import CalibrationDisplay, draw_predictions
from trisk.plotting._embedding import EmbeddingDisplay
from trisk.plotting._networks import (
    AttentionDisplay,
    HaltingDisplay,
    PretrainingDisplay,
    SupervisionDisplay,
)
from trisk.plotting._parity import ParityDisplay

__all__ = [
    "AttentionDisplay",
    "CalibrationDisplay",
    "EmbeddingDisplay",
    "HaltingDisplay",
    "ParityDisplay",
    "PretrainingDisplay",
    "SupervisionDisplay",
    "draw_predictions",
]

"""Plots in the style of scikit-learn's displays."""

from trisk.plotting._calibration import CalibrationDisplay, draw_predictions
from trisk.plotting._embedding import EmbeddingDisplay
from trisk.plotting._networks import (
    AttentionDisplay,
    PretrainingDisplay,
)
from trisk.plotting._parity import ParityDisplay
from trisk.plotting._potentials import EnergyVolumeDisplay, PhononDisplay, draw_potential

__all__ = [
    "AttentionDisplay",
    "CalibrationDisplay",
    "EmbeddingDisplay",
    "EnergyVolumeDisplay",
    "ParityDisplay",
    "PhononDisplay",
    "PretrainingDisplay",
    "draw_potential",
    "draw_predictions",
]

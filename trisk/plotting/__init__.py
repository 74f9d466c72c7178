"""Plots in the style of scikit-learn's displays."""

from trisk.plotting._calibration import CalibrationDisplay, draw_predictions
from trisk.plotting._embedding import EmbeddingDisplay
from trisk.plotting._parity import ParityDisplay
from trisk.plotting._potentials import EnergyVolumeDisplay, PhononDisplay, draw_potential

__all__ = [
    "CalibrationDisplay",
    "EmbeddingDisplay",
    "EnergyVolumeDisplay",
    "ParityDisplay",
    "PhononDisplay",
    "draw_potential",
    "draw_predictions",
]

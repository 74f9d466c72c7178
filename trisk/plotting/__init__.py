"""Plots in the style of scikit-learn's displays."""

from trisk.plotting._attention import AttentionDisplay
from trisk.plotting._calibration import CalibrationDisplay
from trisk.plotting._embedding import EmbeddingDisplay
from trisk.plotting._halting import HaltingDisplay
from trisk.plotting._learning_curve import LearningCurveDisplay
from trisk.plotting._parity import ParityDisplay
from trisk.plotting._predictions import draw_predictions
from trisk.plotting._pretraining import PretrainingDisplay
from trisk.plotting._supervision import SupervisionDisplay

__all__ = [
    "AttentionDisplay",
    "CalibrationDisplay",
    "EmbeddingDisplay",
    "HaltingDisplay",
    "LearningCurveDisplay",
    "ParityDisplay",
    "PretrainingDisplay",
    "SupervisionDisplay",
    "draw_predictions",
]

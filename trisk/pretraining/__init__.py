"""Pre-training: encoders that learn from calculated properties before they meet a task."""

from trisk.pretraining._supervised import EncoderTraining, save_encoder
from trisk.pretraining._targets import (
    FormulaTargets,
    held_out_rows,
    read_formula_targets,
    reduced_formulas,
)

__all__ = [
    "EncoderTraining",
    "FormulaTargets",
    "held_out_rows",
    "read_formula_targets",
    "reduced_formulas",
    "save_encoder",
]

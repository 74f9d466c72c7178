"""Splitting data and comparing models."""

from trisk.model_selection._folds import matbench_folds

__all__ = ["matbench_folds"]

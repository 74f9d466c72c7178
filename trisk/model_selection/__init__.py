"""Splitting data and comparing models."""

import importlib

from trisk.model_selection._folds import matbench_folds

__all__ = ["cross_validate", "fit_folds", "matbench_folds"]


def __getattr__(name):
    # Folds alone need no torch; training them does.
    if name in ("cross_validate", "fit_folds"):
        return getattr(importlib.import_module("trisk.model_selection._batched"), name)
    raise AttributeError(f"module 'trisk.model_selection' has no attribute {name!r}")

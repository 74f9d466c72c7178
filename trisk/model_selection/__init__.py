"""Splitting data, comparing models and tuning them."""

import importlib

from trisk.model_selection._clusters import LeaveClusterOut, leave_cluster_out
from trisk.model_selection._folds import matbench_folds

# Folds alone need no torch; training them does.
_LAZY = {
    "CrossValidationResults": "_nested",
    "OptunaSearch": "_search",
    "cross_validate": "_batched",
    "fit_folds": "_batched",
    "nested_cross_validate": "_nested",
    "optuna_search": "_tuning",
    "search_space": "_objective",
    "write_matbench_file": "_leaderboard",
}

__all__ = [
    "CrossValidationResults",
    "LeaveClusterOut",
    "OptunaSearch",
    "cross_validate",
    "fit_folds",
    "leave_cluster_out",
    "matbench_folds",
    "nested_cross_validate",
    "optuna_search",
    "search_space",
    "write_matbench_file",
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f"trisk.model_selection.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'trisk.model_selection' has no attribute {name!r}")

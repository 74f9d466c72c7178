"""Pre-training: what encoders learn from before they meet a task."""

import importlib

#: Public name → the module that defines it; only what is used is imported.
_EXPORTS = {
    "PretrainingLoss": "crystals",
    "ViewMaker": "crystals",
    "decorate_prototypes": "crystals",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"trisk.pretraining.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'trisk.pretraining' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])

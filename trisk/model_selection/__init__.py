"""Splitting data, comparing models and tuning them."""

import lazy_loader

# Folds alone need no torch; training them does.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The command line: ``trisk fit``, ``predict``, ``report`` and ``bench``."""

from trisk.cli._main import main

__all__ = ["main"]

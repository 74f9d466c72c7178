"""The command line: ``trisk fit``, ``predict`` and ``report``."""

from trisk.cli._main import main

__all__ = ["main"]

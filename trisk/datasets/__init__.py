"""Data sets as pandas objects: Matbench's tasks, and a table of band gaps that ships with trisk."""

from trisk.datasets._band_gaps import load_band_gaps
from trisk.datasets._matbench import DatasetNotFoundError, load_matbench

__all__ = ["DatasetNotFoundError", "load_band_gaps", "load_matbench"]

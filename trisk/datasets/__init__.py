"""Data sets as pandas objects: Matbench's tasks, band gaps and structures that need no download."""

from trisk.datasets._band_gaps import load_band_gaps
from trisk.datasets._matbench import DatasetNotFoundError, load_matbench
from trisk.datasets._prototypes import load_prototypes

__all__ = ["DatasetNotFoundError", "load_band_gaps", "load_matbench", "load_prototypes"]

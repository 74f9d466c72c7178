"""Data sets as pandas objects, and structures from files, databases and the network."""

from trisk.datasets._matbench import DatasetNotFoundError, load_matbench
from trisk.datasets._shipped import load_band_gaps, load_prototypes
from trisk.datasets._streams import stream_lemat_bulk

__all__ = [
    "DatasetNotFoundError",
    "load_band_gaps",
    "load_matbench",
    "load_prototypes",
    "stream_lemat_bulk",
]

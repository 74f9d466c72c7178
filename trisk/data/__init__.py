"""Every table and weight that ships, each with its card; here is how the package finds them."""

from importlib import resources
from pathlib import Path


def data_file(name):
    """Path of a file that ships with trisk."""
    return Path(str(resources.files("trisk.data").joinpath(name)))

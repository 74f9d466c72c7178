"""Packages that not every installation has."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def if_absent(message: str) -> Iterator[None]:
    """Import a package, or say how to install it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(message) from error

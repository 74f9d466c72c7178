"""Other packages, of which backbones are made."""

import contextlib
import io
import warnings
from collections.abc import Iterator

from trisk._optional import if_absent


@contextlib.contextmanager
def using(package: str, extra: str) -> Iterator[None]:
    """Use a package that may print, warn of its own calls, or be absent."""
    advice = f"The backbone {extra!r} needs the package {package}: pip install 'trisk[{extra}]'."
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), if_absent(advice):
        warnings.simplefilter("ignore")
        yield

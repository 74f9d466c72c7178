"""Other packages, of which backbones are made."""

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def using(package: str, extra: str) -> Iterator[None]:
    """Use a package that may print, warn of its own calls, or be absent."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise ImportError(
                f"The backbone {extra!r} needs the package {package}: pip install 'trisk[{extra}]'."
            ) from error

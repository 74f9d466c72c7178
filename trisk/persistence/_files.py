"""Model files: written whole, and read with suspicion."""

import hashlib
import json
import os
import secrets
from pathlib import Path

import numpy as np

from trisk.persistence._classes import CLASSES
from trisk.persistence._reader import ModelFileError, ModelReader
from trisk.persistence._writer import encode

FORMAT = 1


def save(model, path):
    """Write a fitted estimator, featurizer or pipeline of these to one file.

    Parameters
    ----------
    model : estimator
        A trisk estimator or featurizer, or a :class:`~sklearn.pipeline.Pipeline`,
        :class:`~sklearn.pipeline.FeatureUnion` or
        :class:`~sklearn.compose.TransformedTargetRegressor` of them, with forests of scikit-learn
        and common functions of numpy where these want some.
    path : str or path-like
        File to write; replaced as a whole once it is complete.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, one of its parameters or fitted attributes is of a kind that cannot be
        stored without code.

    See Also
    --------
    load : Bring the model back.
    """
    from safetensors.numpy import save as to_bytes
    from sklearn.utils.validation import check_is_fitted

    from trisk import __version__

    if hasattr(model, "get_params"):
        check_is_fitted(model)
    arrays: dict[str, np.ndarray] = {}
    description = {
        "format": FORMAT,
        "trisk": __version__,
        "model": encode(model, type(model).__name__, arrays),
    }
    text = json.dumps(description, allow_nan=False)
    metadata = {"trisk": text, "sha256": _checksum(text, arrays)}
    _replace(Path(path), to_bytes(arrays, metadata))


def _replace(path, content):
    """Write a file beside `path` and rename it, so that `path` is whole at any moment."""
    # The tempfile module would make a file that nobody else may read.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path):
    """Bring back a model written by :func:`save`.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    model : estimator
        Fitted, with the weights and parameters it was saved with, on the device that its
        ``device`` parameter means on this machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is truncated, altered, of a newer format, or not a trisk model.
    ImportError
        If the model needs a package that is not installed, such as another backbone's.

    Notes
    -----
    Nothing in the file is executed, no other file is opened for writing, and memory stays in
    proportion to the size of the file. SECURITY.md says what that promises and what it does not.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file at {str(path)!r}.")
    arrays, metadata = _read(path)
    text = metadata.get("trisk")
    if text is None:
        raise ModelFileError(f"{str(path)!r} is a safetensors file, but not a trisk model.")
    if metadata != {"trisk": text, "sha256": _checksum(text, arrays)}:
        raise ModelFileError(
            f"{str(path)!r} was altered after it was written: its checksum does not agree."
        )
    try:
        description = json.loads(text, parse_constant=_refuse_constant)
        found = description["format"]
        if type(found) is not int or found < 1:
            raise ValueError(f"its format is {found!r}")
        if found > FORMAT:
            raise ModelFileError(
                f"{str(path)!r} was written by trisk {description['trisk']} in format "
                f"{found}; this version reads formats up to {FORMAT}. Update trisk."
            )
        return ModelReader(arrays, CLASSES).read(description["model"])
    except (ModelFileError, ImportError):
        raise
    except Exception as error:  # a forged description can make any line of any model fail
        raise ModelFileError(f"{str(path)!r} does not describe a trisk model: {error}") from error


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def _read(path):
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError, TypeError, ValueError, KeyError, AttributeError) as error:
        # NumPy has no bfloat16 and no eight-bit floats, which foreign files may hold.
        raise ModelFileError(
            f"{str(path)!r} is truncated or not a trisk model file: {error}"
        ) from error


def _checksum(text, arrays):
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

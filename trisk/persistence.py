"""Models on disk: one safetensors file that holds arrays and JSON, and no code.

A file written by :func:`save` is a plain safetensors file. Its metadata carry a JSON description
of the object (class, parameters, fitted attributes, version) and a checksum of everything.
:func:`load` builds objects of a fixed list of classes only; nothing in a file is ever executed.
"""

import hashlib
import json
import math
import os
import secrets
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from trisk._model_reader import ModelFileError, ModelReader
from trisk._trees import tree_to_arrays

__all__ = ["FORMAT", "ModelFileError", "load", "save"]

FORMAT = 1

#: Classes that a file may name, and where they live.
_CLASSES = {
    "Pipeline": "sklearn.pipeline",
    "FrozenEstimator": "sklearn.frozen",
    "CompositionEncoderClassifier": "trisk.estimators",
    "CompositionEncoderRegressor": "trisk.estimators",
    "DeltaRegressor": "trisk.estimators",
    "HurdleRegressor": "trisk.estimators",
    "GraphScaler": "trisk.estimators.graphs._base",
    "GraphTRIADSClassifier": "trisk.estimators",
    "GraphTRIADSRegressor": "trisk.estimators",
    "HybridTRIADSClassifier": "trisk.estimators",
    "HybridTRIADSRegressor": "trisk.estimators",
    "StructureRetriever": "trisk.estimators",
    "TriForcesClassifier": "trisk.estimators",
    "TriForcesPotential": "trisk.estimators",
    "TriForcesPretrainer": "trisk.estimators",
    "TriForcesRegressor": "trisk.estimators",
    "BlockScaler": "trisk.estimators.retrieval._blocks",
    "ColumnScaler": "trisk.estimators._preprocessing",
    "NeighborColumns": "trisk.estimators.tables._neighbors",
    "TargetScaler": "trisk.estimators._preprocessing",
    "InputLayout": "trisk.nn",
    **dict.fromkeys(
        (
            "AtomicOrbitalFeaturizer",
            "BandCenterFeaturizer",
            "ColumnSelector",
            "CompositionFeaturizer",
            "CrystalGraphFeaturizer",
            "ElementFractionFeaturizer",
            "IonPropertyFeaturizer",
            "LayerFeaturizer",
            "MagpieFeaturizer",
            "Mat2VecFeaturizer",
            "MiedemaFeaturizer",
            "PotentialFeaturizer",
            "PowerSpectrumFeaturizer",
            "PretrainedFeaturizer",
            "SpringModelFeaturizer",
            "StoichiometryFeaturizer",
            "TransitionMetalFractionFeaturizer",
            "ValenceOrbitalFeaturizer",
            "WenFeaturizer",
            "YangFeaturizer",
        ),
        "trisk.featurizers",
    ),
    # Companions of a network.
    "MedianTrees": "trisk.estimators.tables._companion",
    **dict.fromkeys(
        (
            "ExtraTreesClassifier",
            "ExtraTreesRegressor",
            "RandomForestClassifier",
            "RandomForestRegressor",
        ),
        "sklearn.ensemble",
    ),
    **dict.fromkeys(
        (
            "DecisionTreeClassifier",
            "DecisionTreeRegressor",
            "ExtraTreeClassifier",
            "ExtraTreeRegressor",
        ),
        "sklearn.tree",
    ),
}


def save(model, path):
    """Write a fitted estimator, featurizer or pipeline of these to one file.

    Parameters
    ----------
    model : estimator
        A trisk estimator or featurizer, or a :class:`sklearn.pipeline.Pipeline` of them.
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
        "model": _encode(model, type(model).__name__, arrays),
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
        return ModelReader(arrays, _CLASSES).read(description["model"])
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


def _encode(value, name, arrays):
    """Turn a value into JSON; numeric arrays go to `arrays` under `name`."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return _encode(value.item(), name, arrays)
    if isinstance(value, np.ndarray):
        return _encode_array(value, name, arrays)
    if _is_plain_frame(value):
        columns = value.items()
        return {
            "frame": [
                [c, _encode(v.to_numpy(), f"{name}.{i}", arrays)]
                for i, (c, v) in enumerate(columns)
            ]
        }
    if is_dataclass(value) or hasattr(value, "_fields"):
        keys = getattr(value, "_fields", None) or [f.name for f in fields(value)]
        return _encode_object(value, {k: getattr(value, k) for k in keys}, name, arrays)
    if isinstance(value, list | tuple):
        items = [_encode(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        pairs = enumerate(value.items())
        return {
            "dict": [[_encode(k, "", {}), _encode(v, f"{name}.{i}", arrays)] for i, (k, v) in pairs]
        }
    if hasattr(value, "get_params"):
        encoded = _encode_object(value, value.get_params(deep=False), name, arrays)
        state = getattr(value, "__trisk_state__", lambda: _fitted_attributes(value))()
        encoded["fitted"] = {k: _encode(v, f"{name}.{k}", arrays) for k, v in state.items()}
        return encoded
    if type(value).__name__ == "Tree" and type(value).__module__ == "sklearn.tree._tree":
        return {"tree": _encode(tree_to_arrays(value), name, arrays)}
    kind = value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
    raise TypeError(
        f"{name} is {kind}, which trisk does not store without code. If it is a parameter, such "
        "as a calculator or a callback, set it to None by set_params before saving and give it "
        "back after loading; or use pickle or skops for such a model."
    )


def _is_plain_frame(value):
    """Whether a value is a DataFrame with string columns whose rows are numbered from zero."""
    if type(value).__name__ != "DataFrame" or not hasattr(value, "columns"):
        return False
    numbered = value.index.equals(type(value)(index=range(len(value))).index)
    return numbered and all(isinstance(column, str) for column in value.columns)


def _encode_object(value, parameters, name, arrays):
    class_name = type(value).__name__
    known = _CLASSES.get(class_name)
    if known is None or not type(value).__module__.startswith(known.split("._")[0]):
        raise TypeError(
            f"{name} is a {type(value).__module__}.{class_name}, which trisk does not store; "
            "use pickle or skops for such a model."
        )
    encoded = {k: _encode(v, f"{name}.{k}", arrays) for k, v in parameters.items()}
    return {"class": class_name, "parameters": encoded}


def _encode_array(value, name, arrays):
    if value.dtype.kind in "biuf":
        # safetensors keeps no zero-dimensional or strided layout of its own.
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if value.dtype.kind in "UO" and all(isinstance(v, str) for v in value.flat):
        return {"strings": value.tolist(), "object": value.dtype.kind == "O"}
    raise TypeError(f"{name} is an array of {value.dtype}, which trisk does not store.")


def _fitted_attributes(model):
    """Attributes that fitting set: those that are not parameters."""
    parameters = model.get_params(deep=False)
    return {k: v for k, v in vars(model).items() if k not in parameters and not k.startswith("__")}

"""From objects to JSON and arrays."""

import math
import os
from dataclasses import fields, is_dataclass

import numpy as np

from trisk.persistence._classes import CLASSES, FUNCTIONS
from trisk.persistence._trees import tree_to_arrays


def encode(value, name, arrays):
    """Turn a value into JSON; numeric arrays go to `arrays` under `name`."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return encode(value.item(), name, arrays)
    if isinstance(value, np.ndarray):
        return _encode_array(value, name, arrays)
    if isinstance(value, np.ufunc):
        return _encode_function(value, name)
    if _is_plain_frame(value):
        columns = value.items()
        return {
            "frame": [
                [c, encode(v.to_numpy(), f"{name}.{i}", arrays)] for i, (c, v) in enumerate(columns)
            ]
        }
    if is_dataclass(value) or hasattr(value, "_fields"):
        keys = getattr(value, "_fields", None) or [f.name for f in fields(value)]
        return _encode_object(value, {k: getattr(value, k) for k in keys}, name, arrays)
    if isinstance(value, list | tuple):
        items = [encode(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        pairs = enumerate(value.items())
        return {
            "dict": [[encode(k, "", {}), encode(v, f"{name}.{i}", arrays)] for i, (k, v) in pairs]
        }
    if hasattr(value, "get_params"):
        encoded = _encode_object(value, value.get_params(deep=False), name, arrays)
        state = getattr(value, "__trisk_state__", lambda: _fitted_attributes(value))()
        encoded["fitted"] = {k: encode(v, f"{name}.{k}", arrays) for k, v in state.items()}
        return encoded
    if type(value).__name__ == "Tree" and type(value).__module__ == "sklearn.tree._tree":
        return {"tree": encode(tree_to_arrays(value), name, arrays)}
    kind = value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
    raise TypeError(
        f"{name} is {kind}, which trisk does not store without code. If it is a parameter, such "
        "as a calculator or a callback, set it to None by set_params before saving and give it "
        "back after loading; or use pickle or skops for such a model."
    )


def _encode_function(value, name):
    # Functions of other packages, such as scipy.special.expm1, have the same names.
    if value.__name__ not in FUNCTIONS or getattr(np, value.__name__) is not value:
        raise TypeError(
            f"{name} is the function {value.__name__!r}, which trisk does not store; it stores "
            f"numpy's {', '.join(FUNCTIONS)}. Use pickle or skops for such a model."
        )
    return {"function": value.__name__}


def _is_plain_frame(value):
    """Whether a value is a DataFrame with string columns whose rows are numbered from zero."""
    if type(value).__name__ != "DataFrame" or not hasattr(value, "columns"):
        return False
    numbered = value.index.equals(type(value)(index=range(len(value))).index)
    return numbered and all(isinstance(column, str) for column in value.columns)


def _encode_object(value, parameters, name, arrays):
    class_name = type(value).__name__
    known = CLASSES.get(class_name)
    if known is None or not type(value).__module__.startswith(known.split("._")[0]):
        raise TypeError(
            f"{name} is a {type(value).__module__}.{class_name}, which trisk does not store; "
            "use pickle or skops for such a model."
        )
    encoded = {k: encode(v, f"{name}.{k}", arrays) for k, v in parameters.items()}
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

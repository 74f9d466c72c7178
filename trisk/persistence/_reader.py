"""From the description in a model file to the model: what may be built, and how large."""

import importlib

import numpy as np

from trisk.persistence._classes import FUNCTIONS
from trisk.persistence._trees import check_trees, tree_from_arrays

# Characters that one array of fixed-width strings may take: a long one widens all others.
_LARGEST_STRINGS = 2**24


class ModelFileError(ValueError):
    """A file is not a model that this version of trisk can load."""


class ModelReader:
    """Build the objects that a description names, from its arrays.

    Parameters
    ----------
    arrays : dict of str to ndarray
        The arrays of the file. Each serves one place in the description.
    classes : dict of str to str
        Names of the classes that a description may name, and their modules.
    """

    def __init__(self, arrays, classes):
        self.arrays = dict(arrays)
        self.classes = classes

    def read(self, node):
        """Build the model.

        Parameters
        ----------
        node : dict
            Description of an estimator.

        Returns
        -------
        model : estimator
            Fitted, with valid parameters.

        Raises
        ------
        ModelFileError
            If the description names a class off the list.
        Exception
            Whatever a description that makes no sense leads to.
        """
        from sklearn.utils.validation import check_is_fitted

        model = self._decode(node)
        if not hasattr(model, "get_params"):
            raise TypeError(f"it holds a {type(model).__name__} and no estimator")
        check_is_fitted(model)
        if self.arrays:
            raise ValueError(f"nothing uses its array {min(self.arrays)!r}")
        return model

    def _decode(self, node):
        if isinstance(node, list):
            return [self._decode(v) for v in node]
        if not isinstance(node, dict):
            return node
        if "float" in node:
            return float(node["float"])
        if "array" in node:
            # Taken out: one large array in many places would multiply the size of the file.
            return self.arrays.pop(node["array"])
        if "strings" in node:
            return _strings(node["strings"], node["object"])
        if "function" in node:
            return _function(node["function"])
        if "frame" in node:
            return self._decode_frame(node["frame"])
        if "tuple" in node:
            return tuple(self._decode(v) for v in node["tuple"])
        if "dict" in node:
            return {self._decode(k): self._decode(v) for k, v in node["dict"]}
        if "tree" in node:
            return tree_from_arrays(self._decode(node["tree"]))
        return self._decode_object(node)

    def _decode_frame(self, columns):
        import pandas as pd

        return pd.DataFrame({name: self._decode(values) for name, values in columns})

    def _decode_object(self, node):
        module = self.classes.get(node["class"])
        if module is None:
            raise ModelFileError(
                f"The file names the class {node['class']!r}, which trisk does not load."
            )
        cls = getattr(importlib.import_module(module), node["class"])
        value = cls(**{k: self._decode(v) for k, v in node["parameters"].items()})
        if hasattr(value, "_parameter_constraints"):
            value._validate_params()
        if "fitted" in node:
            self._restore(value, {k: self._decode(v) for k, v in node["fitted"].items()})
        return value

    @staticmethod
    def _restore(value, state):
        """Give an object the attributes that fitting gave it."""
        for name in state:
            if callable(getattr(type(value), name, None)):
                raise ValueError(f"{type(value).__name__} has a method {name}, not an attribute")
        if hasattr(value, "__trisk_restore__"):
            value.__trisk_restore__(state)
        else:
            vars(value).update(state)
        if "tree_" in state or "estimators_" in state:
            check_trees(value)


def _function(name):
    if name not in FUNCTIONS:
        raise ModelFileError(f"The file names the function {name!r}, which trisk does not load.")
    return getattr(np, name)


def _strings(texts, as_object):
    if as_object:
        return np.array(texts, dtype=object)
    longest = max(map(len, texts), default=0)
    if longest * len(texts) > _LARGEST_STRINGS:
        raise ValueError("its strings do not fit into memory")
    return np.array(texts)

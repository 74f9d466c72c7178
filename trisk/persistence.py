"""Models on disk: a skops archive, of which only plain, known types are read."""

import functools
import importlib
import inspect
import io
import itertools
import json
import re
import zipfile
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np

from trisk._replace import replace_file

__all__ = ["ModelFileError", "load", "save"]

_FORMAT = 2  # 1 was that of trisk 0.1
#: Parameters that belong to a machine or a session: files neither hold nor set them.
RUN_PARAMETERS = {
    *("callbacks", "checkpoint", "device", "memory", "n_jobs", "verbose"),
    *("pruner", "sampler", "space", "storage"),
}
#: Parameters that files neither hold nor set where they are a path.
_SOURCE_PARAMETERS = {"backbone", "pretrained", "pretrainer", "vectors", "weights"}
#: Kinds of description that are read: no methods, operators, bytes or calls of constructors.
_LOADERS = {
    *("DTypeNode", "DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode", "SetNode"),
    *("MaskedArrayNode", "NdArrayNode", "ObjectNode", "PartialNode", "RandomGeneratorNode"),
    *("RandomStateNode", "SliceNode", "TreeNode", "TupleNode", "TypeNode"),
}
#: Modules of scikit-learn whose own classes are plain and whose own functions are pure.
_MODULES = {
    f"sklearn.{name}"
    for name in (
        *("calibration", "compose._column_transformer", "feature_selection._mutual_info"),
        *("feature_selection._univariate_selection", "gaussian_process._gpc"),
        *("gaussian_process.kernels", "impute._iterative", "metrics._classification"),
        *("metrics._ranking", "metrics._regression", "metrics._scorer", "model_selection._split"),
        *("neural_network._stochastic_optimizers", "utils._bunch", "utils._metadata_requests"),
    )
}
#: What else is trusted, beside the types that skops trusts.
_TRUSTED = {
    *("functools.partial", "numpy.dtype", "numpy.mean", "trisk.persistence._truth"),
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *("sklearn._loss.loss.HalfTweedieLossIdentity", "sklearn.tree._tree.Tree"),
    "sklearn.utils.validation.check_array",
    *("trisk.nn.backbones.chgnet.CHGNetPotential", "trisk.nn.backbones.mace.MACEPotential"),
    "trisk.nn.backbones.sevennet.SevenNetPotential",
}
_REMEDY = (
    "If it is a parameter, such as a calculator, set it to None by set_params before saving and "
    "give it back after loading; or write the model with skops.io.dump, and name what you trust "
    "in skops.io.load."
)


class ModelFileError(ValueError):
    """A file is not a model that this version of trisk can load."""


def save(model, path):
    """Write a fitted estimator, featurizer or pipeline of these to one file.

    The file is a skops archive: arrays and JSON, no code. It does not hold what belongs to this
    machine or session: ``n_jobs``, ``memory``, ``checkpoint``, ``device``, ``callbacks``,
    ``verbose``, a search's study, and paths of weights (``pretrained``, ``pretrainer``, …).

    Parameters
    ----------
    model : estimator
        Any estimator of trisk or scikit-learn, in pipelines, ensembles or searches of these.
    path : str or path-like
        File to write. It is replaced as a whole once it is complete, and keeps its mode. Where it
        is a symbolic link, the file that the link leads to is replaced.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model holds what cannot be stored without code, such as a calculator, a function,
        or an instance of a class that is neither of trisk nor of scikit-learn.

    See Also
    --------
    load : Bring the model back.
    """
    import skops.io
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    name = type(model).__name__
    try:
        content = skops.io.dumps(model)
    except Exception as error:  # objects of others may fail in any way when they are described
        causes = "; ".join(_foreign_objects(model)) or error
        raise TypeError(f"{name} cannot be stored: {causes}. {_REMEDY}") from error
    content = _without_run_parameters(content)
    unknown = _unknown_types(content)
    if unknown:
        raise TypeError(f"{name} holds {', '.join(unknown)}, which trisk does not store. {_REMEDY}")
    replace_file(Path(path), content)


def load(path, *, device="auto"):
    """Bring back a model written by :func:`save`.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : str, default="auto"
        ``device`` of all estimators in the model that have this parameter.

    Returns
    -------
    model : estimator
        Fitted, with the parameters it was saved with; those that belong to a machine or a session
        have their defaults.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is no such file; if it is truncated, altered or forged, holds what trisk does not
        load, or was written by trisk 0.1.

    Notes
    -----
    Nothing in the file is executed, no other file is opened for writing, and memory stays in
    proportion to the size of the file. SECURITY.md says what that promises and what it does not.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file at {str(path)!r}.")
    content = path.read_bytes()  # a copy, as the file may change while it is read
    try:
        model = _read(content)
    except ImportError:
        raise
    except zipfile.BadZipFile as error:
        message = f"{str(path)!r} is truncated or not a model file of this version of trisk"
        raise ModelFileError(f"{message}: {error}") from error
    except Exception as error:  # a forged description can make any line of any model fail
        raise ModelFileError(f"{str(path)!r} cannot be loaded: {error}") from error
    for part in _parts(model):
        if "device" in _defaults(part.__class__):
            part.device = device
            if device != "auto":  # networks are placed where their state is set
                part.__setstate__(part.__getstate__())
    return model


def _read(content):
    """Build the model from the bytes of a file."""
    import skops.io
    from sklearn.utils.validation import check_is_fitted

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or sum(member.file_size for member in members) > len(content):
            raise ValueError("its members are compressed or overlap")
        _check_description(json.loads(archive.read("schema.json")), archive)
    unknown = _unknown_types(content)
    if unknown:
        raise ValueError(f"it holds {', '.join(unknown)}, which trisk does not load")
    model = skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    check_is_fitted(model)
    for part in _parts(model):
        for name, default in _defaults(part.__class__).items():
            if name in RUN_PARAMETERS or _is_path(name, getattr(part, name)):
                setattr(part, name, default)
        if type(part).__module__.startswith("trisk.") and hasattr(part, "_validate_params"):
            part._validate_params()
        _check_part(part)
    return model


def _unknown_types(content):
    """Names of the types and functions in a file that trisk neither stores nor loads."""
    import skops.io

    return [name for name in skops.io.get_untrusted_types(data=content) if not _is_trusted(name)]


def _is_trusted(name):
    """Whether a type is plain: of trisk, estimators, dataclasses and named tuples are."""
    module, _, own_name = name.rpartition(".")
    of_trisk = re.fullmatch(r"trisk(\.(?!__)\w+)+", module) is not None
    if name in _TRUSTED or not (of_trisk or module in _MODULES):
        return name in _TRUSTED
    try:
        value = getattr(importlib.import_module(module), own_name)
    except (ImportError, AttributeError):
        return False
    if getattr(value, "__module__", None) != module:
        return False
    is_plain = hasattr(value, "get_params") or is_dataclass(value) or hasattr(value, "_fields")
    return isinstance(value, type) and is_plain if of_trisk else callable(value)


def _without_run_parameters(content):
    """The file without what belongs to this machine, and each object described in one way."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        description = json.loads(archive.read("schema.json"))
        seen: dict[int, dict] = {}
        stack = [description]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                _leave_out(value)
            for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
                if isinstance(child, dict) and "__id__" in child:
                    value[key] = child = seen.setdefault(child["__id__"], child)
                if isinstance(child, dict | list):
                    stack.append(child)
        description["trisk_format"] = _FORMAT
        files = sorted({node["file"] for node in _nodes(description) if "file" in node})
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as smaller:
            for file in files:
                smaller.writestr(file, archive.read(file))
            smaller.writestr("schema.json", json.dumps(description))
    return buffer.getvalue()


def _leave_out(node):
    """Put defaults in place of an estimator's run parameters; restore what skops does not keep."""
    plain = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
    if node.get("__loader__") == "DictNode":
        for kind in node["key_types"]["content"]:
            if kind["__class__"] == "bool":  # skops takes "false" for bool("false")
                kind.update({"__module__": __name__, "__class__": "_truth"})
    if node.get("__loader__") != "ObjectNode" or "content" not in node:
        return
    attributes = node["content"].get("content")
    if not isinstance(attributes, dict):  # the state of a compiled object
        return
    cls = getattr(importlib.import_module(node["__module__"]), node["__class__"], None)
    for name in set(_defaults(cls)).intersection(attributes):
        value = attributes[name]
        text = value["__loader__"] == "JsonNode" and json.loads(value["content"])
        if name in RUN_PARAMETERS or value["__module__"] == "pathlib" or _is_path(name, text):
            attributes[name] = plain | {"content": json.dumps(_defaults(cls)[name])}
    if "_fit_method" in attributes:  # the search tree of neighbours is made anew
        attributes["_tree"] = plain | {"content": "null"}


def _truth(text):
    """A key of a dict, as JSON writes it."""
    return text == "true"


def _nodes(description):
    """All parts of a description that skops may take for an object."""
    stack = [description]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "__id__" in value or isinstance(value.get("__loader__"), str):
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _check_description(description, archive):
    """Refuse what skops would read without an end, without a check, or into foreign memory."""
    if description.get("trisk_format") != _FORMAT or description["protocol"] < 2:
        raise ValueError("it was written by another version of trisk, or not by trisk.save")
    objects: dict[int, dict] = {}
    files: dict[str, int] = {}
    for node in _nodes(description):
        if node["__loader__"] not in _LOADERS:
            raise ValueError(f"it holds a {node['__loader__']}, which trisk does not load")
        # One object or array in many places would multiply the size of the file.
        number = node.get("__id__")
        if number is not None and objects.setdefault(number, node) != node:
            raise ValueError(f"it describes the object {number} in two ways")
        if "file" in node and (number is None or files.setdefault(node["file"], number) != number):
            raise ValueError(f"two objects share {node['file']}")
        if node["__loader__"] == "TreeNode":
            _, n_classes, n_outputs = node["__reduce__"]["args"]["content"]
            array = np.load(io.BytesIO(archive.read(n_classes["file"])), allow_pickle=False)
            if array.shape != (json.loads(n_outputs["content"]),):
                raise ValueError("the classes of a decision tree do not fit its outputs")


def _parts(model):
    """All objects of trisk and scikit-learn that a model consists of."""
    seen, stack = set(), [model]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list | tuple | set):
            stack.extend(value)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            stack.extend(value.flat)
        elif type(value).__module__.startswith(("trisk.", "sklearn.")):
            yield value
            attributes = getattr(value, "__dict__", {}).items()
            stack.extend(v for name, v in attributes if name != "nets_")  # stored as plain arrays


def _foreign_objects(model):
    """Say where a model holds objects of other packages."""
    own = {"builtins", "numpy", "sklearn", "trisk"}
    for part in _parts(model):
        for name, value in getattr(part, "__dict__", {}).items():
            if type(value).__module__.split(".")[0] not in own:
                kind = f"{type(value).__module__}.{type(value).__name__}"
                yield f"{type(part).__name__}.{name} is a {kind}"


@functools.cache
def _defaults(cls):
    """Defaults of the parameters of an estimator that files do not set."""
    if not hasattr(cls, "get_params"):
        return {}
    parameters = inspect.signature(cls).parameters.items()
    return {k: p.default for k, p in parameters if k in RUN_PARAMETERS | _SOURCE_PARAMETERS}


def _is_path(name, value):
    """Whether a parameter's value is a path, and not the name of what comes with a package."""
    if not isinstance(value, str):
        return False
    if name == "backbone":
        from trisk.nn import BACKBONES, POTENTIALS

        return value not in {*BACKBONES, *POTENTIALS}
    if name == "vectors":
        from trisk.featurizers.composition.pretrained import table_names

        return value not in table_names()
    return value not in ("auto", "default", "molecules", "uniform", "distance")


def _check_part(part):
    """Refuse functions that are not pure, and arrays that lead compiled code astray."""
    columns, fits = getattr(part, "n_features_in_", 0), True
    if type(part).__name__ == "FunctionTransformer":
        functions = {getattr(f, "func", f) for f in (part.func, part.inverse_func)}
        names = {f.__name__ for f in functions if not isinstance(f, np.ufunc | None)}
        fits = names <= {"check_array"}  # of histogram gradient boosting
    elif hasattr(part, "tree_"):
        left, right = part.tree_.children_left, part.tree_.children_right
        fits = _is_tree(left != -1, left, right, part.tree_.feature, columns)
        fits = fits and part.tree_.n_features == columns
    elif hasattr(part, "_predictors"):
        fits = _fits_predictors(part, columns)
    elif any(cls.__module__.startswith("sklearn.ensemble.") for cls in type(part).__mro__):
        members = getattr(part, "estimators_", [])
        members = members.ravel() if isinstance(members, np.ndarray) else members
        subsets = getattr(part, "estimators_features_", [range(columns)] * len(members))
        n_outputs = getattr(part, "n_trees_per_iteration_", None)
        fits = n_outputs is None or part.estimators_.shape[1:] == (n_outputs,)
        for member, subset in zip(members, subsets, strict=True):
            fits = fits and (not hasattr(member, "tree_") or member.n_features_in_ == len(subset))
    elif hasattr(part, "_n_support"):
        fits = _fits_support_vectors(part, columns)
    elif hasattr(part, "bsplines_"):
        fits = all(s.k >= 0 and s.k + 1 < len(s.t) <= len(s.c) + s.k + 1 for s in part.bsplines_)
    elif getattr(part, "_fit_method", None) in ("kd_tree", "ball_tree"):
        from sklearn import neighbors

        kind = neighbors.KDTree if part._fit_method == "kd_tree" else neighbors.BallTree
        metric = {"metric": part.effective_metric_, **part.effective_metric_params_}
        part._tree = kind(part._fit_X, part.leaf_size, **metric)
    if not fits:
        raise ValueError(f"a {type(part).__name__} in it is not as fitting leaves one")


def _fits_support_vectors(part, columns):
    """Whether the arrays of a support vector machine are of the sizes that libsvm reads."""
    n, n_classes = len(part.support_), len(part._n_support)
    n_pairs = n_classes * (n_classes - 1) // 2
    precomputed = part.kernel == "precomputed"
    return (
        part.support_vectors_.shape == ((0, 0) if precomputed else (n, columns))
        and part._dual_coef_.shape == (n_classes - 1, n)
        and part._n_support.min() >= 0
        and part._n_support.sum() == n * (1 if hasattr(part, "classes_") else n_classes)
        and len(part._intercept_) == n_pairs
        and {len(part._probA), len(part._probB)} <= {0, n_pairs}
        and not (precomputed and not (0 <= part.support_.min() <= part.support_.max() < columns))
    )


def _fits_predictors(part, columns):
    """Whether the trees of histogram gradient boosting are trees."""
    categorical = part._bin_mapper.is_categorical_
    for tree in itertools.chain(*part._predictors):
        nodes, masks = tree.nodes, tree.raw_left_cat_bitsets
        inner = nodes["is_leaf"] == 0
        if not _is_tree(inner, nodes["left"], nodes["right"], nodes["feature_idx"], columns):
            return False
        split = nodes[inner & (nodes["is_categorical"] == 1)]
        known = categorical[split["feature_idx"]].all() and masks.shape[1] == 8
        if not known or (split["bitset_idx"] >= len(masks)).any():
            return False
    return len(categorical) == columns


def _is_tree(inner, left, right, feature, columns):
    """Whether every inner node asks for a column that exists and leads to later nodes."""
    later = np.flatnonzero(inner) + 1
    bounds = [(later, left, len(inner)), (later, right, len(inner)), (0, feature, columns)]
    inside = [((low <= v[inner]) & (v[inner] < high)).all() for low, v, high in bounds]
    return len(inner) > 0 and all(inside)

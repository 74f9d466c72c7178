"""Every public object says what it does, in numpydoc's form; every example runs."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import trisk

# numpydoc's codes that do not apply here, and why.
_IGNORED = {
    "ES01": "an extended summary is for what the summary leaves unsaid",
    "EX01": "examples stand at what a user starts with, not at every method",
    "RT02": "results have names, which say what they are",
    "SA01": "See Also is for objects that a reader could confuse",
}
# Methods of torch modules: the class's Notes give the shapes that forward takes and returns.
_IGNORED_IN_NETWORKS = {"PR01", "RT01"}
_SUBMODULES = [name for name in trisk.__all__ if inspect.ismodule(getattr(trisk, name))]


def _public_objects():
    """Public classes and functions with their qualified names, without repetitions."""
    modules = [trisk, *(getattr(trisk, name) for name in _SUBMODULES)]
    seen = {}
    for module in modules:
        for name in getattr(module, "__all__", ()):
            obj = getattr(module, name)
            if inspect.ismodule(obj):
                continue
            if inspect.isclass(obj) or inspect.isfunction(obj):
                seen[f"{obj.__module__}.{obj.__qualname__}"] = obj
    return seen


def _shown(cls, member):
    """What of a class its pages show: an override without a docstring has that of its base."""
    found = [vars(base)[member] for base in cls.__mro__ if member in vars(base)]
    return inspect.unwrap(next((value for value in found if value.__doc__), found[0]))


def _documented_names():
    """Public objects and the public methods that they define or inherit from trisk."""
    names = set()
    for qualified, obj in _public_objects().items():
        names.add(qualified)
        for member in dir(obj) if inspect.isclass(obj) else ():
            value = _shown(obj, member) if not member.startswith("_") else None
            if inspect.isfunction(value) and value.__module__.startswith("trisk."):
                names.add(f"{value.__module__}.{value.__qualname__}")
            elif isinstance(value, property):
                names.add(f"{value.fget.__module__}.{value.fget.__qualname__}")
    return sorted(names)


def _modules():
    found = pkgutil.walk_packages(trisk.__path__, "trisk.")
    return ["trisk", *(m.name for m in found if ".data." not in m.name and m.name != "__main__")]


@pytest.mark.parametrize("name", _documented_names())
def test_docstring_is_complete(name):
    ignored = set(_IGNORED)
    if name.startswith("trisk.nn."):
        ignored |= _IGNORED_IN_NETWORKS
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"] if code not in ignored]
    assert errors == []


def test_the_list_of_documented_objects_is_not_empty():
    names = _documented_names()
    assert len(names) > 60
    assert any(name.endswith("NetworkEstimator.fit") for name in names)
    assert any(name.endswith("TableFeaturizer.transform") for name in names)


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


@pytest.mark.parametrize("name", [n for n in trisk.__all__ if n not in _SUBMODULES])
def test_first_names_of_a_user_have_an_example(name):
    if name in ("save", "load", "load_matbench", "ParityDisplay"):
        pytest.skip("needs a file, a data set or a display")
    assert ">>>" in inspect.getdoc(getattr(trisk, name))

"""What of the public classes the API reference shows, and under which names it is found."""

import importlib
import inspect
import re
from pathlib import Path

import trisk

#: Order of the gallery: what a newcomer does first comes first.
EXAMPLES = (
    "band_gaps",
    "process_variables",
    "uncertainty",
    "intervals",
    "crystal_graphs",
    "crystal_systems",
    "few_labelled_crystals",
    "similar_structures",
    "potential",
    "potential_sensors",
    "dask_folds",
)
#: Modules whose names are public, those that users import from first.
MODULES = (
    "estimators",
    "featurizers",
    "model_selection",
    "datasets",
    "plotting",
    "structures",
    "testing",
    "persistence",
    "pipelines",
)


def gallery_order(filename):
    """Position of an example in the gallery; new ones come last."""
    name = filename.removesuffix(".py")
    return (EXAMPLES.index(name) if name in EXAMPLES else len(EXAMPLES), name)


def gallery_arguments(gallery_conf, script_vars):
    """Arguments of an example: a folder for the one that writes files."""
    folder = Path(__file__).parents[1] / "_build" / "demo"
    return [str(folder)] if Path(script_vars["src_file"]).stem == "band_gaps" else []


def public_names():
    """Full names of all that is public, by its last part."""
    names = {}
    for module in MODULES:
        content = importlib.import_module(f"trisk.{module}")
        for name in getattr(content, "__all__", set(dir(content)) & set(trisk.__all__)):
            names.setdefault(name, f"trisk.{module}.{name}")
    return names


def _skip_foreign(app, what, name, obj, skip, options):
    """Leave out what classes inherit from scikit-learn, which documents it."""
    if what != "class" or name.startswith("_"):
        return skip
    if isinstance(obj, property):
        obj = obj.fget
    module = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", "") or ""
    is_request = name.startswith("set_") and name.endswith("_request")
    return skip or is_request or not module.startswith("trisk")


def _escape(app, what, name, obj, options, lines):
    """Keep apart what numpydoc passes on as it stands, and what reStructuredText has a meaning for.

    Names that end in "_" are no links, bars no substitutions, and patterns of files no emphasis.
    """
    for number, line in enumerate(lines):
        if ">>>" in line or "``" in line:
            continue
        line = re.sub(r"(?<![\w`])(\w*\w)_(?=[,)…])", r"\1\\_", line)
        line = re.sub(r"(?<=\s)\|(\w+)\|", r"\\|\1\\|", line)
        lines[number] = re.sub(
            r'(?<=default=")[^"]*', lambda match: match[0].replace("*", r"\*"), line
        )


def _resolve_alias(app, env, node, contnode):
    """Find what a docstring names by another path or by its last part."""
    if node.get("refdomain") != "py" or not hasattr(app, "public_names"):
        return None
    *path, last = node["reftarget"].split(".")
    names = app.public_names
    target = names.get(last)
    if path and path[0] != "trisk" and path[-1] not in names:
        return None
    if path and path[-1] in names:  # a method of a class
        target = f"{names[path[-1]]}.{last}"
    if target is None or target == node["reftarget"]:
        return None
    domain = env.domains.python_domain
    docname = node.get("refdoc", env.current_document.docname)
    return domain.resolve_xref(env, docname, app.builder, "obj", target, node, contnode)


def _collect(app):
    app.public_names = public_names()


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", _collect)
    app.connect("autodoc-process-docstring", _escape, priority=600)
    app.connect("autodoc-skip-member", _skip_foreign)
    app.connect("missing-reference", _resolve_alias)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

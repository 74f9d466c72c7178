"""Inventories of other projects' documentation, made of the names that are used here.

Sphinx would otherwise download them at every build. A name that is not in ``external.toml`` is a
warning, and so an error of the build.
"""

import tomllib
import zlib
from pathlib import Path

_HEADER = "# Sphinx inventory version 2\n# Project: {}\n# Version:\n# The rest is zlib.\n"
_ROLES = {"classes": "class", "functions": "function"}


def write_inventories(folder):
    """Write an inventory for every project and return what intersphinx wants to know."""
    content = (Path(__file__).parent / "external.toml").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, entry in tomllib.loads(content).items():
        names = {
            f"py:{role} {name}": entry["page"]
            for key, role in _ROLES.items()
            for name in entry.get(key, ())
        } | entry.get("names", {})
        lines = []
        for key, page in names.items():
            role, name = key.split()
            anchor = "" if "#" in page or role == "py:module" else "#$"
            lines.append(f"{name} {role} 1 {page.replace('$', name)}{anchor} -\n")
        path = folder / f"{project}.inv"
        text = zlib.compress("".join(sorted(lines)).encode())
        path.write_bytes(_HEADER.format(project).encode() + text)
        mapping[project] = (entry["url"], str(path))
    return mapping

"""The element tables that ship, against the libraries they were taken from."""

import importlib.util
from pathlib import Path

import pytest

import trisk.featurizers

_FOLDER = Path(trisk.featurizers.__file__).parent / "data"
_TABLES = (
    "descriptor_elements.csv",
    "oxidation_states.csv",
    "atomic_orbital_energies.csv",
    "mixing_enthalpies.csv",
)


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory):
    """Folder into which the script has written the tables anew."""
    folder = tmp_path_factory.mktemp("tables")
    script = folder / "make_descriptor_tables.py"
    script.write_text((_FOLDER / script.name).read_text("utf-8"), "utf-8")
    spec = importlib.util.spec_from_file_location("make_descriptor_tables", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    return folder


@pytest.mark.parametrize("filename", _TABLES)
def test_table__written_anew__is_unchanged(rewritten, filename):
    assert (rewritten / filename).read_text("utf-8") == (_FOLDER / filename).read_text("utf-8")

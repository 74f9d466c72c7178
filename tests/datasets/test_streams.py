"""Structures from a folder, an ASE database and LeMat-Bulk in its own format."""

import numpy as np
import pytest
from ase.build import bulk
from ase.db import connect
from pymatgen.core import Structure

from trisk.datasets import (
    DatasetNotFoundError,
    stream_ase_database,
    stream_files,
    stream_lemat_bulk,
)
from trisk.estimators import TriForcesOptions, TriForcesPretrainer
from trisk.testing import make_structures

SMALL = TriForcesOptions(hidden_dim=8, n_layers=1, cutoff=4.0)
CARD = """---
configs:
- config_name: compatible_pbe
  data_files:
  - split: train
    path: compatible_pbe/train-*
- config_name: compatible_scan
  data_files:
  - split: train
    path: compatible_scan/train-*
---
"""


@pytest.fixture(scope="module")
def structures():
    return make_structures(6, random_state=0)[0]


def _embed(structures):
    pretrainer = TriForcesPretrainer(network=SMALL, max_epochs=1, random_state=0)
    return pretrainer.fit(structures).transform([bulk("Cu")]).to_numpy()


def test_folder_of_files(structures, tmp_path):
    for number, structure in enumerate(structures):
        folder = tmp_path / f"part {number % 2}"
        folder.mkdir(exist_ok=True)
        structure.to(str(folder / f"{number}.cif"))
    found = list(stream_files(tmp_path))
    assert [s.properties["file"][-5:] for s in found] == [f"{i}.cif" for i in (0, 2, 4, 1, 3, 5)]
    assert found[1].composition == structures[2].composition
    assert len(list(stream_files(tmp_path, limit=2))) == 2
    np.testing.assert_allclose(_embed(stream_files(tmp_path)), _embed(found))
    (tmp_path / "broken.cif").write_text("nothing")
    with pytest.raises(ValueError, match=r"broken\.cif' is no structure file"):
        list(stream_files(tmp_path))
    with pytest.raises(DatasetNotFoundError, match=r"no file '\*\*/\*\.vasp' in"):
        stream_files(tmp_path, "**/*.vasp")


def test_ase_database(structures, tmp_path):
    path = tmp_path / "crystals.db"
    with connect(path) as database:
        for structure in structures:
            database.write(structure.to_ase_atoms())
    found = list(stream_ase_database(path))
    assert [len(atoms) for atoms in found] == [len(s) for s in structures]
    assert all(len(atoms) == 3 for atoms in stream_ase_database(path, "natoms=3"))
    assert len(list(stream_ase_database(path, limit=2))) == 2
    np.testing.assert_allclose(_embed(stream_ase_database(path)), _embed(structures), atol=1e-4)
    with pytest.raises(DatasetNotFoundError, match="no database"):
        stream_ase_database(tmp_path / "none.db")


def test_lemat_bulk_streams_through_the_real_loader(structures, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "LeMat-Bulk"
    (copy / "compatible_pbe").mkdir(parents=True)
    (copy / "README.md").write_text(CARD)
    for part in range(2):
        rows = [_lemat_row(i, structures[i]) for i in range(3 * part, 3 * part + 3)]
        name = f"train-{part:05d}-of-00002.parquet"
        parquet.write_table(arrow.Table.from_pylist(rows), copy / "compatible_pbe" / name)
    found = list(stream_lemat_bulk(copy))
    assert [atoms.info["id"] for atoms in found] == [f"agm{i:09d}" for i in range(6)]
    for atoms, structure in zip(found, structures, strict=True):
        np.testing.assert_array_equal(atoms.numbers, structure.atomic_numbers)
        np.testing.assert_allclose(atoms.positions, structure.cart_coords)
    assert len(list(stream_lemat_bulk(copy, limit=4))) == 4
    np.testing.assert_allclose(_embed(stream_lemat_bulk(copy)), _embed(structures), atol=1e-4)


def _lemat_row(number, structure: Structure):
    """One row with the columns that LeMat-Bulk has."""
    composition = structure.composition
    return {
        "elements": sorted(e.symbol for e in composition),
        "nsites": len(structure),
        "chemical_formula_anonymous": composition.anonymized_formula,
        "chemical_formula_reduced": composition.reduced_formula,
        "chemical_formula_descriptive": composition.formula,
        "nelements": len(composition),
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "immutable_id": f"agm{number:09d}",
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "species": "[]",
        "species_at_sites": [site.specie.symbol for site in structure],
        "last_modified": "2024-11-01",
        "elements_ratios": [composition.get_atomic_fraction(e) for e in composition],
        "stress_tensor": None,
        "energy": -1.0,
        "magnetic_moments": [0.0] * len(structure),
        "forces": np.zeros((len(structure), 3)).tolist(),
        "total_magnetization": 0.0,
        "dos_ef": 0.0,
        "functional": "pbe",
        "cross_compatibility": True,
        "entalpic_fingerprint": "",
    }

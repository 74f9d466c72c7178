"""Structures from a folder, an ASE database and LeMat-Bulk in its own format."""

import numpy as np
import pytest
from ase.build import bulk
from ase.db import connect
from pymatgen.core import Structure

from trisk.datasets import stream_lemat_bulk
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
        structure.to(str(tmp_path / f"{number}.cif"))
    files = sorted(tmp_path.rglob("*.cif"))
    found = [Structure.from_file(file) for file in files]
    np.testing.assert_allclose(_embed(iter(files)), _embed(found), atol=1e-4)
    (tmp_path / "broken.cif").write_text("nothing")
    with pytest.raises(ValueError, match=r"row 6: .*broken\.cif"):
        _embed([*files, tmp_path / "broken.cif"])


def test_ase_database(structures, tmp_path):
    path = tmp_path / "crystals.db"
    with connect(path) as database:
        for structure in structures:
            database.write(structure.to_ase_atoms())
        np.testing.assert_allclose(_embed(database.select()), _embed(structures), atol=1e-4)


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

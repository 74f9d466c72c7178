"""The prototypes that come with pymatgen."""

import pytest
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

import trisk
from trisk.datasets import DatasetNotFoundError, load_prototypes


def test_load_prototypes__structures_and_crystal_systems():
    X, y = load_prototypes()
    assert len(X) == len(y) == 288
    assert X.name == "structure"
    assert y.attrs == {"quantity": "crystal system", "unit": None}
    assert set(y) == {
        "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
    }  # fmt: skip
    assert all(structure.is_ordered for structure in X)


# pymatgen calls spglib as spglib no longer likes.
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_load_prototypes__labels_agree_with_the_structures():
    frame = load_prototypes(as_frame=True)
    small = frame[frame["structure"].map(len) <= 8]
    found = [SpacegroupAnalyzer(structure, symprec=0.01) for structure in small["structure"]]
    assert [a.get_crystal_system() for a in found] == small["crystal_system"].tolist()
    assert sum([a.get_space_group_number() for a in found] != small["space_group"]) <= 3
    assert not frame[["aflow", "pearson", "crystal_system"]].isin(["", "None"]).any().any()


def test_load_prototypes__other_pymatgen__says_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetNotFoundError, match="install pymatgen"):
        load_prototypes()


def test_load_prototypes__makes_graphs():
    X, _ = trisk.load_prototypes()
    graphs = trisk.CrystalGraphFeaturizer().fit_transform(X)
    assert (graphs.counts("angle") > 0).all()

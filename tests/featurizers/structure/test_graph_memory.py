"""Graphs and files that are kept on disk by content."""

import pytest
from crystals import CRYSTALS, build, equal_graphs
from sklearn.base import clone

from trisk.featurizers import CrystalGraphFeaturizer


def test_memory__second_run_and_other_folds__compute_nothing(tmp_path, monkeypatch):
    crystals = list(CRYSTALS.values())
    featurizer = CrystalGraphFeaturizer(memory=tmp_path / "cache")
    first = featurizer.fit_transform(crystals)
    equal_graphs(first, CrystalGraphFeaturizer().fit_transform(crystals))

    monkeypatch.setattr("trisk.featurizers.structure._crystal_graph.build_graphs", None)
    equal_graphs(featurizer.transform(crystals), first)
    equal_graphs(clone(featurizer).fit_transform(crystals[::-1]), first[::-1])
    equal_graphs(featurizer.transform([crystals[1], crystals[1]]), first[[1, 1]])


def test_memory__some_known__computes_the_rest(tmp_path):
    crystals = list(CRYSTALS.values())
    featurizer = CrystalGraphFeaturizer(memory=str(tmp_path))
    featurizer.fit_transform(crystals[1:3])
    equal_graphs(featurizer.transform(crystals), CrystalGraphFeaturizer().fit_transform(crystals))


@pytest.mark.parametrize(
    "other",
    [{"order": 2}, {"n_neighbors": 8}, {"cutoff": 4.0}, {"physics": False},
     {"n_angle_neighbors": 6}, {"n_dihedral_neighbors": 6}],
)  # fmt: skip
def test_memory__other_parameters__are_kept_apart(tmp_path, other):
    crystals = list(CRYSTALS.values())
    build(crystals, memory=tmp_path)
    equal_graphs(build(crystals, memory=tmp_path, **other), build(crystals, **other))


def test_memory__moved_atom__is_another_structure(tmp_path):
    crystal = CRYSTALS["quartz"]
    moved = crystal.copy().translate_sites([0], [1e-6, 0, 0])
    build([crystal], memory=tmp_path)
    equal_graphs(build([moved], memory=tmp_path), build([moved]))


def test_memory__files__are_read_once(tmp_path, monkeypatch):
    paths = []
    for name, crystal in CRYSTALS.items():
        paths.append(tmp_path / f"{name}.cif")
        crystal.to(filename=str(paths[-1]), fmt="cif")
    values = [*map(str, paths), paths[0].read_text(encoding="utf-8"), "no file.cif"]
    featurizer = CrystalGraphFeaturizer(memory=tmp_path / "cache", on_error="nan").fit(values)
    with pytest.warns(UserWarning, match="1 of 6 rows"):
        first = featurizer.transform(values)
    equal_graphs(first[:4], CrystalGraphFeaturizer().fit_transform(paths))

    monkeypatch.setattr("pymatgen.core.Structure.from_file", None)
    monkeypatch.setattr("pymatgen.core.Structure.from_str", None)
    with pytest.warns(UserWarning, match="1 of 6 rows"):
        equal_graphs(featurizer.transform(values), first)
    assert featurizer.errors_["row"].tolist() == [5]


def test_memory__file_with_other_content__is_read_again(tmp_path):
    path = tmp_path / "crystal.cif"
    featurizer = CrystalGraphFeaturizer(memory=tmp_path)
    for crystal in (CRYSTALS["quartz"], CRYSTALS["silicon"]):
        crystal.to(filename=str(path), fmt="cif")
        graphs = featurizer.fit_transform([path])
        assert graphs.counts("atom")[0] == len(crystal)

"""PotentialEmbedder: descriptors, their cache, and where they stand in pipelines."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline, make_union

import trisk
from trisk.featurizers import FeaturizationError, PotentialEmbedder, SpringModelFeaturizer
from trisk.nn import EquivariantBackbone, load_potential, to_batch
from trisk.structures import connect

CRYSTALS = [
    bulk("MgO", "rocksalt", a=4.21),
    bulk("NaCl", "rocksalt", a=5.64),
    bulk("Si"),
    bulk("Ti"),
]


@pytest.fixture(scope="module")
def small():
    """A backbone that costs nothing, with weights of its own."""
    return EquivariantBackbone(4.0, 8, 1)


def test_columns_are_statistics_of_the_atoms_and_have_names(small):
    embedder = PotentialEmbedder(small).fit(CRYSTALS)
    columns = embedder.transform(pd.Series(CRYSTALS, index=list("abcd")))
    assert columns.index.tolist() == list("abcd")
    assert columns.columns[0] == "EquivariantBackbone mean 0"
    assert columns.shape == (4, 24) == (4, embedder.n_features_out_)
    of_atoms = PotentialEmbedder(small, level="atom").fit_transform(CRYSTALS)
    assert of_atoms.index.names == ["structure", "atom"]
    assert of_atoms.shape == (8, 8)
    of_salt = of_atoms.loc[1]
    expected = np.concatenate([of_salt.mean(), of_salt.min(), of_salt.max()])
    np.testing.assert_allclose(columns.loc["b"], expected, rtol=1e-12)


def test_a_row_depends_on_nothing_else(small):
    embedder = PotentialEmbedder(small).fit(CRYSTALS)
    together = embedder.transform(CRYSTALS)
    alone = pd.concat([embedder.transform([crystal]) for crystal in CRYSTALS])
    np.testing.assert_allclose(alone, together, atol=1e-12)
    large = embedder.transform([CRYSTALS[0].repeat((1, 2, 1))])
    np.testing.assert_allclose(large, together[:1], atol=1e-12)


def test_keeps_descriptors_by_structure_and_weights(small, tmp_path):
    embedder = PotentialEmbedder(small, memory=tmp_path).fit(CRYSTALS)
    expected = embedder.transform(CRYSTALS)
    assert len(list(tmp_path.rglob("*.record"))) == 4
    forward, small.forward = small.forward, None
    try:
        pd.testing.assert_frame_equal(
            embedder.transform(CRYSTALS[::-1]), expected[::-1].set_axis(range(4))
        )
        with pytest.raises(TypeError, match="not callable"):
            embedder.transform([bulk("Cu")])
    finally:
        small.forward = forward
    PotentialEmbedder(EquivariantBackbone(4.0, 8, 1), memory=tmp_path).fit_transform(CRYSTALS)
    PotentialEmbedder(small, memory=tmp_path, level="atom").fit_transform(CRYSTALS)
    assert len(list(tmp_path.rglob("*.record"))) == 12


def test_stands_in_pipelines_and_beside_other_columns(small):
    columns = make_union(PotentialEmbedder(small), SpringModelFeaturizer())
    model = make_pipeline(columns, ExtraTreesRegressor(5, random_state=0))
    y = [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(model.fit(CRYSTALS, y).predict(CRYSTALS), y)
    names = model[0].get_feature_names_out()
    assert names[0] == "potentialembedder__EquivariantBackbone mean 0"
    assert len(set(names)) == len(names)


def test_chgnet_by_name_by_object_and_from_a_file(tmp_path):
    chgnet = pytest.importorskip("chgnet.model")
    embedder = PotentialEmbedder("chgnet", level="atom").fit(CRYSTALS)
    columns = embedder.transform(CRYSTALS)
    assert columns.columns[255] == "chgnet 255"
    graphs = connect(CRYSTALS, 6.0)
    scalars = load_potential("chgnet")(to_batch(graphs))[0].detach().numpy()
    np.testing.assert_allclose(columns, scalars, atol=1e-3, rtol=1e-3)
    calculator = chgnet.CHGNetCalculator(use_device="cpu")
    same = PotentialEmbedder(calculator, level="atom").fit(CRYSTALS)
    np.testing.assert_array_equal(same.transform(CRYSTALS), columns)
    assert same.get_feature_names_out()[0] == "CHGNet 0"
    model = make_pipeline(clone(same).set_params(level="structure"), Ridge()).fit(
        CRYSTALS, [1, 2, 3, 4]
    )
    trisk.save(model, tmp_path / "model.trisk")
    for again in (trisk.load(tmp_path / "model.trisk"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(again.predict(CRYSTALS), model.predict(CRYSTALS), rtol=1e-9)


def test_names_the_rows_that_it_cannot_embed():
    pytest.importorskip("chgnet")
    strange = Atoms("Cm2", positions=[[0, 0, 0], [0, 0, 3]], cell=5 * np.eye(3), pbc=True)
    rows = [CRYSTALS[0], strange, "no structure"]
    with pytest.raises(FeaturizationError, match="does not know the element Cm") as caught:
        PotentialEmbedder("chgnet").fit(rows).transform(rows)
    assert [error.row for error in caught.value.errors] == [1, 2]
    lenient = PotentialEmbedder("chgnet", on_error="nan").fit(rows)
    with pytest.warns(UserWarning, match="2 of 3 rows hold NaN"):
        columns = lenient.transform(rows)
    assert columns.isna().all(axis=1).tolist() == [False, True, True]
    assert lenient.set_params(level="atom").fit(rows).explain_errors(rows).row.tolist() == [1, 2]


@pytest.mark.parametrize(("level", "n_rows"), [("atom", 0), ("structure", 1)])
def test_nothing_that_can_be_read__gives_the_same_columns(level, n_rows):
    pytest.importorskip("chgnet")
    embedder = PotentialEmbedder("chgnet", level=level, on_error="nan").fit(CRYSTALS)
    with pytest.warns(UserWarning, match="1 of 1 rows hold NaN"):
        columns = embedder.transform(["no structure"])
    whole = embedder.transform(CRYSTALS[:1])
    assert len(columns) == n_rows
    assert columns.isna().all(axis=None)
    assert columns.columns.equals(whole.columns)
    assert columns.index.names == whole.index.names
    assert columns.index.to_frame().dtypes.tolist() == whole.index.to_frame().dtypes.tolist()


def test_says_what_it_takes():
    with pytest.raises(FileNotFoundError, match="neither a file nor the name"):
        PotentialEmbedder("chgnte").fit(CRYSTALS)

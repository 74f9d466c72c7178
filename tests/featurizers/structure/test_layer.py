"""Single layers: known geometry, all that must not change it, what is no layer, as a citizen."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, graphene, mx2
from sklearn.base import clone

import trisk
from trisk.featurizers import CrystalGraphFeaturizer, FeaturizationError, LayerFeaturizer

SULFIDE = mx2("MoS2", a=3.18, thickness=3.19, vacuum=8.0)
SULFIDE.pbc = True


def janus():
    """A layer with unlike faces in a skewed cell, which runs over the cell's border."""
    atoms = mx2("MoS2", a=3.3, thickness=3.3, vacuum=7.0)
    atoms.symbols[-1] = "Se"
    atoms.positions[-1, 2] -= 0.2
    atoms.set_cell([*atoms.cell[:2], atoms.cell[2] + 0.7 * atoms.cell[0]])
    atoms.pbc = True
    atoms.positions += [0.3, 0.2, -6.5]
    atoms.wrap()
    return atoms


def columns_of(atoms, **settings):
    X = LayerFeaturizer(**settings).fit_transform([atoms])
    return {name.removeprefix("Layer "): X.iloc[0][name] for name in X}


def test_columns__molybdenum_sulfide__are_those_of_its_geometry():
    columns = columns_of(SULFIDE)
    area = 3.18**2 * np.sqrt(3) / 2
    assert columns["area per atom (A2)"] == pytest.approx(area / 3)
    assert columns["thickness (A)"] == pytest.approx(3.19)
    assert columns["mass per area (u/A2)"] == pytest.approx((95.94 + 2 * 32.065) / area, rel=1e-3)
    assert columns["atomic planes"] == 3
    assert columns["sparser face atoms per area (1/A2)"] == pytest.approx(1 / area)
    assert columns["higher face electronegativity"] == pytest.approx(2.58)
    assert columns["faces minus layer group"] == pytest.approx(16 - (16 + 16 + 6) / 3)
    assert columns["outward correlation of electronegativity"] == pytest.approx(1)
    assert columns["lower face coordination number"] == 3
    bond = np.hypot(3.18 / np.sqrt(3), 3.19 / 2)
    assert columns["highest nearest neighbour (A)"] == pytest.approx(bond)


def test_faces__of_a_janus_layer__differ():
    columns = columns_of(janus())
    assert columns["lower face electronegativity"] == pytest.approx(2.55)
    assert columns["higher face electronegativity"] == pytest.approx(2.58)
    assert columns["lower face period"] == 3
    assert columns["higher face period"] == 4
    assert columns["thickness (A)"] == pytest.approx(3.5)


@pytest.mark.parametrize("atoms", [SULFIDE, SULFIDE.repeat((2, 1, 1)), janus()])
def test_columns__depend_on_nothing_but_the_layer(atoms):
    before = columns_of(atoms)
    rng = np.random.default_rng(0)
    moved = atoms.copy()
    moved.positions += rng.uniform(-9, 9, 3)
    turned = atoms.repeat((2, 3, 1))[rng.permutation(6 * len(atoms))]
    turned.rotate(77, (1, 2, 3), rotate_cell=True)
    sideways = atoms.copy()
    sideways.set_cell(atoms.cell[[2, 0, 1]])
    for other in (moved, turned, sideways):
        after = columns_of(other)
        np.testing.assert_allclose(
            list(after.values()), list(before.values()), rtol=1e-6, atol=1e-6
        )


def test_directions_that_do_not_repeat__are_vacuum():
    sheet = graphene(vacuum=6.0)
    before = columns_of(sheet)
    sheet.pbc = True
    assert columns_of(sheet) == pytest.approx(before)
    sheet.pbc = [True, True, False]
    sheet.set_cell(sheet.cell[:] * [[1, 1, 1], [1, 1, 1], [1, 1, 0.1]])
    assert columns_of(sheet) == pytest.approx(before)


def test_no_layer__is_refused_or_nan():
    crystals = [SULFIDE, bulk("Si"), None]
    with pytest.raises(FeaturizationError, match=r"row 1: 'Si2': is no single layer: its widest"):
        LayerFeaturizer().fit_transform(crystals)
    featurizer = LayerFeaturizer(on_error="nan")
    with pytest.warns(UserWarning, match="2 of 3 rows hold NaN"):
        X = featurizer.fit_transform(crystals)
    assert X.isna().all(axis=1).tolist() == [False, True, True]
    assert columns_of(bulk("Si", cubic=True), min_vacuum=0)["atomic planes"] == 4
    wire = Atoms("C", cell=[12, 12, 2], pbc=[False, False, True])
    X = LayerFeaturizer(others="zero").fit_transform([SULFIDE, bulk("Si"), wire])
    assert X.to_numpy().any(axis=1).tolist() == [True, False, False]
    assert X.loc[0].tolist() == list(columns_of(SULFIDE).values())
    far_apart = Atoms("C2", [[0, 0, 0], [0, 0, 9]], cell=[8, 8, 40], pbc=True)
    with pytest.raises(FeaturizationError, match="has no neighbour within 6 Å"):
        LayerFeaturizer().fit_transform([far_apart])


def test_contract__names_index_clone_pickle_save_context(tmp_path):
    layers = pd.Series([SULFIDE, janus()], index=["a", "b"])
    featurizer = LayerFeaturizer(min_vacuum=4)
    X = featurizer.fit_transform(layers)
    assert X.index.tolist() == ["a", "b"]
    assert X.columns.tolist() == featurizer.get_feature_names_out().tolist()
    assert X.shape[1] == featurizer.n_features_out_ == X.columns.nunique()
    trisk.save(featurizer, tmp_path / "layers.trisk")
    for copy in (
        clone(featurizer).fit(layers),
        pickle.loads(pickle.dumps(featurizer)),
        trisk.load(tmp_path / "layers.trisk"),
    ):
        pd.testing.assert_frame_equal(copy.transform(layers), X)
    assert clone(featurizer).fit_transform([]).shape == (0, X.shape[1])
    graphs = CrystalGraphFeaturizer(composition=None, structure=featurizer).fit_transform(layers)
    np.testing.assert_allclose(graphs.context, X.astype(np.float32))

"""CrystalGraphs: a one-dimensional array of structures, by whatever it is split and joined."""

import pickle

import numpy as np
import pytest
from ase.build import bulk
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import trisk
from trisk.structures import CrystalGraphs, connect, read_structures
from trisk.structures.graphs import emptied

LEVELS = {"bond_atoms": "atom", "angle_bonds": "bond", "dihedral_angles": "angle"}


@pytest.fixture(scope="module")
def structures():
    return trisk.load_prototypes()[0][:24]


@pytest.fixture(scope="module")
def graphs(structures):
    return trisk.CrystalGraphFeaturizer().fit_transform(structures)


def rows_of(graphs):
    """Every structure's arrays, indices counted from the structure's own start."""
    rows = []
    for row in range(len(graphs)):
        start = {level: offsets[row] for level, offsets in graphs.offsets.items()}
        stop = {level: offsets[row + 1] for level, offsets in graphs.offsets.items()}
        row = {name: getattr(graphs, name)[row] for name in ("lattices", "pbc", "context")}
        for name, value in vars(graphs).items():
            if isinstance(value, np.ndarray) and name not in row:
                level = name.split("_")[0]
                level = "atom" if level in ("atomic", "positions") else level
                part = value[start[level] : stop[level]]
                row[name] = part - start[LEVELS[name]] if name in LEVELS else part
        rows.append(row)
    return rows


def assert_same(graphs, rows):
    found = rows_of(graphs)
    assert len(found) == len(rows)
    for a, b in zip(found, rows, strict=True):
        for name in b:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
            assert a[name].dtype == b[name].dtype


@pytest.mark.parametrize(
    "key",
    [slice(3, 7), slice(None, None, -2), [5, 0, 5], np.arange(24) % 3 == 0, -1, [], slice(2, 2)],
    ids=str,
)
def test_getitem__any_key__gives_the_structures_as_they_were(graphs, key):
    expected = np.array(rows_of(graphs), dtype=object)[key]
    part = graphs[key]
    assert_same(part, np.atleast_1d(expected).tolist())
    assert part.shape == (len(part),)
    assert part.names == graphs.names


def test_getitem__unknown_row__is_an_index_error(graphs):
    with pytest.raises(IndexError):
        graphs[24]


def test_concatenate__parts__gives_the_whole(graphs):
    whole = CrystalGraphs.concatenate([graphs[:5], graphs[5:5], graphs[5:6], graphs[6:]])
    assert_same(whole, rows_of(graphs))


def test_concatenate__other_columns__is_refused(graphs, structures):
    other = trisk.CrystalGraphFeaturizer(physics=False).fit_transform(structures[:2])
    with pytest.raises(ValueError, match="different columns"):
        CrystalGraphs.concatenate([graphs, other])


def test_pickle(graphs):
    assert_same(pickle.loads(pickle.dumps(graphs)), rows_of(graphs))


def test_scikit_learn__splits_graphs(graphs):
    y = np.arange(24)
    train, test, y_train, y_test = train_test_split(graphs, y, random_state=0)
    rows = np.array(rows_of(graphs), dtype=object)
    assert_same(train, rows[y_train].tolist())
    assert_same(test, rows[y_test].tolist())
    for train_rows, _ in KFold(3).split(graphs):
        assert len(graphs[train_rows]) == 16


def mean_atom_features(graphs):
    starts = graphs.offsets["atom"][:-1]
    return np.add.reduceat(graphs.atom_features, starts) / graphs.counts("atom")[:, None]


def test_pipeline__cross_validation__scores_what_it_should(structures):
    y = [structure.density for structure in structures]
    model = make_pipeline(
        trisk.CrystalGraphFeaturizer(composition=None),
        FunctionTransformer(mean_atom_features),
        Ridge(),
    )
    scores = cross_val_score(model, structures, y, cv=3, error_score="raise")
    graphs = trisk.CrystalGraphFeaturizer(composition=None).fit_transform(structures)
    expected = cross_val_score(Ridge(), mean_atom_features(graphs), y, cv=3)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_array__holds_one_batch_of_a_single_structure_per_row(graphs):
    array = np.asarray(graphs)
    assert array.shape == (24,)
    assert_same(CrystalGraphs.concatenate(array), rows_of(graphs))
    assert repr(graphs[:2]).startswith("<CrystalGraphs of 2 structures: ")


def test_emptied__keeps_the_other_rows_as_they_were(graphs):
    part = emptied(graphs, [0, 7, 23])
    assert np.flatnonzero(part.counts() == 0).tolist() == [0, 7, 23]
    assert np.isnan(part.lattices[7]).all()
    assert np.isnan(part.context[7]).all()
    kept = np.setdiff1d(np.arange(24), [0, 7, 23])
    assert_same(part[kept], rows_of(graphs[kept]))


def test_connect__has_the_bonds_of_a_featurizer_without_a_number_of_neighbours(structures):
    settings = {"order": 1, "n_neighbors": None, "composition": None, "physics": False}
    expected = trisk.CrystalGraphFeaturizer(cutoff=5.0, **settings).fit_transform(structures)
    for X in (structures, expected):
        found = connect(X, 5.0)
        for name in ("bond_atoms", "bond_images", "bond_lengths", "atomic_numbers", "pbc"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.atom_features.shape[1] == found.context.shape[1] == 0


def test_take__by_mask_and_from_the_end():
    crystals = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64), bulk("Mg")]
    graphs = connect(read_structures(crystals)[0], 3.0)
    assert graphs.take(np.array([False, True, False])).counts().tolist() == [2]
    assert graphs.take([-1]).atomic_numbers.tolist() == [12, 12]

import numpy as np
import pytest
from nested import make

from trisk.estimators import HybridTRIADSRegressor
from trisk.estimators.neighbors import NeighborDraws, _shares


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5))
    return X, X[:, :1] + rng.normal(scale=0.1, size=(80, 1))


def _draws(X, target, *, names=None, k=4):
    return NeighborDraws(X, target, np.ones(len(X)), names=names, n_neighbors=k)


def test_a_new_row_equal_to_a_training_row_gets_its_target_first(rows):
    X, target = rows
    nearest = _draws(X, target).columns.transform(X)[:, 0]
    np.testing.assert_allclose(nearest, target[:, 0], rtol=1e-6)


def test_a_training_row_never_sees_its_own_target(rows):
    X, target = rows
    before = _draws(X, target).draw(seed=3, epoch=0)
    for row in range(0, 80, 9):
        changed = target.copy()
        changed[row] += 1000
        after = _draws(X, changed).draw(seed=3, epoch=0)
        np.testing.assert_array_equal(after[row], before[row])


def test_hidden_rows_are_seen_by_nobody(rows):
    X, target = rows
    visible = np.arange(40)
    changed = target.copy()
    changed[40:] += 1000
    before = _draws(X, target).draw(seed=3, epoch=0, visible=visible)
    after = _draws(X, changed).draw(seed=3, epoch=0, visible=visible)
    np.testing.assert_array_equal(after, before)


def test_draws_repeat_with_seed_and_epoch_and_differ_otherwise(rows):
    draws = _draws(*rows)
    np.testing.assert_array_equal(draws.draw(1, 2), draws.draw(1, 2))
    assert not np.array_equal(draws.draw(1, 2), draws.draw(1, 3))
    assert not np.array_equal(draws.draw(1, 2), draws.draw(2, 2))


def test_each_block_of_names_is_searched_by_itself(rows):
    X, target = rows
    names = ["MagpieData x", "MagpieData y", "T", "ageing time", "ageing T"]
    both = _draws(X, target, names=names).columns
    first = _draws(X[:, :2], target).columns
    second = _draws(X[:, 2:], target).columns
    expected = np.hstack([first.transform(X[:9, :2]), second.transform(X[:9, 2:])])
    np.testing.assert_allclose(both.transform(X[:9]), expected, rtol=1e-6)


def test_many_rows_are_thinned(rows, monkeypatch):
    X, target = rows
    monkeypatch.setattr("trisk.estimators.neighbors._MAX_ROWS", 30)
    draws = _draws(X, target)
    assert len(draws.columns.rows) == 30
    assert draws.draw(0, 0).shape == (80, draws.columns.transform(X[:2]).shape[1])


def test_shuffled_targets_are_not_easier_to_fit_with_neighbours():
    # Two columns with many near-equal rows: columns that merely leave out a row's own target
    # would let the network work it out from the others.
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, size=(150, 2)).astype(float)
    y = rng.normal(size=150)
    loss = {}
    for k in (None, 8):
        model = make(
            HybridTRIADSRegressor,
            n_neighbors=k,
            n_members=2,
            max_epochs=60,
            hidden_dim=16,
            random_state=0,
            device="cpu",
        )
        loss[k] = model.fit(X, y).net_.history[-1]["train_loss"]
    assert loss[8] > 0.9 * loss[None]


def test_rows_at_one_distance_share_the_places_that_are_left():
    X = np.array([[0.0], [1.0], [-1.0], [1.0], [-5.0], [5.0], [-7.0], [7.0]])
    target = np.arange(8.0)[:, None]
    columns = _draws(X, target, k=2).columns
    # The nearest row counts whole, the three next ones a third each.
    distance, _ = columns._sort_all(columns.rows[:1], columns.blocks[0])
    share, _ = _shares(distance, np.ones(distance.shape, dtype=bool), 2)
    np.testing.assert_allclose(share[0, :4], [1, 1 / 3, 1 / 3, 1 / 3])
    order = np.random.default_rng(0).permutation(8)
    again = _draws(X[order], target[order], k=2).columns
    np.testing.assert_allclose(again.transform(X), columns.transform(X), rtol=1e-9)


def test_a_row_that_sees_no_other_does_not_see_itself():
    X = np.array([[0.0], [1.0], [3.0]])
    target = np.array([[10.0], [20.0], [30.0]])
    for seed in range(40):
        columns = _draws(X, target, k=1).draw(seed, 0)
        assert not np.isclose(columns[:, :1], target).any()

"""What the HybridTRIADS estimators promise beyond scikit-learn's contract."""

import numpy as np
import pandas as pd
import pytest
import torch
from nested import make
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.metrics import mean_absolute_error, recall_score
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from threadpoolctl import threadpool_limits

from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.featurizers import MagpieFeaturizer
from trisk.training.callbacks import DurationWarning

# One feature costs less than 132; these carry most of what Magpie knows about band gaps.
_COLUMNS = [
    "MagpieData mean Electronegativity",
    "MagpieData range Electronegativity",
    "MagpieData mean MeltingT",
    "MagpieData mean NpValence",
    "MagpieData avg_dev Row",
    "MagpieData mode GSbandgap",
]
# Members share nothing, but single-precision sums may be ordered differently in a batch of
# another size, and training multiplies such roundings.
_MEMBER_TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(scope="module")
def few_features(features):
    return features[_COLUMNS]


@pytest.fixture(scope="module")
def fitted(few_features, gaps, small):
    return make(HybridTRIADSRegressor, **small).fit(few_features, gaps)


def _parameters(model):
    return {n: p.detach().numpy() for n, p in model.net_.module_.named_parameters()}


def _assert_same_parameters(model, other):
    expected = _parameters(other)
    for name, value in _parameters(model).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


# ------------------------------------------------------------------------------- columns


def test_named_columns_become_property_tokens_and_context(steels_features, gaps, small):
    model = make(HybridTRIADSRegressor, n_attention_layers=1, attention_dim=8, **small)
    model.fit(steels_features, gaps)
    layout = model.layout_
    assert (layout.n_tokens, layout.token_width, layout.n_context) == (22, 6, 200)
    assert layout.n_rest > 0
    names = np.array(steels_features.columns)[model.columns_[:132]].reshape(22, 6)
    for token in names:
        statistics, properties = zip(*(n.split(" ", 2)[1:] for n in token), strict=True)
        assert len(set(properties)) == 1
        assert statistics == ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
    context = np.array(steels_features.columns)[model.columns_[132:332]]
    assert list(context) == [f"mat2vec {i}" for i in range(200)]
    assert np.isfinite(model.predict(steels_features)).all()


def test_columns_are_found_behind_the_prefix_of_a_column_transformer(formulas, gaps, small):
    table = pd.DataFrame({"formula": formulas})
    transformer = ColumnTransformer([("composition", MagpieFeaturizer(), "formula")])
    columns = transformer.set_output(transform="pandas").fit_transform(table)
    assert columns.columns[0].startswith("composition__MagpieData")
    model = make(HybridTRIADSRegressor, n_attention_layers=0, attention_dim=8, **small)
    assert model.fit(columns, gaps).layout_.n_tokens == 22


def test_order_of_named_columns_does_not_change_what_is_found(steels_features, gaps, small):
    model = make(HybridTRIADSRegressor, n_attention_layers=0, attention_dim=8, **small)
    shuffled = steels_features.sample(frac=1, axis=1, random_state=0)
    layout = model.fit(shuffled, gaps).layout_
    assert (layout.n_tokens, layout.token_width, layout.n_context) == (22, 6, 200)
    token = np.array(shuffled.columns)[model.columns_[:6]]
    assert [n.split(" ")[1] for n in token] == [
        "minimum", "maximum", "range", "mean", "avg_dev", "mode",
    ]  # fmt: skip


def test_property_without_all_statistics_is_no_token(features, gaps, small):
    table = features.iloc[:, :17]
    model = make(HybridTRIADSRegressor, n_attention_layers=0, attention_dim=8, **small)
    assert model.fit(table, gaps).layout_.n_tokens == 2


def test_every_unnamed_column_is_a_token(few_features, gaps, small):
    model = make(HybridTRIADSRegressor, n_attention_layers=1, attention_dim=8, **small)
    layout = model.fit(few_features.to_numpy(), gaps).layout_
    assert layout.n_tokens >= len(_COLUMNS)
    assert (layout.token_width, layout.n_context) == (1, 0)


# ------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "options",
    [
        {"n_attention_layers": 0},
        {"n_attention_layers": 1},
        {"n_attention_layers": 2},
        {"n_attention_layers": 1, "shared_projection": True},
        {"n_attention_layers": 1, "confidence": True},
        {"confidence": True},
        {"averaging": "swa"},
        {"averaging": None},
        {"scaling": "standard"},
        {"embedding_dim": None},
        {"deep_supervision": False},
        {"loss": "squared_error"},
        {"loss": "huber"},
        {"aggregation": "median"},
        {"schedule": "constant"},
        {"max_grad_norm": None},
        {"dropout": 0.0},
        {"n_steps": 1},
        {"batch_size": 10_000},
        {"batch_size": 1, "max_epochs": 1},
    ],
    ids=str,
)
def test_every_option_learns(features, gaps, small, options):
    model = make(HybridTRIADSRegressor, **{**small, "attention_dim": 8, **options})
    table = features.iloc[:, :24]
    model.fit(table, gaps)
    prediction = model.predict(table)
    assert np.isfinite(prediction).all()
    assert np.corrcoef(prediction, gaps)[0, 1] > 0.3


def test_auto_settings_spend_a_bounded_budget(few_features, gaps, small):
    settings = {**small, "batch_size": "auto", "max_epochs": "auto"}
    model = make(HybridTRIADSRegressor, **settings)
    for n_rows in (2, 30, 300, 5_000, 100_000, 1_000_000):
        batch_size, max_epochs = model._schedule.resolve(model, n_rows)
        assert 32 <= batch_size <= 512
        steps = max_epochs * -(-n_rows // batch_size)
        assert 300 < steps < 25_000


# ------------------------------------------------------------------------------- targets


def test_multi_output(few_features, gaps, small):
    y = np.column_stack([gaps, -10 * gaps + 3])
    model = make(HybridTRIADSRegressor, **small).fit(few_features, y)
    mean, std = model.predict(few_features, return_std=True)
    assert mean.shape == std.shape == y.shape
    for column in range(2):
        assert np.corrcoef(mean[:, column], y[:, column])[0, 1] > 0.5
    assert [s.shape for s in model.staged_predict(few_features)] == [y.shape] * 2


def test_multi_class_with_string_labels(few_features, gaps, small):
    labels = np.array(["metal", "semiconductor", "insulator"])[np.digitize(gaps, [1e-9, 3.0])]
    model = make(HybridTRIADSClassifier, **{**small, "max_epochs": 25}).fit(few_features, labels)
    assert list(model.classes_) == ["insulator", "metal", "semiconductor"]
    probabilities = model.predict_proba(few_features)
    assert probabilities.shape == (len(labels), 3)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    predicted = model.predict(few_features)
    np.testing.assert_array_equal(predicted, model.classes_[probabilities.argmax(1)])
    assert (predicted == labels).mean() > 0.6
    staged = list(model.staged_predict(few_features))
    assert len(staged) == 2
    np.testing.assert_array_equal(staged[-1], predicted)
    np.testing.assert_array_equal(list(model.staged_predict_proba(few_features))[-1], probabilities)


def test_balanced_classes_find_more_of_the_minority(few_features, gaps, small):
    # Two columns leave the wide gaps among the others.
    table, is_wide = few_features.iloc[:, :2], (gaps > 4).to_numpy()
    assert 0 < is_wide.mean() < 0.2
    recall = {}
    for class_weight in (None, "balanced"):
        model = make(HybridTRIADSClassifier, class_weight=class_weight, **small)
        recall[class_weight] = recall_score(is_wide, model.fit(table, is_wide).predict(table))
    assert recall["balanced"] > recall[None] + 0.3


def test_constant_target_is_predicted_exactly(few_features, small):
    value = 0.1 + 0.2
    model = make(HybridTRIADSRegressor, **small).fit(
        few_features, np.full(len(few_features), value)
    )
    mean, std = model.predict(few_features, return_std=True)
    np.testing.assert_array_equal(mean, value)
    np.testing.assert_array_equal(std, 0)


def test_constant_target_beside_a_varying_one(few_features, gaps, small):
    y = np.column_stack([gaps, np.full(len(gaps), 7.0)])
    prediction = make(HybridTRIADSRegressor, **small).fit(few_features, y).predict(few_features)
    np.testing.assert_array_equal(prediction[:, 1], 7)
    assert np.corrcoef(prediction[:, 0], gaps)[0, 1] > 0.5


# ------------------------------------------------------------------------------- predictions


def test_spread_has_the_shape_of_the_mean_and_is_never_negative(fitted, few_features):
    mean, std = fitted.predict(few_features, return_std=True)
    assert mean.shape == std.shape == (len(few_features),)
    assert (std >= 0).all()
    assert std.max() > 0
    np.testing.assert_array_equal(mean, fitted.predict(few_features))


def test_staged_predictions_end_with_the_prediction(fitted, few_features):
    staged = list(fitted.staged_predict(few_features))
    assert len(staged) == 2
    np.testing.assert_array_equal(staged[-1], fitted.predict(few_features))
    assert not np.allclose(staged[0], staged[-1])


def test_prediction_does_not_depend_on_the_other_rows(fitted, few_features):
    together = fitted.predict(few_features)
    alone = [fitted.predict(few_features.iloc[[i]])[0] for i in range(len(few_features))]
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-10)


def test_prediction_in_chunks_equals_prediction_at_once(fitted, few_features, monkeypatch):
    together = fitted.predict(few_features)
    monkeypatch.setattr("trisk.estimators.tables._PREDICTION_ELEMENTS", 40_000)
    np.testing.assert_allclose(fitted.predict(few_features), together, rtol=0, atol=1e-10)


def test_median_of_members_resists_one_that_is_off(few_features, gaps, small):
    model = make(HybridTRIADSRegressor, aggregation="median", **{**small, "n_members": 3})
    model.fit(few_features, gaps)
    members = model._member_outputs(few_features)["answer"][..., 0]
    scale, center = model.target_scaler_.scale[0], model.target_scaler_.center[0]
    expected = np.median(members, axis=0) * scale + center
    np.testing.assert_allclose(model.predict(few_features), expected)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_tied_neighbours_make_no_prediction_depend_on_other_rows(n_threads):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (100, 3)).astype(float)
    y = X.sum(1) + rng.normal(size=100)
    model = HybridTRIADSRegressor(n_members=2, max_epochs=5, random_state=0)
    with threadpool_limits(n_threads):
        model.fit(X, y)
        many = np.vstack([X] * 3)
        expected = model.predict(many[:100])
        np.testing.assert_allclose(model.predict(many)[:100], expected, rtol=1e-9)
        np.testing.assert_allclose(model.predict(many[:101])[:100], expected, rtol=1e-9)
        np.testing.assert_allclose(model.predict(X[:1]), expected[:1], rtol=1e-9)


def test_names_that_a_user_chose_change_nothing(small):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(80, 8))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + X[:, 2]
    predictions = []
    for pattern in ("f{}", "feature {}", "ageing {}", "{} T (K)"):
        table = pd.DataFrame(X, columns=[pattern.format(i) for i in range(8)])
        predictions.append(make(HybridTRIADSRegressor, **small).fit(table, y).predict(table))
    for prediction in predictions[1:]:
        np.testing.assert_array_equal(prediction, predictions[0])


# ------------------------------------------------------------------------------- randomness


def test_same_seed_same_bits_other_seed_other_model(fitted, few_features, gaps, small):
    again = make(HybridTRIADSRegressor, **small).fit(few_features, gaps)
    _assert_same_parameters(again, fitted)
    other = make(HybridTRIADSRegressor, **{**small, "random_state": 1}).fit(few_features, gaps)
    assert not np.allclose(other.predict(few_features), fitted.predict(few_features))


def test_refitting_forgets_the_previous_fit(fitted, few_features, gaps, small):
    model = make(HybridTRIADSRegressor, **small).fit(few_features.iloc[:20, :3], gaps[:20])
    _assert_same_parameters(model.fit(few_features, gaps), fitted)


@pytest.mark.parametrize("options", [{}, {"validation_fraction": 0.2}, {"averaging": "swa"}])
def test_first_member_is_the_same_in_an_ensemble_of_any_size(few_features, gaps, small, options):
    one, four = (
        make(HybridTRIADSRegressor, **{**small, **options, "n_members": n}).fit(few_features, gaps)
        for n in (1, 4)
    )
    alone, together = _parameters(one), _parameters(four)
    for name, value in alone.items():
        np.testing.assert_allclose(together[name][0], value[0], err_msg=name, **_MEMBER_TOLERANCE)
    answer = four._member_outputs(few_features)["answer"]
    expected = one._member_outputs(few_features)["answer"][0]
    np.testing.assert_allclose(answer[0], expected, **_MEMBER_TOLERANCE)
    assert not np.allclose(answer[0], answer[1], atol=1e-2)


@pytest.mark.parametrize("options", [{}, {"validation_fraction": 0.2}])
def test_order_of_rows_does_not_change_a_bit(few_features, gaps, small, options):
    order = np.random.default_rng(0).permutation(len(gaps))
    settings = {**small, **options}
    model = make(HybridTRIADSRegressor, **settings).fit(few_features, gaps)
    shuffled = make(HybridTRIADSRegressor, **settings).fit(
        few_features.iloc[order], gaps.iloc[order]
    )
    _assert_same_parameters(shuffled, model)


def test_weight_of_two_is_a_row_given_twice(few_features, gaps, small):
    weight = np.where(gaps > 3, 2.0, 1.0)
    twice = np.repeat(np.arange(len(gaps)), weight.astype(int))
    weighted = make(HybridTRIADSRegressor, **small).fit(few_features, gaps, weight)
    repeated = make(HybridTRIADSRegressor, **small).fit(few_features.iloc[twice], gaps.iloc[twice])
    np.testing.assert_allclose(
        weighted.predict(few_features), repeated.predict(few_features), rtol=1e-6, atol=1e-6
    )


def test_fit_leaves_the_global_generators_alone(few_features, gaps, small):
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    make(HybridTRIADSRegressor, **small).fit(few_features, gaps)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), before[1])


# ------------------------------------------------------------------------------- numbers


def test_constant_columns_are_harmless(few_features, gaps, small):
    padded = few_features.assign(zero=0.0, huge=1e300)
    model = make(HybridTRIADSRegressor, **small).fit(padded, gaps)
    assert np.isfinite(model.predict(padded)).all()
    # A column that first varies in prediction cannot have been learned from.
    moved = padded.assign(zero=5.0)
    np.testing.assert_array_equal(model.predict(moved), model.predict(padded))


def test_constant_columns_only(gaps, small):
    X = np.ones((len(gaps), 3))
    model = make(HybridTRIADSRegressor, **small).fit(X, gaps)
    prediction = model.predict(X)
    assert np.isfinite(prediction).all()
    assert np.ptp(prediction) < 1e-12


@pytest.mark.parametrize("scaling", ["robust", "standard"])
@pytest.mark.parametrize("of_target", [1e-30, 1.0, 1e30])
def test_extreme_scales_stay_finite(few_features, gaps, small, scaling, of_target):
    scales = np.logspace(-30, 30, few_features.shape[1])
    model = make(HybridTRIADSRegressor, scaling=scaling, **small)
    model.fit(few_features * scales, gaps * of_target)
    mean, std = model.predict(few_features * scales, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert np.corrcoef(mean / of_target, gaps)[0, 1] > 0.3
    far = model.predict(few_features * scales * 1e30)
    assert np.isfinite(far).all()


def test_target_scale_carries_through(few_features, gaps, small):
    expected = make(HybridTRIADSRegressor, **small).fit(few_features, gaps).predict(few_features)
    # A power of two and no offset: the standardised target is the same to the bit.
    scaled = make(HybridTRIADSRegressor, **small).fit(few_features, gaps * 1024)
    np.testing.assert_allclose(scaled.predict(few_features), expected * 1024, rtol=1e-12)


# ------------------------------------------------------------------------------- training


@pytest.mark.parametrize("averaging", [None, "ema", "swa"])
def test_validation_restores_each_members_best_epoch(few_features, gaps, small, averaging):
    settings = {**small, "max_epochs": 15, "n_members": 3, "learning_rate": 0.05}
    model = make(
        HybridTRIADSRegressor,
        validation_fraction=0.25,
        averaging=averaging,
        schedule="constant",
        **settings,
    ).fit(few_features, gaps)
    losses = np.array(model.net_.history[:, "member_valid_loss"])
    assert losses.shape == (15, 3)
    np.testing.assert_allclose(losses.mean(1), model.net_.history[:, "valid_loss"], rtol=1e-5)
    assert len(np.unique(losses[-1])) == 3
    best_epochs = losses.argmin(0)
    assert (best_epochs < 14).any(), "no member would tell restoring from keeping the last"
    # The restored weights give each member's best loss on its own rows.
    callbacks = dict(model.net_.callbacks_)
    np.testing.assert_allclose(callbacks["validation"].best_loss_, losses.min(0), rtol=1e-6)
    np.testing.assert_array_equal(callbacks["validation"].best_epoch_, best_epochs + 1)


def test_restored_weights_are_those_of_the_best_epoch(few_features, gaps, small):
    class KeepWeights(Callback):
        def on_train_begin(self, net, **kwargs):
            self.weights = []

        def on_epoch_end(self, net, **kwargs):
            parameters = net.module_.named_parameters()
            self.weights.append({n: p.detach().clone().numpy() for n, p in parameters})

    keeper = KeepWeights()
    settings = {**small, "max_epochs": 15, "learning_rate": 0.05, "averaging": None}
    model = make(
        HybridTRIADSRegressor,
        validation_fraction=0.25,
        schedule="constant",
        callbacks=[keeper],
        **settings,
    ).fit(few_features, gaps)
    best = np.array(model.net_.history[:, "member_valid_loss"]).argmin(0)
    for name, value in _parameters(model).items():
        for member, epoch in enumerate(best):
            np.testing.assert_array_equal(value[member], keeper.weights[epoch][name][member])


def test_averages_differ_and_none_leaves_the_last_weights(few_features, gaps, small):
    predictions = [
        make(HybridTRIADSRegressor, averaging=averaging, **small)
        .fit(few_features, gaps)
        .predict(few_features)
        for averaging in (None, "ema", "swa")
    ]
    assert not np.allclose(predictions[0], predictions[1])
    assert not np.allclose(predictions[1], predictions[2])


class _CtrlC(Callback):
    """Press Ctrl-C in some batch."""

    def __init__(self, at_batch):
        self.at_batch = at_batch
        self.n_batches = 0

    def on_batch_end(self, net, training=False, **kwargs):
        self.n_batches += training
        if self.n_batches == self.at_batch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at_batch", [1, 3, 10])
@pytest.mark.parametrize(
    "options",
    [{}, {"averaging": "swa"}, {"averaging": None}, {"validation_fraction": 0.2}],
    ids=str,
)
def test_interruption_leaves_a_fitted_estimator(few_features, gaps, small, at_batch, options):
    model = make(HybridTRIADSRegressor, callbacks=[_CtrlC(at_batch)], **{**small, **options})
    with pytest.raises(KeyboardInterrupt, match="fitted with the weights reached so far"):
        model.fit(few_features, gaps)
    assert np.isfinite(model.predict(few_features)).all()
    assert model.net_.module_.training is False


def test_early_stopping_with_a_progress_bar_is_no_error(few_features, gaps, small):
    stopper = EarlyStopping(monitor="train_loss", patience=1, threshold=0.5, sink=lambda _: None)
    settings = {**small, "max_epochs": 50, "verbose": 1}
    model = make(HybridTRIADSRegressor, callbacks=[("stop", stopper)], **settings)
    model.fit(few_features, gaps)
    assert 0 < len(model.net_.history) < 50


def test_long_training_says_so_after_two_epochs_and_goes_on(few_features, gaps, small, monkeypatch):
    monkeypatch.setattr(DurationWarning, "longest", 1e-6)
    model = make(HybridTRIADSRegressor, **small)
    with pytest.warns(UserWarning, match=r"HybridTRIADSRegressor: training will take .*8 epochs"):
        model.fit(few_features, gaps)
    assert len(model.net_.history) == 8
    monkeypatch.setattr(DurationWarning, "start_up", 0)
    with pytest.warns(UserWarning, match="minutes") as warned:
        model.fit(few_features, gaps)
    assert len(warned) == 1


def test_history_tells_every_epoch(fitted, small):
    history = fitted.net_.history
    assert len(history) == small["max_epochs"]
    losses = history[:, "train_loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert (np.array(history[:, "dur"]) > 0).all()


def test_skorch_checkpoint_can_be_passed(few_features, gaps, small, tmp_path):
    checkpoint = Checkpoint(
        monitor="train_loss_best", dirname=tmp_path, f_optimizer=None, sink=lambda _: None
    )
    model = make(HybridTRIADSRegressor, callbacks=[checkpoint], averaging=None, **small)
    model.fit(few_features, gaps)
    assert (tmp_path / "params.pt").is_file()
    assert (tmp_path / "history.json").is_file()
    # The estimator's own list of callbacks is a parameter: fitting must not use it up.
    clone(model).fit(few_features, gaps)


@pytest.mark.parametrize("make_X", [list, np.array, pd.Series, lambda X: pd.DataFrame({"f": X})])
def test_formulas_are_told_to_go_through_a_featurizer(make_X):
    X = make_X(["GaAs", "NaCl", "Si"] * 8)
    with pytest.raises(
        ValueError, match=r"'GaAs'\)?. HybridTRIADSRegressor reads.*MagpieFeaturizer"
    ):
        HybridTRIADSRegressor().fit(X, np.arange(24.0))


def test_sizes_follow_from_the_rows():
    model = HybridTRIADSRegressor()
    sizes = []
    for n_rows in (300, 4_999, 5_000, 100_000):
        model._resolve_sizes(n_rows, complete=True)
        sizes.append((model.n_members_, model.n_neighbors_))
    assert sizes == [(8, 8), (8, 8), (2, None), (2, None)]
    model.set_params(n_members=3, n_neighbors=5)._resolve_sizes(100_000, complete=True)
    assert (model.n_members_, model.n_neighbors_) == (3, 5)


def test_fit_does_not_change_its_input(features, gaps, small):
    table, target = features.iloc[:, :6].copy(), gaps.copy()
    make(HybridTRIADSRegressor, **small).fit(table, target).predict(table)
    pd.testing.assert_frame_equal(table, features.iloc[:, :6])
    pd.testing.assert_series_equal(target, gaps)
    array = np.asfortranarray(table.to_numpy())
    array.setflags(write=False)
    make(HybridTRIADSRegressor, **small).fit(array, gaps).predict(array)


def test_logit__keeps_shares_between_their_bounds():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 2)), columns=["a", "b"])
    y = np.clip(1 / (1 + np.exp(-3 * X["a"])) + rng.normal(0, 0.05, 80), 0, 1)
    assert {0.0, 1.0} < set(y)
    settings = {"n_members": 2, "max_epochs": 40, "random_state": 0}
    model = HybridTRIADSRegressor(link="logit", **settings).fit(X, y)
    far = pd.DataFrame({"a": [-50.0, 50.0], "b": 0.0})
    predicted = model.predict(pd.concat([X, far]))
    assert predicted.min() >= 0
    assert predicted.max() <= 1
    assert mean_absolute_error(y, predicted[:80]) < 0.1
    with pytest.raises(ValueError, match=r"from 0 to 1, but row 3 .* has \[1\.2\]. Divide by"):
        model.fit(X, y.mask(y.index == 3, 1.2))


def test_validation_of_no_row_changes_nothing():
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X @ [1.0, 2.0, 3.0]
    settings = {"n_members": 2, "max_epochs": 10, "hidden_dim": 8, "random_state": 0}
    models = [
        make(HybridTRIADSRegressor, validation_fraction=share, **settings) for share in (0, 0.01)
    ]
    without, with_share = (model.fit(X, y).predict(X) for model in models)
    np.testing.assert_array_equal(with_share, without)


def test_missing_targets__teach_what_they_hold():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(120, 4))
    y = np.column_stack([X[:, 0], 3 * X[:, 0] + X[:, 1], X[:, 2]])
    known = y.copy()
    known[rng.random(y.shape) < 0.3] = np.nan
    settings = {"n_members": 2, "max_epochs": 60, "random_state": 0, "calibrate": True}
    model = HybridTRIADSRegressor(stack_with="auto", **settings).fit(X[:90], known[:90])
    assert (model.n_neighbors_, model.stacked_) == (None, None)
    found, std = model.predict(X[90:], return_std=True)
    assert (np.abs(found - y[90:]).mean(0) < 0.6 * np.abs(y[90:] - y[:90].mean(0)).mean(0)).all()
    assert (std > 0).all()
    for explicit in ({"n_neighbors": 4}, {"stack_with": "extra_trees"}):
        with pytest.raises(ValueError, match=r"Targets are missing \(NaN\)"):
            HybridTRIADSRegressor(**settings, **explicit).fit(X, known)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        HybridTRIADSRegressor(**settings).fit(X, known[:, 0])

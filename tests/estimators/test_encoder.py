"""Encoders that are trained on for a task: what they start from, what they take, what they keep."""

import numpy as np
import pytest
import torch
from nested import make, small_encoder
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.pipeline import make_pipeline

import trisk
from trisk.estimators import (
    CompositionEncoderClassifier,
    CompositionEncoderRegressor,
    HybridTRIADSRegressor,
)
from trisk.featurizers import (
    CompositionFeaturizer,
    ElementFractionFeaturizer,
    MagpieFeaturizer,
    PretrainedFeaturizer,
)
from trisk.model_selection import fit_folds

_BRIEF = {"n_members": 2, "max_epochs": 2, "random_state": 0, "device": "cpu"}
_SMALL = {"pretrained": small_encoder(), "n_members": 1, "max_epochs": 2}


@pytest.fixture(scope="module")
def band_gaps():
    X, y = trisk.load_band_gaps()
    return ElementFractionFeaturizer().fit_transform(X[:80]), y[:80].to_numpy()


def test_frozen_encoder_is_the_one_of_the_featurizer(band_gaps):
    X, y = band_gaps
    formulas = trisk.load_band_gaps()[0][:80]
    model = make(CompositionEncoderRegressor, fine_tune=False, **_BRIEF).fit(X, y)
    tokens = torch.from_numpy(model._encode(X))
    embedding, _ = model.net_.module_.encoder(tokens.expand(2, *tokens.shape))
    expected = PretrainedFeaturizer().fit_transform(formulas).to_numpy()[:, 4:]
    np.testing.assert_allclose(embedding[1].detach(), expected, atol=1e-5)


def test_training_on_changes_the_encoder_and_lowers_the_loss(band_gaps):
    X, y = band_gaps
    settings = {**_BRIEF, "max_epochs": 8, "averaging": None}
    tuned = make(CompositionEncoderRegressor, **settings).fit(X, y)
    frozen = make(CompositionEncoderRegressor, fine_tune=False, **settings).fit(X, y)
    element = [m.net_.module_.encoder.element for m in (tuned, frozen)]
    assert not torch.equal(*element)
    assert tuned.net_.history[-1]["train_loss"] < frozen.net_.history[-1]["train_loss"]


def test_what_was_learned_before_helps_at_once(band_gaps):
    X, y = band_gaps
    known = make(CompositionEncoderRegressor, **_BRIEF).fit(X, y)
    unknown = make(CompositionEncoderRegressor, pretrained=None, **_BRIEF).fit(X, y)
    assert known.net_.history[-1]["train_loss"] < unknown.net_.history[-1]["train_loss"]


def test_amounts_count_by_their_ratio(band_gaps):
    X, y = band_gaps
    model = make(CompositionEncoderRegressor, **_BRIEF).fit(X, y)
    np.testing.assert_allclose(model.predict(7 * X), model.predict(X), rtol=1e-9)


def test_a_run_repeats_and_comes_back_from_a_file(band_gaps, tmp_path):
    X, y = band_gaps
    model = make(CompositionEncoderClassifier, **_BRIEF).fit(X, y > 2)
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, y > 2).predict_proba(X), expected)
    model.save(tmp_path / "encoder.safetensors")
    loaded = trisk.load(tmp_path / "encoder.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)


def test_folds_train_together(band_gaps):
    X, y = band_gaps
    model = make(
        CompositionEncoderRegressor, **{**_BRIEF, **_SMALL, "n_members": 2, "max_epochs": 3}
    )
    together, folds = fit_folds(model, X, y, cv=2)
    for fitted, (train, test) in zip(together, folds, strict=True):
        alone = clone(model).fit(X.iloc[train], y[train])
        np.testing.assert_allclose(fitted.predict(X.iloc[test]), alone.predict(X.iloc[test]), 1e-3)


def test_beside_a_network_that_sees_the_frozen_columns(band_gaps, tmp_path):
    formulas, y = trisk.load_band_gaps()
    formulas, y = formulas[:40], y[:40]
    tuned = make(CompositionEncoderRegressor, **_SMALL)
    fractions = make_column_selector("^ElementFraction")
    of_fractions = make_column_selector("^ElementFraction")
    fractions = ColumnTransformer([("fractions", "passthrough", of_fractions)])
    network = make(
        HybridTRIADSRegressor,
        stack_with=make_pipeline(fractions, tuned),
        n_members=1,
        max_epochs=2,
        random_state=0,
    )
    model = make_pipeline(
        CompositionFeaturizer(blocks=["element_fraction", "pretrained"]), network
    ).fit(formulas, y)
    assert 0 <= model[-1].stacked_weight_ <= 1
    trisk.save(model, tmp_path / "both.safetensors")
    loaded = trisk.load(tmp_path / "both.safetensors")
    np.testing.assert_array_equal(loaded.predict(formulas), model.predict(formulas))


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({}, lambda X: X.mul(np.arange(len(X)) != 3, axis=0), "hold no element, first row 3"),
        ({}, lambda X: -X, "Negative values in data passed to a composition encoder"),
        ({"pretrained": "no file"}, lambda X: X, "'no file' is neither"),
        ({"pretrained": None, "fine_tune": False}, lambda X: X, "gives it random weights"),
    ],
)
def test_bad_input_is_refused(band_gaps, settings, change, message):
    X, y = band_gaps
    with pytest.raises(ValueError, match=message):
        make(CompositionEncoderRegressor, **_BRIEF, **settings).fit(change(X), y)


def test_a_table_of_something_else_is_refused(band_gaps):
    X = MagpieFeaturizer().fit_transform(["NaCl", "Fe"]).abs()
    with pytest.raises(ValueError, match=r"132 columns, but there are 118 elements.*ElementFrac"):
        make(CompositionEncoderRegressor, **_BRIEF).fit(X, [0.0, 1.0])


def test_columns_out_of_place_are_refused():
    table = ElementFractionFeaturizer().fit_transform(["NaCl", "KCl", "LiF", "ZnO"])
    present = table.loc[:, table.var() > 0]
    with pytest.raises(ValueError, match="go by atomic number, from H on"):
        CompositionEncoderRegressor(max_epochs=1).fit(present, np.arange(4.0))

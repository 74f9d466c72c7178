"""Blocks side by side: presets, hand-made lists, one reading of the input, automatic choice."""

import numpy as np
import pandas as pd
import pytest

import trisk.featurizers
from trisk.featurizers import CompositionFeaturizer, MagpieFeaturizer, Mat2VecFeaturizer
from trisk.featurizers.composition.presets import BLOCKS, PRESETS

FORMULAS = ["Fe2O3", "NaCl", "CaTiO3", "Al2O3"]

# The published TRIADS models' descriptors between Magpie and mat2vec, by column prefix.
PUBLISHED = {
    "published_steels": "ElementFraction Stoichiometry ValenceOrbital IonProperty BandCenter",
    "published_band_gap": "Stoichiometry ValenceOrbital IonProperty BandCenter AtomicOrbitals",
    "published_metallicity": "Stoichiometry ValenceOrbital IonProperty BandCenter TMetalFraction "
    "AtomicOrbitals",
    "published_glass": "Stoichiometry ValenceOrbital IonProperty TMetalFraction",
    "published_exfoliation": "Stoichiometry ValenceOrbital IonProperty TMetalFraction",
}


def test_registry__every_block__is_an_exported_featurizer():
    for block in BLOCKS.values():
        assert getattr(trisk.featurizers, block.__name__) is block
    named = {block for blocks in PRESETS.values() for block in blocks if isinstance(block, str)}
    assert named <= set(BLOCKS)


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_preset__blocks_stand_in_order(preset):
    featurizer = CompositionFeaturizer(preset=preset)
    X = featurizer.fit_transform(FORMULAS)
    prefixes = list(dict.fromkeys(column.split(" ")[0] for column in X))
    assert prefixes == ["MagpieData", *PUBLISHED[preset].split(), "mat2vec"]
    assert X.columns[:132].tolist() == MagpieFeaturizer().fit(FORMULAS)._feature_names()
    assert X.columns[-200:].tolist() == [f"mat2vec {i}" for i in range(200)]
    assert np.isfinite(X.to_numpy()).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_preset__means_the_same_columns_in_a_pipeline(preset):
    names = CompositionFeaturizer(preset=preset).fit(FORMULAS).get_feature_names_out()
    pipeline = trisk.composition_pipeline(preset, pretrained=False)
    fitted = pipeline["features"].fit(FORMULAS, [1, 2, 3, 4])
    assert names.tolist() == fitted.get_feature_names_out().tolist()


def make_alloys(n_rows):
    rng = np.random.default_rng(0)
    carbon = rng.uniform(1e-4, 1e-2, n_rows)
    formulas = [f"Fe{0.9 - c:.5f}Ni0.1C{c:.5f}" for c in carbon]
    return formulas, np.log(carbon)


def test_auto__chooses_the_columns_that_tell_the_target():
    X, y = trisk.load_band_gaps()
    auto = CompositionFeaturizer(preset="auto", pretrained="auto")
    assert auto.fit(X[:120], y[:120]).pretrained_
    assert any(name.startswith("Pretrained ") for name in auto.get_feature_names_out())
    random = np.random.default_rng(0).normal(size=120)
    assert (auto.fit(X[:120], random).preset_, auto.pretrained_) == ("general", False)
    labels = np.where(y[:120] > 1, "wide", "narrow")
    assert isinstance(auto.fit(X[:120], labels).pretrained_, bool)
    few = CompositionFeaturizer(preset="auto").fit(X[:8], y[:8])
    assert few.preset_ == "general"
    assert len(few.transform(X).columns) == 132


def test_auto__several_targets_unreadable_rows_and_no_target():
    X, y = make_alloys(60)
    Y = np.column_stack([y, -y])
    Y[3, 0] = np.nan
    auto = CompositionFeaturizer(preset="auto", on_error="nan")
    assert auto.fit([*X[:-1], "Fo"], Y).preset_ in ("general", "steels", "band_gap")
    with pytest.raises(ValueError, match="chooses columns by y"):
        auto.fit(X)
    with pytest.raises(ValueError, match="reads X twice"):
        auto.fit(iter(X), y)


def test_blocks__equal_the_single_featurizers_side_by_side():
    blocks = [Mat2VecFeaturizer(vectors="megnet16"), "magpie", Mat2VecFeaturizer()]
    X = CompositionFeaturizer(blocks=blocks).fit_transform(FORMULAS)
    parts = [
        Mat2VecFeaturizer(vectors="megnet16"), MagpieFeaturizer(), Mat2VecFeaturizer(),
    ]  # fmt: skip
    expected = pd.concat([part.fit_transform(FORMULAS) for part in parts], axis=1)
    pd.testing.assert_frame_equal(X, expected)


def test_blocks__given_featurizers__stay_unfitted_and_keep_their_missing():
    own = Mat2VecFeaturizer(vectors="megnet16", missing="nan")
    featurizer = CompositionFeaturizer(blocks=("magpie", own)).fit(FORMULAS)
    X = featurizer.transform(["FeRf"])
    assert not hasattr(own, "n_features_out_")
    assert X.filter(like="MagpieData").notna().all(axis=None)
    assert X.filter(like="megnet16").isna().all(axis=None)


def test_missing__is_handed_to_named_blocks():
    X = CompositionFeaturizer(blocks=["magpie", "mat2vec"], missing="nan").fit_transform(["He"])
    assert X["MagpieData mean Electronegativity"].isna().all()
    featurizer = CompositionFeaturizer(blocks=["magpie", "mat2vec"], missing="raise")
    with pytest.raises(ValueError, match="row 1: 'He': He has no MeltingT, Electronegativity"):
        featurizer.fit_transform(["Fe", "He"])


def test_block_failure__is_nan_in_that_blocks_columns_only():
    featurizer = CompositionFeaturizer(
        blocks=["magpie", "mat2vec"], missing="raise", on_error="nan"
    ).fit(FORMULAS)
    with pytest.warns(UserWarning, match="2 of 3 rows"):
        X = featurizer.transform(["Fe", "He", "Fo"])
    assert X.isna().sum(axis=1).tolist() == [0, 132, 332]
    assert featurizer.explain_errors(["Fe", "He", "Fo"])["featurizer"].tolist() == [
        "MagpieFeaturizer", "CompositionFeaturizer",
    ]  # fmt: skip


def test_input__is_parsed_once(monkeypatch):
    import trisk.featurizers.composition.base as base

    calls = []

    def counting(X, featurizer):
        calls.append(len(X))
        return original(X, featurizer)

    original = base.parse_compositions
    monkeypatch.setattr(base, "parse_compositions", counting)
    CompositionFeaturizer(blocks=["magpie", "mat2vec"]).fit_transform(FORMULAS)
    assert calls == [len(FORMULAS)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "steel"}, "preset"),
        ({"pretrained": "default"}, "pretrained"),
        ({"blocks": ["pretrained"], "pretrained": True}, "same columns"),
        ({"blocks": []}, "blocks is empty"),
        ({"blocks": "magpie"}, "blocks"),
        ({"blocks": ["magpi"]}, "blocks holds 'magpi'.*Did you mean 'magpie'"),
        ({"blocks": [3]}, "blocks holds 3"),
        ({"blocks": ["magpie", MagpieFeaturizer()]}, "same columns.*MagpieData minimum Number"),
        ({"blocks": [Mat2VecFeaturizer(missing="zero")]}, "missing"),
    ],
)
def test_fit__bad_parameters__raise(parameters, message):
    with pytest.raises(ValueError, match=message):
        CompositionFeaturizer(**parameters).fit(FORMULAS)

"""Blocks side by side: presets, hand-made lists, one reading of the input."""

import numpy as np
import pandas as pd
import pytest

import trisk.featurizers
from trisk.featurizers import CompositionFeaturizer, MagpieFeaturizer, Mat2VecFeaturizer
from trisk.featurizers.composition.presets import BLOCKS, PRESETS

FORMULAS = ["Fe2O3", "NaCl", "CaTiO3", "Al2O3"]

# The published TRIADS models' descriptors between Magpie and mat2vec, by column prefix.
PUBLISHED = {
    "general": "ElementFraction Stoichiometry ValenceOrbital IonProperty BandCenter",
    "steels": "ElementFraction Stoichiometry ValenceOrbital IonProperty BandCenter",
    "band_gap": "Stoichiometry ValenceOrbital IonProperty BandCenter AtomicOrbitals",
    "metallicity": "Stoichiometry ValenceOrbital IonProperty BandCenter TMetalFraction "
    "AtomicOrbitals",
    "glass": "Stoichiometry ValenceOrbital IonProperty TMetalFraction",
    "exfoliation": "Stoichiometry ValenceOrbital IonProperty TMetalFraction",
}


def test_registry__every_block__is_an_exported_featurizer():
    for block in BLOCKS.values():
        assert getattr(trisk.featurizers, block.__name__) is block
    assert {name for blocks in PRESETS.values() for name in blocks} <= set(BLOCKS)


@pytest.mark.parametrize("preset", PUBLISHED)
def test_preset__blocks_stand_in_order(preset):
    featurizer = CompositionFeaturizer(preset=preset)
    X = featurizer.fit_transform(FORMULAS)
    prefixes = list(dict.fromkeys(column.split(" ")[0] for column in X))
    assert prefixes == ["MagpieData", *PUBLISHED[preset].split(), "mat2vec"]
    assert X.columns[:132].tolist() == MagpieFeaturizer().fit(FORMULAS)._feature_names()
    assert X.columns[-200:].tolist() == [f"mat2vec {i}" for i in range(200)]
    assert np.isfinite(X.to_numpy()).all()


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

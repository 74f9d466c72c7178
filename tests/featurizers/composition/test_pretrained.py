"""Columns of the encoder that comes with trisk."""

import numpy as np
import pandas as pd
import pytest

import trisk
from trisk import composition_pipeline, load_band_gaps
from trisk.data import data_file
from trisk.featurizers import CompositionFeaturizer, PretrainedFeaturizer
from trisk.structures.elements import ELEMENT_SYMBOLS

FORMULAS = ["NaCl", "Fe2O3", "GaAs", "Cu", "LiFePO4", "Fe0.62C0.0009Mn0.0002Ni0.3789"]


def test_columns__have_names_and_are_finite():
    X = PretrainedFeaturizer().fit_transform(FORMULAS)
    assert X.columns[:4].tolist() == [
        "Pretrained formation energy",
        "Pretrained band gap",
        "Pretrained largest band gap",
        "Pretrained metal",
    ]
    assert X.columns[4:].tolist() == [f"Pretrained {i}" for i in range(X.shape[1] - 4)]
    assert np.isfinite(X.to_numpy()).all()


def test_predictions__know_common_compounds():
    X = PretrainedFeaturizer().fit_transform(["NaCl", "MgO", "Cu", "Fe", "CaF2"])
    energy, gap = X["Pretrained formation energy"], X["Pretrained band gap"]
    # Materials Project, PBE: eV/atom and eV.
    np.testing.assert_allclose(energy, [-2.11, -3.06, 0, 0, -4.2], atol=0.25)
    np.testing.assert_allclose(gap, [5.0, 4.5, 0, 0, 7.2], atol=0.7)
    assert (X["Pretrained metal"] > 0).tolist() == [False, False, True, True, False]


def test_rows__do_not_depend_on_their_company_or_order_of_elements():
    fitted = PretrainedFeaturizer().fit(FORMULAS)
    together = fitted.transform(FORMULAS).to_numpy()
    alone = np.vstack([fitted.transform([formula]).to_numpy() for formula in FORMULAS])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(
        fitted.transform(["O3Fe2", "Fe4O6"]).to_numpy(), together[[1, 1]], atol=1e-4
    )


def test_every_element__has_a_vector():
    X = PretrainedFeaturizer().fit_transform(
        [f"{symbol}O2" for symbol in ELEMENT_SYMBOLS if symbol != "O"]
    )
    assert np.isfinite(X.to_numpy()).all()


def test_block__stands_beside_the_others():
    X = CompositionFeaturizer(blocks=["magpie", "pretrained"]).fit_transform(FORMULAS)
    own = PretrainedFeaturizer().fit_transform(FORMULAS)
    pd.testing.assert_frame_equal(X[own.columns], own)


def test_weights__bad_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'neither "default" nor a file'):
        PretrainedFeaturizer(weights="best").fit(FORMULAS)
    (tmp_path / "notes.txt").write_text("not weights")
    with pytest.raises(ValueError, match="not a file of encoder weights"):
        PretrainedFeaturizer(weights=tmp_path / "notes.txt").fit(FORMULAS)


def test_weights__are_small_enough_to_ship():
    assert data_file("composition_encoder.safetensors").stat().st_size < 10e6
    assert "Materials Project" in data_file("composition_encoder.md").read_text("utf-8")


def test_saved_pipeline__carries_its_encoder(tmp_path):
    X, y = load_band_gaps()
    X, y = X[:40], y[:40]
    pipeline = composition_pipeline(
        "band_gap", pretrained=True, fast=True, n_members=1, max_epochs=2, random_state=0
    ).fit(X, y)
    trisk.save(pipeline, tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))

"""Pre-training: learns from structures alone, embeds, survives files, resumes after a kill."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import trisk
from trisk import TriForcesPretrainer
from trisk.testing import make_structures

STREAMS = ("composition", "structure", "interaction")
ENCODER = {"hidden_dim": 8, "n_layers": 2, "cutoff": 4.5}
SMALL = {**ENCODER, "max_epochs": 3, "batch_size": 8, "n_slices": 16, "random_state": 0}


@pytest.fixture(scope="module")
def structures():
    return make_structures(24, random_state=0)[0]


@pytest.fixture(scope="module")
def fitted(structures):
    return TriForcesPretrainer(**SMALL).fit(structures)


def test_all_objectives_fall(structures):
    pretrainer = TriForcesPretrainer(**SMALL | {"max_epochs": 40, "learning_rate": 1e-2})
    history = pretrainer.fit(structures).history_
    for name in ("loss", "denoising", "masking", "lejepa"):
        assert history[name].iloc[-5:].mean() < 0.9 * history[name].iloc[:2].mean()
    gradients = [f"{o} gradient {s}" for o in ("denoising", "masking", "lejepa") for s in STREAMS]
    assert (history[gradients] > 0).all(axis=None)
    assert history["epoch"].tolist() == list(range(1, 41))


def test_embeddings_are_named_blocks(fitted, structures):
    table = fitted.transform(pd.Series(structures, index=range(5, 29)))
    assert table.shape == (24, 24)
    assert table.index[0] == 5
    assert list(table.columns) == [f"{s} {i}" for s in STREAMS for i in range(8)]
    assert list(table.columns) == fitted.get_feature_names_out().tolist()
    part = fitted.transform(structures, streams=("interaction", "composition"))
    assert list(part.columns[[0, 8]]) == ["interaction 0", "composition 0"]
    np.testing.assert_array_equal(part.to_numpy(), table[part.columns].to_numpy())
    with pytest.raises(ValueError, match="streams must name some of"):
        fitted.transform(structures, streams="elements")


def test_embeddings_follow_the_crystal(fitted, structures):
    expected = fitted.transform(structures).to_numpy()
    large = [s.make_supercell((2, 1, 1), in_place=False) for s in structures]
    np.testing.assert_allclose(fitted.transform(large), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.transform(structures[3:4])[:1], expected[3:4], atol=1e-9)
    exchanged = structures[0].copy()
    exchanged.replace_species(dict(zip(exchanged.elements, ("Cu", "Au"), strict=True)))
    blocks = fitted.transform([exchanged]).to_numpy().reshape(3, 8)
    same = np.isclose(blocks, expected[0].reshape(3, 8), atol=1e-9).all(1)
    assert same.tolist() == [False, True, False]


def test_survives_copies_and_files(fitted, structures, tmp_path):
    expected = fitted.transform(structures)
    pd.testing.assert_frame_equal(clone(fitted).fit_transform(structures), expected)
    again = pickle.loads(pickle.dumps(fitted))  # our own bytes
    pd.testing.assert_frame_equal(again.transform(structures), expected)
    fitted.save(tmp_path / "streams.trisk")
    for loaded in (
        trisk.load(tmp_path / "streams.trisk"),
        TriForcesPretrainer.from_pretrained(tmp_path / "streams.trisk"),
    ):
        pd.testing.assert_frame_equal(loaded.transform(structures), expected)
        pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
    with pytest.raises(NotFittedError):
        TriForcesPretrainer().transform(structures)


def test_works_in_pipelines(structures):
    volumes = [s.volume for s in structures]
    pipeline = make_pipeline(TriForcesPretrainer(**SMALL), Ridge())
    assert np.isfinite(cross_val_score(pipeline, structures, volumes, cv=2)).all()


def test_objectives_and_streams_can_be_switched_off(structures):
    alone = TriForcesPretrainer(masking_weight=0, lejepa_weight=0, masked_share=None, **SMALL)
    assert not {"masking", "lejepa"} & set(alone.fit(structures).history_)
    geometry = TriForcesPretrainer(streams=("structure",), denoising_weight=0, **SMALL)
    assert geometry.fit_transform(structures).shape == (24, 8)
    plain = TriForcesPretrainer(denoising_weight=0, noise=None, reach=None, **SMALL)
    assert "denoising" not in plain.fit(structures).history_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"streams": ("composition",)}, "Denoising needs the interaction stream"),
        ({"noise": None}, "Denoising needs noise, which is None"),
        ({"masked_share": None}, "Masking needs masked_share"),
        ({"reach": (0.5, 1.5)}, r"reach must be None or two numbers .* up to 1, but is \(0.5"),
        ({"noise": (0.2, 0.1)}, "noise must be None or two numbers in ascending order"),
        (
            {"denoising_weight": 0, "masking_weight": 0, "lejepa_weight": 0},
            "All objectives have weight zero",
        ),
        ({"streams": ("shape",)}, "streams must name some of"),
    ],
)
def test_settings_that_do_not_fit_are_named(structures, settings, message):
    with pytest.raises(ValueError, match=message):
        TriForcesPretrainer(**SMALL | settings).fit(structures)

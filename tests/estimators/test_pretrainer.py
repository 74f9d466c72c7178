"""Pre-training: learns from structures alone, embeds, survives files, resumes after a kill."""

import copy
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk
from nested import make
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

import trisk
from trisk import TriForcesClassifier, TriForcesPotential, TriForcesPretrainer, TriForcesRegressor
from trisk.testing import make_structures

STREAMS = ("composition", "structure", "interaction")
ENCODER = {"hidden_dim": 8, "n_layers": 2, "cutoff": 4.5}
SMALL = {**ENCODER, "max_epochs": 3, "batch_size": 8, "n_slices": 16, "random_state": 0}


@pytest.fixture(scope="module")
def structures():
    return make_structures(24, random_state=0)[0]


@pytest.fixture(scope="module")
def fitted(structures):
    return make(TriForcesPretrainer, **SMALL).fit(structures)


def test_all_objectives_fall(structures):
    pretrainer = make(TriForcesPretrainer, **SMALL | {"max_epochs": 20, "learning_rate": 2e-2})
    history = pretrainer.fit(structures).history_
    for name in ("loss", "denoising", "masking", "lejepa"):
        assert history[name].iloc[-5:].mean() < 0.9 * history[name].iloc[:2].mean()
    assert history["epoch"].tolist() == list(range(1, 21))


def test_embeddings_are_named_blocks(fitted, structures):
    table = fitted.transform(pd.Series(structures, index=range(5, 29)))
    assert table.shape == (24, 24)
    assert table.index[0] == 5
    assert list(table.columns) == [f"{s} {i}" for s in STREAMS for i in range(8)]
    assert list(table.columns) == fitted.get_feature_names_out().tolist()
    whole = copy.deepcopy(fitted).set_output(transform="pandas").transform(structures)
    assert list(whole.filter(like="structure")) == [f"structure {i}" for i in range(8)]


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
    loaded = trisk.load(tmp_path / "streams.trisk")
    pd.testing.assert_frame_equal(loaded.transform(structures), expected)
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
    with pytest.raises(NotFittedError):
        TriForcesPretrainer().transform(structures)


def test_works_in_pipelines(structures):
    volumes = [s.volume for s in structures]
    pipeline = make_pipeline(make(TriForcesPretrainer, **SMALL), Ridge())
    assert np.isfinite(cross_val_score(pipeline, structures, volumes, cv=2)).all()


def test_objectives_and_streams_can_be_switched_off(structures):
    alone = make(TriForcesPretrainer, masking_weight=0, lejepa_weight=0, masked_share=None, **SMALL)
    assert not {"masking", "lejepa"} & set(alone.fit(structures).history_)
    geometry = make(TriForcesPretrainer, streams=("structure",), denoising_weight=0, **SMALL)
    assert geometry.fit_transform(structures).shape == (24, 8)
    plain = make(TriForcesPretrainer, denoising_weight=0, noise=None, cutoff_range=None, **SMALL)
    assert "denoising" not in plain.fit(structures).history_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"streams": ("composition",)}, "Denoising needs the interaction stream"),
        ({"noise": None}, "Denoising needs noise, which is None"),
        ({"masked_share": None}, "Masking needs masked_share"),
        (
            {"cutoff_range": (0.5, 1.5)},
            r"cutoff_range must be None or two .* up to 1, but is \(0.5",
        ),
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
        make(TriForcesPretrainer, **SMALL | settings).fit(structures)


_KILLED = """
import os, signal, sys
from nested import make
from skorch.callbacks import Callback
from test_pretrainer import SMALL
from trisk import TriForcesPretrainer
from trisk.testing import make_structures

class Kill(Callback):
    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 3 and len(net.history[-1, "batches"]) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

settings = SMALL | {"max_epochs": 5, "checkpoint": sys.argv[1], "callbacks": [Kill()]}
make(TriForcesPretrainer, **settings).fit(make_structures(24, random_state=0)[0])
"""


def test_resumes_to_the_bit_after_a_kill(structures, tmp_path):
    path, settings = tmp_path / "training", SMALL | {"max_epochs": 5}
    command = [sys.executable, "-c", _KILLED, str(path)]
    killed = subprocess.run(command, env=_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == ["training"]
    resumed = make(TriForcesPretrainer, checkpoint=path, **settings).fit(structures)
    expected = make(TriForcesPretrainer, **settings).fit(structures)
    pd.testing.assert_frame_equal(resumed.transform(structures), expected.transform(structures))
    weights = [model.nets_[0].module_.state_dict() for model in (resumed, expected)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    times = ["seconds"]
    pd.testing.assert_frame_equal(
        resumed.history_.drop(columns=times), expected.history_.drop(columns=times)
    )
    with pytest.raises(ValueError, match="belongs to a training with other data"):
        make(TriForcesPretrainer, checkpoint=path, **settings).fit(structures[1:])


def _environment():
    """This process's, with its own copy of trisk and of the tests."""
    folders = Path(trisk.__file__).parents[1], Path(__file__).parents[1], Path(__file__).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}


@pytest.mark.parametrize("fine_tune", ["full", "head", "gradual"])
def test_estimators_start_from_it(fitted, structures, fine_tune, tmp_path):
    volumes = np.array([s.volume for s in structures])
    fitted.save(tmp_path / "streams.trisk")
    source = _encoder(fitted)
    settings = {**ENCODER, "max_epochs": 4, "random_state": 0, "fine_tune": fine_tune}
    models = [
        make(TriForcesRegressor, pretrained=pretrained, **settings).fit(structures, volumes)
        for pretrained in (fitted, tmp_path / "streams.trisk")
    ]
    predictions = [model.predict(structures) for model in models]
    np.testing.assert_array_equal(*predictions)
    kept = all(torch.equal(source[name], value) for name, value in _encoder(models[0]).items())
    assert kept == (fine_tune == "head")
    again = clone(models[0]).fit(structures, volumes)
    np.testing.assert_array_equal(again.predict(structures), predictions[0])
    models[0].save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(loaded.predict(structures), predictions[0])


def _encoder(model):
    return model.nets_[0].module_.encoder.state_dict()


class _Watch(Callback):
    """Note the epochs in which the streams changed."""

    def on_train_begin(self, net, **kwargs):
        self.changed = []

    def on_epoch_begin(self, net, **kwargs):
        self.before = [p.detach().clone() for p in net.module_.encoder.parameters()]

    def on_epoch_end(self, net, **kwargs):
        after = net.module_.encoder.parameters()
        self.changed.append(not all(map(torch.equal, self.before, after)))


def test_gradual_fine_tuning_keeps_the_streams_for_a_quarter(fitted, structures):
    watch = _Watch()
    settings = {**ENCODER, "fine_tune": "gradual", "max_epochs": 8, "random_state": 0}
    model = make(TriForcesRegressor, pretrained=fitted, callbacks=[watch], **settings)
    model.fit(structures, np.arange(24.0))
    assert watch.changed == [False] * 2 + [True] * 6


def test_some_streams_may_be_taken(fitted, structures):
    streams = ("structure", "composition")
    settings = {**ENCODER, "streams": streams, "fine_tune": "head", "max_epochs": 1}
    model = make(TriForcesClassifier, pretrained=fitted, **settings)
    kinds = np.tile(["rock salt", "zinc blende"], 12)
    source = _encoder(fitted)
    taken = _encoder(model.fit(structures, kinds))
    assert not any("interaction" in name for name in taken)
    assert all(torch.equal(source[name], value) for name, value in taken.items())
    frames = [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)]
    potential = make(TriForcesPotential, pretrained=fitted, max_epochs=1, **ENCODER)
    assert np.isfinite(potential.fit(frames, [0.1, 0.0, 0.1]).predict(frames)["energy"]).all()
    with pytest.raises(ValueError, match="have hidden_dim=8, but this estimator has 16"):
        make(TriForcesRegressor, pretrained=fitted, **ENCODER | {"hidden_dim": 16}).fit(
            structures, np.arange(24.0)
        )
    with pytest.raises(TypeError, match="pretrained is a Ridge"):
        make(TriForcesRegressor, pretrained=Ridge(), **ENCODER).fit(structures, np.arange(24.0))


@pytest.mark.filterwarnings("ignore:.*elements that the training set had not:UserWarning")
def test_searches_and_cross_validation_keep_the_source(fitted, structures):
    volumes = [s.volume for s in structures]
    model = make(TriForcesRegressor, pretrained=fitted, max_epochs=1, **ENCODER)
    assert np.isfinite(cross_val_score(model, structures, volumes, cv=2)).all()
    with pytest.raises(NotFittedError):
        cross_val_score(
            make(TriForcesRegressor, pretrained=TriForcesPretrainer(), **ENCODER),
            structures,
            volumes,
            cv=2,
            error_score="raise",
        )


_SHARED = """
import sys
from nested import make
import pandas as pd
import torch
from test_pretrainer import SMALL
from trisk import TriForcesPretrainer
from trisk.testing import make_structures

structures = make_structures(24, random_state=0)[0]
pretrainer = make(TriForcesPretrainer, **SMALL | {"batch_size": 4, "device": "cpu"}).fit(structures)
rank = torch.distributed.get_rank()
pretrainer.history_.to_pickle(f"{sys.argv[1]}/history {rank}")
pretrainer.transform(structures).to_pickle(f"{sys.argv[1]}/embeddings {rank}")
torch.distributed.destroy_process_group()
"""


def test_two_processes_train_like_one_with_the_whole_batch(fitted, structures, tmp_path):
    pytest.importorskip("accelerate")
    script = tmp_path / "train.py"
    script.write_text(_SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--master-port=0", "--standalone", str(script), str(tmp_path)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = fitted.transform(structures)
    for rank in (0, 1):
        history = pd.read_pickle(tmp_path / f"history {rank}").drop(columns="seconds")
        pd.testing.assert_frame_equal(history, fitted.history_.drop(columns="seconds"), rtol=1e-4)
        embeddings = pd.read_pickle(tmp_path / f"embeddings {rank}")
        np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_what_needs_targets__is_refused(structures):
    for setting in ({"validation_fraction": 0.5}, {"patience": 2}):
        with pytest.raises(ValueError, match="are for targets of rows"):
            make(TriForcesPretrainer, max_epochs=1, **setting).fit(structures)

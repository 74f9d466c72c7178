"""Short versions of the campaigns on interruption, endurance and repetition."""

import errno
import multiprocessing
import os
import signal
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from skorch.callbacks import Callback

import trisk
from reliability.models import case
from reliability.soak import fit_many, growth, predict_in_threads, predict_many

_NAMES = ("HybridTRIADSRegressor", "GraphTRIADSRegressor", "TriForcesRegressor")
_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, forks")


# ----------------------------------------------------------------------------------- endurance


@_linux
def test_many_fits_and_predictions__leave_nothing_behind():
    for found in (fit_many(24, every=6), predict_many(40_000, parts=5)):
        grown = growth(found)
        assert grown["memory_MB"] < 30
        assert grown["threads"] == 0
        assert grown["open_files"] <= 0


@pytest.mark.parametrize("name", _NAMES)
def test_eight_threads__predict_as_one(name):
    assert predict_in_threads(name, n_calls=40) == 0


# ---------------------------------------------------------------------------------- repetition


@pytest.mark.parametrize("name", [*_NAMES, "TriForcesPretrainer", "HurdleRegressor"])
def test_same_seed__same_bits(fitted, name):
    subject, model = fitted(name)
    X = subject.data()[0]
    np.testing.assert_array_equal(subject.ask(subject.fit(), X), subject.ask(model, X))


def test_jobs__change_no_bit():
    subject = case("HybridTRIADSRegressor")
    X, y = subject.data()
    with joblib.parallel_backend("threading"):  # processes take a minute to import torch
        answers = [cross_val_predict(subject.build(), X, y, cv=2, n_jobs=n) for n in (1, 2)]
    np.testing.assert_array_equal(*answers)


# ------------------------------------------------------------------------------- interruptions


def _train(folder):
    torch.set_num_threads(1)
    subject = case("TriForcesRegressor")
    X, y = subject.data()
    model = subject.build().set_params(max_epochs=6, checkpoint=folder / "checkpoint")
    np.save(folder / "answer.npy", model.fit(X, y).predict(X))


@_linux
def test_killed_training__goes_on_to_the_same_bits(tmp_path):
    answers = []
    for kills in (0, 2):
        folder = tmp_path / str(kills)
        folder.mkdir()
        for attempt in range(kills + 1):
            process = multiprocessing.get_context("fork").Process(target=_train, args=(folder,))
            process.start()
            if attempt < kills:
                process.join(0.15 * (attempt + 1))
                process.kill()
            process.join()
        assert process.exitcode == 0
        answers.append(np.load(folder / "answer.npy"))
    np.testing.assert_array_equal(*answers)


class _CtrlC(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("name", _NAMES)
def test_ctrl_c__leaves_a_fitted_estimator_that_can_be_saved(name, tmp_path):
    subject = case(name)
    X, y = subject.data()
    model = subject.build()
    last = getattr(model, "steps", [[None, model]])[-1][1]
    last.set_params(max_epochs=50, callbacks=[("stop", _CtrlC())])
    with pytest.raises(KeyboardInterrupt, match="fitted with the weights reached so far"):
        model.fit(X, y)
    answer = subject.ask(model, X)
    assert np.isfinite(answer).all()
    last.set_params(callbacks=None)
    trisk.save(model, tmp_path / "model.trisk")
    np.testing.assert_array_equal(subject.ask(trisk.load(tmp_path / "model.trisk"), X), answer)


# --------------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_files():
    """No file may grow beyond 4 kB, as if the disk were full."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    limit(soft)
    signal.signal(signal.SIGXFSZ, handler)


@_linux
def test_full_disk__keeps_the_model_that_was_there(small_files, fitted, tmp_path):
    subject, model = fitted("HybridTRIADSRegressor")
    path = tmp_path / "model.trisk"
    trisk.save(model, path)
    content = path.read_bytes()
    small_files(4096)
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the number says which)
        trisk.save(clone(model).fit(*subject.data()), path)
    small_files(-1)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


class _FillDisk(Callback):
    def __init__(self, limit, epoch):
        self.limit = limit
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            self.limit(4096)


@_linux
def test_full_disk__keeps_the_last_good_checkpoint(small_files, tmp_path):
    subject = case("TriForcesRegressor")
    X, y = subject.data()
    settings = {"max_epochs": 5, "checkpoint": tmp_path / "checkpoint"}
    model = subject.build().set_params(**settings)
    with pytest.raises(OSError, match="File too large"):
        clone(model).set_params(callbacks=[("disk", _FillDisk(small_files, 3))]).fit(X, y)
    small_files(-1)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]
    resumed = clone(model).fit(X, y)
    whole = subject.build().set_params(max_epochs=5).fit(X, y)
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))

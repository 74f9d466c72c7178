"""Interruptions of every kind, full disks, and many fits and predictions in one process."""

import errno
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution
from sklearn.base import clone
from sklearn.linear_model import Ridge
from skorch.callbacks import Callback

import trisk
from reliability.models import case
from trisk.model_selection import optuna_search

_NAMES = ("HybridTRIADSRegressor", "GraphTRIADSRegressor", "TriForcesRegressor")
_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, forks")


# ----------------------------------------------------------------------------------- endurance


def _footprint():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory_MB": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "threads": threading.active_count(),
        "native_threads": len(list(Path("/proc/self/task").iterdir())),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
    }


def _assert_nothing_stays(work, n_times):
    """Work of which the first tenth warms up leaves nothing behind."""
    for number in range(n_times):
        work(number)
        if number == n_times // 10:
            first = _footprint()
    grown = {key: value - first[key] for key, value in _footprint().items()}
    assert grown["memory_MB"] < 30
    assert max(grown["threads"], grown["native_threads"], grown["open_files"]) <= 0


@_linux
@pytest.mark.parametrize("n_fits", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_many_fits__leave_nothing_behind(n_fits):
    subject = case("HybridTRIADSRegressor")
    X, y = subject.data()
    model = subject.build()
    _assert_nothing_stays(lambda n: clone(model).set_params(random_state=n).fit(X, y), n_fits)


@_linux
@pytest.mark.parametrize("n_calls", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_predictions__leave_nothing_behind(fitted, n_calls):
    model = fitted("HybridTRIADSRegressor")[1]
    table = np.random.default_rng(0).normal(size=(5000, 4))
    sizes = (1, 10, 100, 1000, 5000)
    _assert_nothing_stays(lambda n: model.predict(table[: sizes[n % 5]]), n_calls)


# ------------------------------------------------------------------------------- interruptions


def _train(name, folder):
    torch.set_num_threads(1)
    subject = case(name)
    X, y = subject.data()
    model = subject.build().set_params(max_epochs=12, checkpoint=folder / "checkpoint")
    np.save(folder / "answer.npy", subject.ask(model.fit(X, y), X))


def _search(_, folder):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    search = optuna_search(
        Ridge(), X, X[:, 0], space={"alpha": FloatDistribution(1e-3, 1e3, log=True)},
        n_trials=12, cv=3, random_state=0, verbose=0,
        storage=f"sqlite:///{folder}/study.db", study_name="kill",
    )  # fmt: skip
    trials = search.trials_dataframe()
    assert trials["state"].isin(["complete", "pruned"]).sum() >= 12
    np.save(folder / "answer.npy", search.predict(X))


def _run(work, name, folder, seconds=None):
    """Run work in a fork, which has the imports behind it; kill it after some time."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(name, folder))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


@_linux
@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["HybridTRIADSRegressor", "TriForcesRegressor",
                                  "TriForcesPretrainer"])  # fmt: skip
def test_killed_training__goes_on_to_the_same_bits(tmp_path, name, rounds):
    case(name).data()  # the imports of the data
    started = time.monotonic()
    assert _run(_train, name, tmp_path) == 0
    seconds, expected = time.monotonic() - started, np.load(tmp_path / "answer.npy")
    rng = np.random.default_rng(rounds)
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(2):
            _run(_train, name, folder, seconds=rng.uniform(0, seconds))
        assert _run(_train, name, folder) == 0
        np.testing.assert_array_equal(np.load(folder / "answer.npy"), expected)


@_linux
@pytest.mark.slow
def test_killed_searches__go_on(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        _run(_search, "study", folder, seconds=rng.uniform(0, 2))
        assert _run(_search, "study", folder) == 0
        assert np.isfinite(np.load(folder / "answer.npy")).all()


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
    trisk.save(model, tmp_path / "model.trisk")
    again = trisk.load(tmp_path / "model.trisk", device="cpu")
    np.testing.assert_array_equal(subject.ask(again, X), answer)


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
    model = subject.build().set_params(max_epochs=5, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(OSError, match="File too large"):
        clone(model).set_params(callbacks=[("disk", _FillDisk(small_files, 3))]).fit(X, y)
    small_files(-1)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = clone(model).fit(X, y)
    whole = subject.build().set_params(max_epochs=5).fit(X, y)
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))

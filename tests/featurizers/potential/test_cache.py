"""The cache of measurements: keys, concurrent and killed writers, damaged files, full disks."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from trisk.featurizers import PotentialFeaturizer
from trisk.featurizers.potential._cache import RecordCache, record_key

STRUCTURES = [bulk("Cu"), bulk("Au"), bulk("Pt")]


class NoCalls:
    """A calculator that nobody should need."""

    def calculate_many(self, images):
        raise AssertionError("everything is cached")


def featurizer(folder, calculator=EMT):
    return PotentialFeaturizer(
        calculator, sensors=["energy", "forces"], memory=folder, potential_name="EMT"
    ).fit(STRUCTURES)


def test_record_key__depends_on_values_types_shapes_and_borders():
    a = np.arange(6)
    keys = {
        record_key(a),
        record_key(a.astype(np.int32)),
        record_key(a.reshape(2, 3)),
        record_key(a, a),
        record_key(a[:3], a[3:]),
        record_key("ab", "c"),
        record_key("a", "bc"),
        record_key(a + 1),
    }
    assert len(keys) == 8
    assert record_key(a.reshape(2, 3).T) == record_key(a.reshape(2, 3).T.copy())


def test_cache__keeps_and_replaces(tmp_path):
    cache = RecordCache(tmp_path / "a" / "b")
    assert cache.get("00") is None
    assert not cache.folder.exists()
    for values in ([1.0], [2.0, 3.0]):
        cache.put("00", {"values": np.array(values), "converged": np.array(True)})
        record = RecordCache(tmp_path / "a" / "b").get("00")
        np.testing.assert_array_equal(record["values"], values)
        assert record["converged"]
    assert len(list(cache.folder.rglob("*.*"))) == 1


def _write(folder, value):
    for n in range(20):
        RecordCache(folder).put(f"{n:02d}", {"values": np.full(1000, value)})


def test_cache__two_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    workers = [context.Process(target=_write, args=(tmp_path, value)) for value in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    cache = RecordCache(tmp_path)
    assert all(len(set(cache.get(f"{n:02d}")["values"])) == 1 for n in range(20))
    assert cache.damaged == []


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_cache__killed_writer__leaves_only_whole_records(tmp_path):
    code = """
import sys
import numpy as np
from trisk.featurizers.potential._cache import RecordCache
cache, n = RecordCache(sys.argv[1]), 0
while True:
    cache.put(f"{n:06d}", {"values": np.random.default_rng(n).normal(size=100_000)})
    n += 1
"""
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.record"))) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    cache, n = RecordCache(tmp_path), 0
    while (record := cache.get(f"{n:06d}")) is not None:
        assert len(record["values"]) == 100_000
        n += 1
    assert n >= 10
    assert cache.damaged == []


def test_flipped_bit__is_named_and_not_used(tmp_path):
    expected = featurizer(tmp_path).transform(STRUCTURES)
    files = sorted(tmp_path.rglob("*.record"))
    rng = np.random.default_rng(0)
    for path in rng.permutation(files)[:4]:
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=f"1 cached measurements are damaged.*{path.name}"):
            pd.testing.assert_frame_equal(featurizer(tmp_path).transform(STRUCTURES), expected)
    # What was damaged is whole again.
    again = featurizer(tmp_path, NoCalls())
    pd.testing.assert_frame_equal(again.transform(STRUCTURES), expected)


@pytest.mark.parametrize("change", [lambda c: b"", lambda c: c[:-1], lambda c: c + b"\0"])
def test_truncated_and_exchanged_files__are_damaged(tmp_path, change):
    cache = RecordCache(tmp_path)
    cache.put("aa", {"values": np.zeros(3)})
    first, second = (cache._path(key) for key in ("aa", "ab"))
    second.parent.mkdir(exist_ok=True)
    second.write_bytes(first.read_bytes())
    first.write_bytes(change(first.read_bytes()))
    assert cache.get("aa") is None
    assert cache.get("ab") is None
    assert cache.damaged == [str(first), str(second)]


def test_full_disk__goes_on_with_one_warning(tmp_path, monkeypatch):
    expected = featurizer(None).transform(STRUCTURES)

    def replace(path, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.warns(UserWarning, match="cannot be kept.*No space left") as caught:
        pd.testing.assert_frame_equal(featurizer(tmp_path).transform(STRUCTURES), expected)
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions")
def test_read_only_folder__goes_on_with_one_warning(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.warns(UserWarning, match="Permission denied") as caught:
        assert featurizer(tmp_path).transform(STRUCTURES).notna().all(axis=None)
    assert len(caught) == 1


def test_file_in_place_of_the_folder__goes_on_with_one_warning(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(UserWarning, match=r"memory='.*file'") as caught:
        assert featurizer(tmp_path / "file").transform(STRUCTURES).notna().all(axis=None)
    assert len(caught) == 1


def test_sound_cache__does_not_warn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            featurizer(tmp_path).transform(STRUCTURES)

"""The store of results: keys, concurrent writers, killed writers, damaged files."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from trisk.featurizers._store import ContentStore, content_key


def test_content_key__depends_on_values_types_shapes_and_borders():
    a = np.arange(6)
    keys = {
        content_key(a),
        content_key(a.astype(np.int32)),
        content_key(a.reshape(2, 3)),
        content_key(a, a),
        content_key(a[:3], a[3:]),
        content_key("ab", "c"),
        content_key("a", "bc"),
        content_key(a + 1),
    }
    assert len(keys) == 8
    assert content_key(a.reshape(2, 3).T) == content_key(a.reshape(2, 3).T.copy())


def test_store__keeps_and_replaces(tmp_path):
    store = ContentStore(tmp_path / "a" / "b")
    assert store.get_many([b"x"]) == {}
    assert not store.path.exists()
    store.put_many({b"x": b"1", b"y": b""})
    store.put_many({b"x": b"2"})
    assert ContentStore(tmp_path / "a" / "b").get_many([b"x", b"y", b"z"]) == {
        b"x": b"2",
        b"y": b"",
    }


def test_store__more_keys_than_a_query_takes(tmp_path):
    store = ContentStore(tmp_path)
    values = {str(n).encode(): bytes([n % 256]) for n in range(1234)}
    store.put_many(values)
    assert store.get_many(values) == values


def _write(folder, start):
    for n in range(start, start + 20):
        ContentStore(folder).put_many({str(n).encode(): b"value"})


def test_store__two_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    workers = [context.Process(target=_write, args=(tmp_path, start)) for start in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    keys = [str(n).encode() for n in range(40)]
    assert len(ContentStore(tmp_path).get_many(keys)) == 40


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_store__killed_writer__leaves_only_whole_values(tmp_path):
    code = """
import sys
from trisk.featurizers._store import ContentStore
store, n = ContentStore(sys.argv[1]), 0
while True:
    store.put_many({f"{n} {m}".encode(): bytes(20_000) for m in range(20)})
    n += 1
"""
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    store, first = ContentStore(tmp_path), [f"0 {m}".encode() for m in range(20)]
    deadline = time.monotonic() + 60
    while len(store.get_many(first)) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    n = 0
    while found := store.get_many([f"{n} {m}".encode() for m in range(20)]):
        assert len(found) == 20
        assert set(found.values()) == {bytes(20_000)}
        n += 1
    assert n > 0
    store.put_many({b"after": b"1"})
    assert store.get_many([b"after"]) == {b"after": b"1"}


def test_store__damaged_file__says_what_to_do(tmp_path):
    (tmp_path / "trisk.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(OSError, match="Delete it"):
        ContentStore(tmp_path).get_many([b"x"])
    with pytest.raises(OSError, match="Delete it"):
        ContentStore(tmp_path).put_many({b"x": b"1"})

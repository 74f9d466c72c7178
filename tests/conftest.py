"""Fixtures that every test folder shares."""

import os
import signal
from pathlib import Path

import pytest

# The project's shared folder holds the real Matbench files; a user's machine has none.
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Let Ctrl-C interrupt, also where the tests were started in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data beside the checkout; skips where it is absent."""
    if not _SHARED.is_dir():
        pytest.skip(f"the shared data folder {_SHARED} is absent")
    return _SHARED


@pytest.fixture(scope="session")
def matbench_dir(shared_data):
    """Folder of Matbench files, with ``MATMINER_DATA`` pointing at it for the whole session."""
    folder = shared_data / "matminer"
    previous = os.environ.get("MATMINER_DATA")
    os.environ["MATMINER_DATA"] = str(folder)
    yield folder
    if previous is None:
        del os.environ["MATMINER_DATA"]
    else:
        os.environ["MATMINER_DATA"] = previous

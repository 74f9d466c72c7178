"""A PostgreSQL server of its own for a test, from Debian's packages."""

import getpass
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest


def _find_binaries():
    """Folder of ``initdb`` and ``pg_ctl``: Debian keeps them off the path."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if found is None else [found]
    if not folders:
        pytest.skip("PostgreSQL's server is absent (Debian: apt-get install postgresql)")
    return Path(folders[-1]) if found is None else Path(found).parent


@contextmanager
def postgresql_server():
    """Start a server on a free port; give a URL for SQLAlchemy."""
    binaries = _find_binaries()
    pytest.importorskip("psycopg", reason="psycopg is absent: pip install 'trisk[postgresql]'")
    # The server refuses to run as root.
    as_root = getpass.getuser() == "root"
    if as_root and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    prefix = ["runuser", "-u", "postgres", "--"] if as_root else []
    folder = Path(tempfile.mkdtemp(prefix="trisk-postgresql-"))
    if as_root:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program, *arguments):
        command = [*prefix, binaries / program, "-D", folder / "data", *arguments]
        subprocess.run(command, check=True, cwd=folder, capture_output=True, timeout=60)

    try:
        run("initdb", "-U", "trisk", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        run("pg_ctl", "-l", folder / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://trisk@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

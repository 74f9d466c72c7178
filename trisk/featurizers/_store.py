"""Results on disk under the hash of what they were computed from."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

_FILE = "trisk.sqlite"
_TIMEOUT = 60.0  # seconds to wait for another process that writes
_KEYS_PER_QUERY = 500  # SQLite bounds the variables of a statement


def content_key(*parts):
    """Hash of values that a result depends on.

    Parameters
    ----------
    *parts : ndarray or str
        Arrays count with their type, shape and values.

    Returns
    -------
    bytes
        20 bytes; equal parts give equal keys, on every machine.
    """
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, str):
            content = part.encode()
            header = f"str {len(content)};"
        else:
            array = np.ascontiguousarray(part)
            content, header = array.tobytes(), f"{array.dtype.str} {array.shape};"
        digest.update(header.encode())
        digest.update(content)
    return digest.digest()


class ContentStore:
    """Bytes by key in one SQLite file, for many processes at once.

    What is written is there as a whole or not at all, also when the process is killed.

    Parameters
    ----------
    folder : str or path-like
        Folder of the file ``trisk.sqlite``; both are made when first written to.
    """

    def __init__(self, folder):
        self.path = Path(folder).expanduser() / _FILE

    def get_many(self, keys):
        """Look values up.

        Parameters
        ----------
        keys : iterable of bytes
            Keys.

        Returns
        -------
        dict of bytes to bytes
            The values of those keys that are known.
        """
        keys = list(keys)
        found: dict[bytes, bytes] = {}
        if not keys or not self.path.is_file():
            return found
        with closing(self._connect()) as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM results WHERE key IN ({marks})"  # noqa: S608 (marks)
                found.update(connection.execute(query, some))
        return found

    def put_many(self, values):
        """Keep values; one that is known already is replaced.

        Parameters
        ----------
        values : dict of bytes to bytes
            Values by key.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", values.items())

    def _connect(self):
        """Open the file and make sure that it holds the table."""
        connection = sqlite3.connect(self.path, timeout=_TIMEOUT)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            connection.close()
            raise OSError(
                f"{self.path} cannot be used as a store of results ({error}). Delete it, or "
                "name another folder."
            ) from error
        return connection

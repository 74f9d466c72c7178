"""Records of arrays on disk, each with a checksum, under the hash of what they depend on."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np

from trisk._replace import replace_file

_CHECKSUM_BYTES = 32
_NAMED = 5  # damaged files that a warning names


def record_key(*parts):
    """Hexadecimal hash of texts and arrays; equal parts give equal keys on every machine."""
    digest = hashlib.sha256()
    for part in map(np.asarray, parts):
        digest.update(f"{part.dtype.str} {part.shape};".encode())
        digest.update(part.tobytes())
    return digest.hexdigest()


def structure_key(*parts):
    """Key of texts, then atomic numbers, lattice, positions and directions of repetition."""
    *texts, numbers, lattice, positions, pbc = parts
    # Rounded, so that a structure written to a file and read again is found.
    rounded = [np.round(values, 8) + 0.0 for values in (lattice, positions)]
    return record_key(*texts, numbers.astype(np.int64), *rounded, pbc)


class RecordCache:
    """One file per record in a folder; what cannot be read or written is noted, never raised."""

    def __init__(self, folder):
        self.folder = None if folder is None else Path(folder).expanduser()
        self.damaged = []
        self.write_error = None

    def get(self, key):
        """Give the record; None where there is none, or where its file is damaged."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            content = b""
        checksum, archive = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if checksum != _checksum(key, archive):
            self.damaged.append(str(path))
            return None
        with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
            return dict(arrays)

    def put(self, key, record):
        """Keep a record: afterwards its file holds all of it, or is what it was before."""
        if self.folder is None or self.write_error is not None:
            return
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **record)
        archive, path = buffer.getvalue(), self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, _checksum(key, archive), archive, sync=False)
        except OSError as error:
            self.write_error = str(error)

    def add_notes(self, other):
        """Take over what another cache of the same folder noted."""
        self.damaged += other.damaged
        self.write_error = self.write_error or other.write_error

    def warn(self, stacklevel):
        """Say once what was noted."""
        if self.damaged:
            more = len(self.damaged) - _NAMED
            names = ", ".join(self.damaged[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            warnings.warn(
                f"{len(self.damaged)} cached measurements are damaged and were not used: {names}",
                stacklevel=stacklevel + 1,
            )
        if self.write_error is not None:
            warnings.warn(
                f"measurements cannot be kept in memory={str(self.folder)!r} "
                f"({self.write_error}); they go on without",
                stacklevel=stacklevel + 1,
            )

    def _path(self, key):
        return self.folder / key[:2] / f"{key}.record"


def _checksum(key, archive):
    """Checksum of a record under its key, so that one file cannot stand for another."""
    return hashlib.sha256(key.encode() + archive).digest()

"""Reading many structure files: over several processes, and each only once."""

import os
from pathlib import Path

import numpy as np
from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

from trisk.featurizers._store import content_key
from trisk.featurizers.structure._objects import StructureError, read_structure

_FORMAT = "structure file 1"  # to be raised with every change of how files are read
_CHUNK = 64  # files between two writes to the store


def read_structure_files(values, store=None, n_jobs=None, verbose=0):
    """Read those values that are paths or texts of structure files.

    Parameters
    ----------
    values : list
        Values of any kind.
    store : ContentStore, default=None
        Keeps what was read under the content of the file.
    n_jobs : int, default=None
        Number of joblib workers.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    dict of int to tuple or StructureError
        Row → what :func:`read_structure` gives or raises, for each such value.
    """
    rows = [row for row, value in enumerate(values) if isinstance(value, str | os.PathLike)]
    if store is None:
        return dict(_read_rows(values, rows, n_jobs, verbose))
    keys = {row: _key(values[row]) for row in rows}
    packed = store.get_many(key for key in keys.values() if key is not None)
    read, new = {}, {}
    for row, result in _read_rows(
        values, [row for row in rows if keys[row] not in packed], n_jobs, verbose
    ):
        read[row] = result
        if keys[row] is not None and not isinstance(result, StructureError):
            new[keys[row]] = _pack(*result)
        if len(new) >= _CHUNK:
            store.put_many(new)
            new = {}
    if new:
        store.put_many(new)
    return {row: read[row] if row in read else _unpack(packed[keys[row]]) for row in rows}


def _read_rows(values, rows, n_jobs, verbose):
    """Row and result of each row, in order."""
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_read_chunk)([values[row] for row in chunk]) for chunk in chunks
    )
    with tqdm(
        total=len(rows), desc="structure files", unit="files", disable=not (verbose and rows)
    ) as progress:
        for chunk, chunk_results in zip(chunks, results, strict=True):
            yield from zip(chunk, chunk_results, strict=True)
            progress.update(len(chunk))


def _read_chunk(values):
    results = []
    for value in values:
        try:
            results.append(read_structure(value))
        except StructureError as error:
            results.append(error)
    return results


def _key(value):
    """Hash of a file's or a text's content; None where there is nothing to read."""
    if isinstance(value, str) and "\n" in value.strip():
        return content_key(_FORMAT, "", value)
    try:
        path = Path(value).expanduser()
        # The name says of what format the file is.
        return content_key(_FORMAT, path.name, np.frombuffer(path.read_bytes(), dtype=np.uint8))
    except OSError:
        return None


def _pack(numbers, positions, lattice, periodic):
    numbers = numbers.astype(np.float64)  # exact, and one type for all
    return np.concatenate([numbers, positions.ravel(), lattice.ravel(), periodic]).tobytes()


def _unpack(content):
    values = np.frombuffer(content)
    n_atoms = (len(values) - 12) // 4
    numbers, positions, lattice, periodic = np.split(values, [n_atoms, 4 * n_atoms, -3])
    return (
        numbers.astype(np.int64),
        positions.reshape(-1, 3),
        lattice.reshape(3, 3),
        periodic.astype(bool),
    )

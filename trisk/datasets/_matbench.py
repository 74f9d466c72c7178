"""Loads a Matbench task from the local disk or, where there is a network, from its home."""

import hashlib
import os
import tempfile
import urllib.request
from pathlib import Path

from trisk.datasets._tasks import find_task

_TIMEOUT = 10  # seconds without an answer after which a download is given up


class DatasetNotFoundError(FileNotFoundError):
    """A data set is neither on this machine nor to be had from the network."""


def load_matbench(name, *, data_home=None, download_if_missing=True):
    """Load one Matbench v0.1 task [1]_ as pandas objects, in Matbench's own order.

    The file is read by matminer, from ``data_home``. Where it is absent it is fetched there
    once, unless ``download_if_missing=False``.

    Parameters
    ----------
    name : str
        ``"steels"``, ``"expt_gap"``, ``"expt_is_metal"``, ``"glass"``, ``"jdft2d"``,
        ``"phonons"`` or another of Matbench's thirteen tasks, with or without the prefix
        ``matbench_``.
    data_home : str or path-like, default=None
        Folder of the file ``matbench_<task>.json.gz``. None means the folder that the
        environment variable ``MATMINER_DATA`` names, or else matminer's own.
    download_if_missing : bool, default=True
        Whether to fetch the file if it is not in the folder.

    Returns
    -------
    X : pandas.Series of shape (n_samples,)
        Formulas (str), named ``"composition"``, or :class:`pymatgen.core.Structure` objects,
        named ``"structure"``. The index holds Matbench's identifiers, such as
        ``mb-steels-001``.
    y : pandas.Series of shape (n_samples,)
        The target under Matbench's name for it, of dtype bool for classification.
        ``y.attrs`` holds the keys ``"quantity"`` (the target in words) and ``"unit"``.

    Raises
    ------
    ValueError
        If ``name`` is no Matbench task, or the file is damaged.
    DatasetNotFoundError
        If the file is absent and cannot be fetched.

    Notes
    -----
    ======================  ===========  ==============================  =====
    task                    rows         target                          unit
    ======================  ===========  ==============================  =====
    steels                  composition  yield strength                  MPa
    expt_gap                composition  measured band gap               eV
    expt_is_metal           composition  metal or not                    –
    glass                   composition  forms a metallic glass or not   –
    jdft2d                  structure    exfoliation energy              meV/atom
    phonons                 structure    last phonon DOS peak            cm⁻¹
    ======================  ===========  ==============================  =====

    References
    ----------
    .. [1] A. Dunn, Q. Wang, A. Ganose, D. Dopp, A. Jain, "Benchmarking materials property
       prediction methods: the Matbench test set and Automatminer reference algorithm",
       npj Comput. Mater. 6, 138 (2020). https://doi.org/10.1038/s41524-020-00406-3

    Examples
    --------
    >>> from trisk.datasets import load_matbench
    >>> X, y = load_matbench("steels")  # doctest: +SKIP
    >>> y.head(2)  # doctest: +SKIP
    mb-steels-001    2411.5
    mb-steels-002    1123.1
    Name: yield strength, dtype: float64
    """
    task = find_task(name)
    folder = _data_folder(data_home)
    path = folder / f"{task.name}.json.gz"
    if not path.is_file():
        _fetch(task, path, download_if_missing)
    frame = _read(task, path)
    frame.index = task.sample_ids()
    X, y = frame[task.inputs], frame[task.target]
    y.attrs = {"quantity": task.quantity, "unit": task.unit}
    return X, y


def _data_folder(data_home):
    """Folder that matminer would look into, as an absolute path."""
    if data_home is None:
        data_home = os.environ.get("MATMINER_DATA")
    if data_home is None:
        from matminer import datasets

        data_home = Path(datasets.__file__).parent
    return Path(data_home).expanduser().absolute()


def _read(task, path):
    """The task's table; every way in which a file can be damaged becomes one ValueError."""
    from matminer.datasets import load_dataset

    try:
        frame = load_dataset(task.name, data_home=str(path.parent), download_if_missing=False)
        frame = frame[[task.inputs, task.target]]
        if len(frame) != task.n_samples:
            raise ValueError(f"it holds {len(frame)} rows instead of {task.n_samples}")
    except (EOFError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as {task.name} ({type(error).__name__}: {error}). "
            "Delete it and load the task again, or replace it by an intact copy."
        ) from None
    return frame


def _fetch(task, path, allowed):
    """Bring the task's file to ``path``, or say what to do instead."""
    from matminer.datasets import get_dataset_attribute

    url = get_dataset_attribute(task.name, "url")
    problem = "downloading is switched off (download_if_missing=False)"
    if allowed:
        try:
            _download(url, path, get_dataset_attribute(task.name, "hash"))
            return
        except (OSError, ValueError) as error:
            problem = f"it could not be downloaded ({getattr(error, 'reason', error)})"
    where = f"the folder {path.parent}" + ("" if path.parent.is_dir() else ", which does not exist")
    raise DatasetNotFoundError(
        f"{path.name} is not in {where}, and {problem}. Fetch {url} on a machine with a network, "
        "put it into a folder, and pass that folder as data_home or name it in the environment "
        "variable MATMINER_DATA."
    )


def _download(url, path, sha256):
    """Fetch a file; only a complete one with the right checksum appears under its name."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:  # noqa: S310 (matminer's https)
        content = response.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"what {url} sent has another checksum than matminer's records give")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as partial:
        partial.write(content)
    Path(partial.name).replace(path)

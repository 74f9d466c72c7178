"""Loads a Matbench task from the local disk or, where there is a network, from its home."""

import difflib
import hashlib
import os
import urllib.request
import zlib
from pathlib import Path
from typing import NamedTuple

from trisk._replace import replace_file

_TIMEOUT = 10  # seconds without an answer after which a download is given up


class DatasetNotFoundError(FileNotFoundError):
    """A data set is neither on this machine nor to be had from the network."""


class MatbenchTask(NamedTuple):
    """What Matbench says of a task, with the target in words and its unit for axis labels."""

    name: str
    inputs: str
    target: str
    quantity: str
    unit: str | None
    n_samples: int

    @property
    def classification(self):
        """Whether the target is a class."""
        return self.target in {"gfa", "is_metal"}

    def sample_ids(self):
        """Matbench's row names: ``mb-steels-001``, as wide as the number of rows."""
        prefix = self.name.replace("matbench", "mb").replace("_", "-")
        width = len(str(self.n_samples))
        return [f"{prefix}-{row:0{width}d}" for row in range(1, self.n_samples + 1)]


_ROWS = (
    ("dielectric", "structure", "n", "refractive index", None, 4764),
    ("expt_gap", "composition", "gap expt", "band gap", "eV", 4604),
    ("expt_is_metal", "composition", "is_metal", "metallic", None, 4921),
    ("glass", "composition", "gfa", "glass forming", None, 5680),
    ("jdft2d", "structure", "exfoliation_en", "exfoliation energy", "meV/atom", 636),
    ("log_gvrh", "structure", "log10(G_VRH)", "log₁₀ shear modulus", "log₁₀ GPa", 10987),
    ("log_kvrh", "structure", "log10(K_VRH)", "log₁₀ bulk modulus", "log₁₀ GPa", 10987),
    ("mp_e_form", "structure", "e_form", "formation energy", "eV/atom", 132752),
    ("mp_gap", "structure", "gap pbe", "PBE band gap", "eV", 106113),
    ("mp_is_metal", "structure", "is_metal", "metallic", None, 106113),
    ("perovskites", "structure", "e_form", "formation energy", "eV/cell", 18928),
    ("phonons", "structure", "last phdos peak", "last phonon DOS peak", "cm⁻¹", 1265),
    ("steels", "composition", "yield strength", "yield strength", "MPa", 312),
)

MATBENCH_TASKS = {row[0]: MatbenchTask(f"matbench_{row[0]}", *row[1:]) for row in _ROWS}


def find_task(name):
    """The task of a name, given with or without ``matbench_``; ValueError if there is none."""
    short = str(name).removeprefix("matbench_")
    if short in MATBENCH_TASKS:
        return MATBENCH_TASKS[short]
    near = difflib.get_close_matches(short, MATBENCH_TASKS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"{name!r} is no Matbench task.{hint} The tasks are {', '.join(MATBENCH_TASKS)}, "
        "with or without the prefix 'matbench_'."
    )


def load_matbench(name, *, data_home=None, download_if_missing=True):
    """Load one Matbench v0.1 task [1]_ as pandas objects, in Matbench's own order.

    Parameters
    ----------
    name : str
        ``"steels"`` (yield strengths), ``"expt_gap"`` (measured band gaps), ``"expt_is_metal"``,
        ``"glass"``, ``"jdft2d"`` (exfoliation energies), ``"phonons"`` or another of Matbench's
        thirteen tasks, with or without the prefix ``matbench_``.
    data_home : str or path-like, default=None
        Folder of the file ``matbench_<task>.json.gz``, which matminer reads. None means the folder
        that the environment variable ``MATMINER_DATA`` names, or else matminer's own.
    download_if_missing : bool, default=True
        Whether to fetch the file, once, if it is not in the folder.

    Returns
    -------
    X : pandas.Series of shape (n_samples,)
        Formulas (str), named ``"composition"``, or :class:`pymatgen.core.Structure` objects, named
        ``"structure"``, under Matbench's identifiers, such as ``mb-steels-001``.
    y : pandas.Series of shape (n_samples,)
        The target under Matbench's name for it, of dtype bool for classification.
        ``y.attrs`` holds the keys ``"quantity"`` (the target in words) and ``"unit"``.

    Raises
    ------
    ValueError
        If ``name`` is no Matbench task, or the file is damaged.
    DatasetNotFoundError
        If the file is absent and cannot be fetched.

    References
    ----------
    .. [1] A. Dunn et al., npj Comput. Mater. 6, 138 (2020), doi:10.1038/s41524-020-00406-3

    Examples
    --------
    >>> from trisk.datasets import load_matbench
    >>> X, y = load_matbench("steels")  # doctest: +SKIP
    >>> y.iloc[0], y.attrs  # doctest: +SKIP
    (2411.5, {'quantity': 'yield strength', 'unit': 'MPa'})
    """
    task = find_task(name)
    path = _data_folder(data_home) / f"{task.name}.json.gz"
    if not path.is_file():
        _fetch(task, path, download_if_missing)
    frame = _read(task, path)
    frame.index = task.sample_ids()
    X, y = frame[task.inputs], frame[task.target]
    y.attrs = {"quantity": task.quantity, "unit": task.unit}
    return X, y


def _data_folder(data_home):
    """Folder that matminer would look into, as an absolute path."""
    data_home = data_home or os.environ.get("MATMINER_DATA")
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
    except (EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
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
    replace_file(path, content)

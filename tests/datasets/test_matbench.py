import gzip
import json
import socket
import subprocess
import sys
import urllib.error

import numpy as np
import pytest

from trisk.datasets import DatasetNotFoundError, _matbench, load_matbench
from trisk.datasets._matbench import MATBENCH_TASKS

# Mean absolute deviation of the target, or share of the positive class, from matbench's metadata.
PUBLISHED = {
    "expt_gap": 1.1432002429044061,
    "expt_is_metal": 0.4980694980694981,
    "glass": 0.710387323943662,
    "jdft2d": 67.20200406491116,
    "phonons": 323.78696979348734,
    "steels": 229.37426857330706,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_load_matbench__each_task__is_named_indexed_and_has_the_published_target(
    matbench_dir, name
):
    task = MATBENCH_TASKS[name]
    X, y = load_matbench(name)
    assert X.name == task.inputs
    assert y.name == task.target
    assert y.attrs == {"quantity": task.quantity, "unit": task.unit}
    assert len(X) == len(y) == task.n_samples
    assert X.index.equals(y.index)
    assert type(X.iloc[0]).__name__ == {"composition": "str", "structure": "Structure"}[X.name]
    if task.classification:
        assert y.dtype == bool
        assert y.mean() == pytest.approx(PUBLISHED[name], rel=1e-12)
    else:
        assert y.dtype == np.float64
        assert (y - y.mean()).abs().mean() == pytest.approx(PUBLISHED[name], rel=1e-9)


def test_load_matbench__prefix_and_data_home__give_the_same_rows(matbench_dir, monkeypatch):
    monkeypatch.setenv("MATMINER_DATA", "/nowhere")
    X, y = load_matbench("matbench_steels", data_home=matbench_dir)
    assert X.index[[0, -1]].tolist() == ["mb-steels-001", "mb-steels-312"]
    assert y["mb-steels-068"] == 1241.0
    X, _ = load_matbench("steels", data_home=str(matbench_dir))
    assert X.index[0] == "mb-steels-001"


def test_tasks__agree_with_matminer():
    from matminer.datasets import get_dataset_attribute

    for task in MATBENCH_TASKS.values():
        assert get_dataset_attribute(task.name, "num_entries") == task.n_samples
        assert set(get_dataset_attribute(task.name, "columns")) == {task.inputs, task.target}


def test_sample_ids__width_follows_the_number_of_rows():
    assert MATBENCH_TASKS["expt_is_metal"].sample_ids()[-1] == "mb-expt-is-metal-4921"
    assert MATBENCH_TASKS["log_gvrh"].sample_ids()[0] == "mb-log-gvrh-00001"


@pytest.mark.parametrize(
    ("name", "hint"), [("steel", "'steels'"), ("matbench_expt_gaps", "'expt_gap'")]
)
def test_load_matbench__misspelt_name__suggests_the_right_one(name, hint):
    with pytest.raises(ValueError, match=f"{name}.*Did you mean {hint}"):
        load_matbench(name)


@pytest.mark.parametrize("name", ["zzz", 3, None])
def test_load_matbench__unknown_name__lists_the_tasks(name):
    with pytest.raises(ValueError, match=r"no Matbench task\. The tasks are dielectric, expt_gap"):
        load_matbench(name)


def refuse(*_, **__):
    raise urllib.error.URLError(socket.gaierror("name or service not known"))


def test_load_matbench__absent_and_offline__one_error_says_where_and_how(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(_matbench.urllib.request, "urlopen", refuse)
    monkeypatch.setenv("MATMINER_DATA", str(tmp_path / "absent"))
    with pytest.raises(DatasetNotFoundError) as caught:
        load_matbench("steels")
    message = str(caught.value)
    for part in (
        str(tmp_path / "absent"),
        "does not exist",
        "MATMINER_DATA",
        "data_home",
        "https:",
    ):
        assert part in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_load_matbench__absent_and_downloads_off__does_not_touch_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(_matbench.urllib.request, "urlopen", None)
    with pytest.raises(DatasetNotFoundError, match="switched off"):
        load_matbench("steels", data_home=tmp_path, download_if_missing=False)


class Response:
    def __init__(self, content):
        self.content = content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read(self):
        return self.content


def serve(monkeypatch, content, sha256):
    monkeypatch.setattr(_matbench.urllib.request, "urlopen", lambda *_, **__: Response(content))
    monkeypatch.setattr(_matbench.hashlib, "sha256", lambda _: FixedDigest(sha256))


class FixedDigest:
    def __init__(self, value):
        self.value = value

    def hexdigest(self):
        return self.value


def steels_like(n_rows):
    rows = [["Fe0.9C0.1", float(row)] for row in range(n_rows)]
    table = {
        "columns": ["composition", "yield strength"],
        "index": list(range(n_rows)),
        "data": rows,
    }
    return gzip.compress(json.dumps(table).encode())


def test_load_matbench__absent_and_online__fetches_once_and_keeps_the_file(tmp_path, monkeypatch):
    from matminer.datasets import get_dataset_attribute

    serve(monkeypatch, steels_like(312), get_dataset_attribute("matbench_steels", "hash"))
    _, y = load_matbench("steels", data_home=tmp_path / "new")
    assert y["mb-steels-312"] == 311.0
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["matbench_steels.json.gz"]
    monkeypatch.setattr(_matbench.urllib.request, "urlopen", refuse)
    load_matbench("steels", data_home=tmp_path / "new")


def test_load_matbench__wrong_checksum__leaves_nothing_behind(tmp_path, monkeypatch):
    serve(monkeypatch, b"<html>please log in</html>", "not the hash")
    with pytest.raises(DatasetNotFoundError, match="another checksum"):
        load_matbench("steels", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(steels_like(312)[:-200], id="cut off"),
        pytest.param(steels_like(10), id="too few rows"),
        # gzip stamps the time: without an id, each worker of a parallel run would name it anew
        pytest.param(gzip.compress(b"[]"), id="no table"),
    ],
)
def test_load_matbench__damaged_file__says_which_and_what_to_do(tmp_path, content):
    (tmp_path / "matbench_steels.json.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"matbench_steels\.json\.gz cannot be read.*Delete it"):
        load_matbench("steels", data_home=tmp_path)


def test_import_datasets__loads_neither_matminer_nor_pymatgen_nor_torch():
    code = (
        "import sys, trisk.datasets, trisk.model_selection\n"
        "print({'matminer', 'pymatgen', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

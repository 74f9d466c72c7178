"""Results as JSON lines: one row for each metric of each fold of each model."""

import fcntl
import json
import os
import platform
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
#: What names a computation; its rows share these.
KEY = ("task", "split", "fold", "model", "parameters")
#: Day from which on the numbers of each network hold; rows measured before are marked as older.
NETWORKS = {"HybridTRIADS": "2026-11-29", "GraphTRIADS": "2026-11-29", "TriForces": "2026-11-29"}


def key_of(row):
    """What a row's computation is known by: task, split, fold, model and parameters."""
    return json.dumps([row[name] for name in KEY], sort_keys=True, ensure_ascii=False)


def read(suite, folder=None):
    """Rows of a suite, the newest of every computation and metric, in order of the file."""
    path = (folder or RESULTS) / f"{suite}.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
    # What stands behind the last line break was cut off while it was written.
    rows = [json.loads(line) for line in lines[:-1]]
    return list({(key_of(row), row["metric"]): row for row in rows}.values())


def append(suite, rows, folder=None):
    """Add rows to a suite's file, safe from other processes and from being stopped."""
    path = (folder or RESULTS) / f"{suite}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def is_older(row):
    """Whether a network that has changed since gave the row."""
    changed = [day for name, day in NETWORKS.items() if name in row["model"]]
    return any(row["date"] < day for day in changed)


def provenance():
    """Commit, date and machine of what is measured now."""
    return {"commit": _commit(), "date": date.today().isoformat(), "machine": _machine()}


def _commit():
    """Abbreviated commit, with a plus if the package differs from it."""

    def git(*arguments):
        command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
        return subprocess.run(command, capture_output=True, text=True)  # noqa: S603

    found = git("rev-parse", "--short", "HEAD")
    if found.returncode:
        return "unknown"
    changed = git("diff", "--quiet", "HEAD", "--", "trisk").returncode
    return found.stdout.strip() + "+" * bool(changed)


def _machine():
    """Processor or GPU, cores, threads and versions, in one line."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    threads = torch.get_num_threads()
    parts = [device, f"{os.cpu_count()} cores", f"{threads} thread{'s' * (threads > 1)}"]
    parts.append(f"Python {platform.python_version()}")
    for package in ("torch", "scikit-learn", "numpy"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)

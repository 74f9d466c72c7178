"""Where the parts of the report find what the benchmarks wrote."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def read(name):
    """What a file of ``results/`` holds; None where its benchmark was not run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None

"""Results of a campaign as JSON beside the scripts, with the command that made them."""

import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def write(name, figures):
    """Write the figures of a campaign and print them."""
    record = {
        "command": " ".join(
            ["python", "-m", f"reliability.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
        ),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {p: version(p) for p in ("torch", "scikit-learn", "numpy", "safetensors")},
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(figures, indent=1))

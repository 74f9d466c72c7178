"""Damaged and forged model files: each is refused, and none runs code, hangs or fills the memory.

``python -m reliability.fuzz_loader`` tries 10,000 files. A *damaged* file, whose checksum was not
renewed, must be refused, or hold what it held (white space in its header). A *forged* one, whose
checksum agrees, must be refused or give a model, which is then asked for predictions; these may
fail with an exception, but with nothing worse.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import trisk
from reliability import _report
from reliability.models import case
from reliability.mutations import DAMAGES, FORGERIES
from trisk.persistence import ModelFileError

MODELS = (
    "HybridTRIADSRegressor-companion",
    "HybridTRIADSClassifier-attention",
    "GraphTRIADSRegressor",
    "TriForcesPotential",
    "HybridTRIADSRegressor-hurdle",
    "CompositionEncoderRegressor",
    "DeltaRegressor",
    "TriForcesPretrainer",
    "StructureRetriever",
    "PotentialFeaturizer",
    "TriForcesRegressor-logarithm",
    "TriForcesSensors-union",
)
SECONDS = 20  # a file that takes longer counts as a hang
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
    "pickle.find_class", "ctypes.dlopen", "shutil.", "os.remove", "os.rename",
)  # fmt: skip


class Watch:
    """Note what Python's audit hooks tell of while a file is loaded."""

    def __init__(self):
        self.armed = False
        self.seen = []
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        """Take an event."""
        if not self.armed:
            return
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if writes or event.startswith(_FORBIDDEN):
            self.seen.append(f"{event} {arguments!r}"[:200])


class Fuzzer:
    """Loads altered files of some models and says what came of each.

    Parameters
    ----------
    folder : Path
        Where the files are written.
    models : sequence of str
        Names of the cases whose files are altered.
    """

    def __init__(self, folder, models=MODELS):
        self.path = folder / "altered.trisk"
        self.subjects = []
        for name in models:
            subject = case(name)
            model = subject.fit()
            trisk.save(model, self.path)
            content, X = self.path.read_bytes(), subject.data()[0][:6]
            expected = subject.ask(trisk.load(self.path), X)
            self.subjects.append((subject, content, X, expected))
        self.watch = Watch()

    def try_one(self, number):
        """Alter a file, load it; return the kind of alteration and the outcome."""
        rng = np.random.default_rng([20261122, number])
        subject, content, X, expected = self.subjects[number % len(self.subjects)]
        kinds = DAMAGES if (number // len(self.subjects)) % 2 else FORGERIES
        kind = kinds[rng.integers(len(kinds))]
        altered = kind(content, rng)
        if altered == content:
            return kind.__name__, "unchanged"
        self.path.write_bytes(altered)
        self.watch.armed = True
        try:
            model = trisk.load(self.path)
        except ModelFileError:
            return kind.__name__, "refused"
        except Exception as error:
            return kind.__name__, f"BAD load raised {type(error).__name__}: {error}"[:300]
        finally:
            self.watch.armed = False
        try:
            answer = subject.ask(model, X)
        except Exception as error:
            if kind in DAMAGES:
                return kind.__name__, f"BAD a damaged file was loaded: {error}"[:300]
            return kind.__name__, f"loaded, predict raises {type(error).__name__}"
        same = np.array_equal(answer, expected, equal_nan=True)
        if kind in DAMAGES:
            return kind.__name__, "same content" if same else "BAD a damaged file was loaded"
        return kind.__name__, "loaded, predicts"

    def run(self, numbers, note=lambda number: None):
        """Try many; return counts by kind, failures, and the longest time and largest growth."""
        counts, failures, longest, memory = Counter(), [], 0.0, _peak_memory()
        for number in numbers:
            note(number)
            started = time.monotonic()
            signal.alarm(SECONDS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind, outcome = self.try_one(number)
            signal.alarm(0)
            longest = max(longest, time.monotonic() - started)
            if outcome.startswith("BAD"):
                failures.append([number, kind, outcome])
            counts[f"{kind}: {outcome.split(' raised')[0][:60]}"] += 1
        failures += [[-1, "audit", event] for event in self.watch.seen]
        return {
            "counts": counts,
            "failures": failures,
            "longest_s": round(longest, 2),
            "memory_growth_MB": round(_peak_memory() - memory),
        }


def _peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(start, stop, folder):
    def note(number):
        (folder / "number").write_text(str(number))

    import torch

    torch.set_num_threads(1)
    result = Fuzzer(folder).run(range(start, stop), note)
    (folder / "result.json").write_text(json.dumps(result))


def main():
    """Run the campaign in child processes, so that a crash is seen and counted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--per-process", type=int, default=2_000)
    parser.add_argument("--work", nargs=3, metavar=("START", "STOP", "FOLDER"), help="a child")
    options = parser.parse_args()
    if options.work:
        _work(int(options.work[0]), int(options.work[1]), Path(options.work[2]))
        return
    counts, failures, longest, growth = Counter(), [], 0.0, 0
    started = time.monotonic()
    starts = range(0, options.files, options.per_process)
    ranges = [(n, min(n + options.per_process, options.files)) for n in starts]
    while ranges:
        start, stop = ranges.pop(0)
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "reliability.fuzz_loader",
                "--work",
                str(start),
                str(stop),
            ]
            code = subprocess.run([*command, folder], check=False).returncode
            if code:
                # A crash or a hang: note the file; those before it are tried again and counted.
                number = int((Path(folder) / "number").read_text())
                failures.append([number, "process", f"ended with {code}"])
                parts = (start, number), (number + 1, stop)
                ranges[:0] = [(first, last) for first, last in parts if first < last]
                continue
            result = json.loads((Path(folder) / "result.json").read_text())
        counts += Counter(result["counts"])
        failures += result["failures"]
        longest = max(longest, result["longest_s"])
        growth = max(growth, result["memory_growth_MB"])
    _report.write("fuzz_loader", {
        "files": options.files,
        "failures": failures,
        "longest_s": longest,
        "memory_growth_MB": growth,
        "seconds": round(time.monotonic() - started),
        "outcomes": dict(sorted(counts.items())),
    })  # fmt: skip


if __name__ == "__main__":
    main()

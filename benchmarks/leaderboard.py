"""Write predictions as a file that the ``matbench`` package accepts.

``matbench`` pins a stack of 2021, so it is no dependency: install it for this one step with
``pip install --no-deps matbench==0.6``. It is offline here as long as ``MATMINER_DATA`` names
the folder of the Matbench files.
"""

import sys
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _without_this_folder():
    """Let ``import matbench`` find the package and not the script of that name beside this."""
    paths = list(sys.path)
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in paths if Path(p).resolve() != here]
    try:
        yield
    finally:
        sys.path[:] = paths


def write_leaderboard_file(predictions, path):
    """Record test-fold predictions and let ``matbench`` judge the file.

    Parameters
    ----------
    predictions : dict of str to list of ndarray
        Task without prefix → predictions of the five test folds (probabilities of the positive
        class for classification).
    path : Path
        File to write, ``.json.gz``.
    """
    try:
        with _without_this_folder():
            from matbench.bench import MatbenchBenchmark
    except ImportError as error:
        raise SystemExit(
            "--record needs the matbench package: pip install --no-deps matbench==0.6"
        ) from error
    names = [f"matbench_{task}" for task in predictions]
    benchmark = MatbenchBenchmark(autoload=False, subset=names)
    for task, folds in predictions.items():
        matbench_task = benchmark.tasks_map[f"matbench_{task}"]
        matbench_task.load()
        for number, values in zip(matbench_task.folds, folds, strict=True):
            matbench_task.record(number, values.tolist())
    if not benchmark.is_valid:
        raise SystemExit("matbench calls the recorded predictions invalid")
    benchmark.to_file(str(path))
    print(f"matbench accepts {path}: {benchmark.is_recorded}")

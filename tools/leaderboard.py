"""A file for Matbench's leaderboard."""

from pathlib import Path

import numpy as np

from trisk._optional import if_absent
from trisk.datasets._matbench import find_task


def write_matbench_file(predictions, path):
    """Record test-fold predictions as a file that the ``matbench`` package accepts.

    ``matbench`` pins a stack of 2021, so it is no dependency: install it for this one step with
    ``pip install --no-deps matbench==0.6``. It reads the Matbench files from the folder that
    the environment variable ``MATMINER_DATA`` names.

    Parameters
    ----------
    predictions : dict of str to list of array-like
        Task, with or without ``matbench_``, → predictions of the five test folds of
        :func:`trisk.model_selection.matbench_folds`; of classes, probabilities of the positive one.
    path : str or path-like
        File to write, whose name ends in ``.json.gz``.

    Raises
    ------
    ImportError
        If the ``matbench`` package is absent.
    ValueError
        If there is no such task, or the package calls the predictions invalid.
    """
    with if_absent("A leaderboard file needs matbench: pip install --no-deps matbench==0.6"):
        from matbench.bench import MatbenchBenchmark

    by_task = {find_task(task).name: folds for task, folds in predictions.items()}
    benchmark = MatbenchBenchmark(autoload=False, subset=list(by_task))
    for name, folds in by_task.items():
        task = benchmark.tasks_map[name]
        task.load()
        if len(folds) != len(task.folds):
            raise ValueError(f"{name} has {len(task.folds)} folds, but {len(folds)} were given.")
        for number, values in zip(task.folds, folds, strict=True):
            task.record(number, np.asarray(values).tolist())
    if not benchmark.is_valid:
        raise ValueError("matbench calls the recorded predictions invalid.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    benchmark.to_file(str(path))

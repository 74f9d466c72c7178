"""The published splits of Matbench, and files for its leaderboard."""

from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from trisk._optional import if_absent
from trisk.datasets._matbench import find_task

_N_FOLDS = 5
_SEED = 18012019


def matbench_folds(task=None, *, classification=None):
    """Make Matbench's five official folds [1]_, as a scikit-learn splitter.

    They are the official ones for data in Matbench's order, as
    :func:`trisk.datasets.load_matbench` returns it.

    Parameters
    ----------
    task : str, default=None
        A Matbench task, such as ``"steels"``, which says whether the folds are stratified.
    classification : bool, default=None
        Says the same where there is no task name; None means False.

    Returns
    -------
    KFold or StratifiedKFold
        To pass as ``cv=``: stratified by class for classification, plain for regression.

    References
    ----------
    .. [1] A. Dunn et al., npj Comput. Mater. 6, 138 (2020), doi:10.1038/s41524-020-00406-3

    Examples
    --------
    >>> import numpy as np
    >>> from trisk.model_selection import matbench_folds
    >>> [len(test) for _, test in matbench_folds("steels").split(np.zeros(312))]
    [63, 63, 62, 62, 62]
    """
    if task is not None:
        of_task = find_task(task).classification
        if classification not in (None, of_task):
            kind = "classification" if of_task else "regression"
            raise ValueError(f"{task!r} is a {kind} task, but classification={classification!r}.")
        classification = of_task
    splitter = StratifiedKFold if classification else KFold
    return splitter(_N_FOLDS, shuffle=True, random_state=_SEED)


def write_matbench_file(predictions, path):
    """Record test-fold predictions as a file that the ``matbench`` package accepts.

    ``matbench`` pins a stack of 2021, so it is no dependency: install it for this one step with
    ``pip install --no-deps matbench==0.6``. It reads the Matbench files from the folder that
    the environment variable ``MATMINER_DATA`` names.

    Parameters
    ----------
    predictions : dict of str to list of array-like
        Task, with or without ``matbench_``, → predictions of the five test folds of
        :func:`matbench_folds`; for classification the probabilities of the positive class.
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

"""The published splits of Matbench."""

from sklearn.model_selection import KFold, StratifiedKFold

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

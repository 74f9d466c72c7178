"""The published splits of Matbench."""

from numbers import Integral

from sklearn.model_selection import KFold, StratifiedKFold, check_cv

from trisk.datasets._tasks import find_task

_N_FOLDS = 5
_SEED = 18012019


def matbench_folds(task=None, *, classification=None):
    """Make Matbench's five official folds [1]_, as a scikit-learn splitter.

    The folds are a function of the number and order of the rows (and of the classes), so they
    are the official ones for data in Matbench's order, as
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
        To pass as ``cv=`` to anything in scikit-learn: stratified by class for classification,
        plain for regression.

    Raises
    ------
    ValueError
        If ``task`` is no Matbench task, or contradicts ``classification``.

    References
    ----------
    .. [1] A. Dunn, Q. Wang, A. Ganose, D. Dopp, A. Jain, "Benchmarking materials property
       prediction methods: the Matbench test set and Automatminer reference algorithm",
       npj Comput. Mater. 6, 138 (2020). https://doi.org/10.1038/s41524-020-00406-3

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


def shuffled_folds(cv, X, y, groups=None, *, classification, random_state=0):
    """Make folds, shuffled where only their number is given.

    Tables of materials are often sorted by chemistry, so that folds of neighbouring rows would
    ask for extrapolation.

    Parameters
    ----------
    cv : int, splitter or iterable
        Folds.
    X : array-like of shape (n_samples, ...)
        Inputs.
    y : array-like of shape (n_samples,)
        Targets.
    groups : array-like of shape (n_samples,), default=None
        Group labels for the splitter.
    classification : bool
        Whether the targets are classes, which a number of folds then spreads evenly.
    random_state : int, default=0
        Seed of the shuffling.

    Returns
    -------
    folds : list of tuple (train, test)
        Row indices.
    """
    if isinstance(cv, Integral):
        splitter = StratifiedKFold if classification else KFold
        cv = splitter(int(cv), shuffle=True, random_state=random_state)
    return list(check_cv(cv, y, classifier=classification).split(X, y, groups))

"""Several ensembles of tables, such as those of all folds, trained as one batched network."""

import numpy as np

from trisk.estimators._base import pass_on_interruption
from trisk.estimators._training import resolve_device, train_members
from trisk.estimators.tables._batches import MemberDataset

# Beyond so many rows in a step, over all members, a CPU gains nothing more from batching and
# loses its cache.
_CPU_ROWS_PER_STEP = 2048


def fit_together(jobs, watch=None):
    """Fit several estimators of equal settings as one batched network where shapes allow.

    Parameters
    ----------
    jobs : list of tuple (estimator, X, y, sample_weight)
        Estimators with equal parameters and their training data.
    watch : callable, default=None
        Called with the positions of the jobs in each batch before it trains; returns a skorch
        callback for its training.

    Returns
    -------
    estimators : list
        The fitted estimators.
    """
    for estimator, *_ in jobs:
        # A fit that fails must not leave the net of an earlier one beside new scalers.
        estimator.__dict__.pop("net_", None)
    held_out = [fit for fit in _train(jobs, watch) if fit is not None]
    # What is learned from inner folds is trained in batches of its own, all folds together.
    _train([job for fit in held_out for job in fit.jobs])
    for fit in held_out:
        fit.finish()
    return [job[0] for job in jobs]


def _train(jobs, watch=None):
    """Train estimators; return what each wants to learn from inner folds, or None."""
    prepared = [e._prepare(X, y, w) for e, X, y, w in jobs]
    groups: dict[tuple, list[int]] = {}
    for index, (training_set, module_params, _) in enumerate(prepared):
        # The layout, in the module's parameters, tells apart sets of equal width.
        shape = (training_set.X.shape, training_set.target.shape, repr(module_params))
        groups.setdefault(shape, []).append(index)
    for indices in _batches(groups, jobs, prepared):
        first = jobs[indices[0]][0]
        _, module_params, criterion_params = prepared[indices[0]]
        dataset = MemberDataset([prepared[i][0] for i in indices], resolve_device(first.device))
        callbacks = [] if watch is None else [watch(indices)]
        net = train_members(
            first, dataset, first._module, module_params, criterion_params, callbacks=callbacks
        )
        _hand_out(net, [jobs[i][0] for i in indices])
        pass_on_interruption(net)
    return [training_set.held_out for training_set, *_ in prepared]


def _batches(groups, jobs, prepared):
    """Split groups that are too large to gain from one batch on a CPU."""
    for indices in groups.values():
        first = jobs[indices[0]][0]
        size = len(indices)
        if resolve_device(first.device) == "cpu":
            n_rows = len(prepared[indices[0]][0].X)
            rows_per_step = first.n_members * min(first._resolve_batch_size(n_rows), n_rows)
            size = max(1, _CPU_ROWS_PER_STEP // rows_per_step)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]


def _hand_out(net, estimators):
    """Give every estimator a net with its own members."""
    if len(estimators) == 1:
        estimators[0].net_ = net
        return
    for estimator, members in zip(estimators, member_slices(estimators), strict=True):
        estimator.net_ = net.with_members(members)


def member_slices(estimators):
    """Which members of a batched network belong to each of several estimators.

    Parameters
    ----------
    estimators : list of estimator
        In the order in which they were batched.

    Returns
    -------
    slices : list of slice
        One per estimator.
    """
    stops = np.cumsum([estimator.n_members for estimator in estimators]).tolist()
    starts = [0, *stops[:-1]]
    return [slice(start, stop) for start, stop in zip(starts, stops, strict=True)]

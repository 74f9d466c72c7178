"""Several ensembles of tables, such as those of all folds, trained as one batched network."""

from trisk.estimators.tables._joint_training import JointTraining


class Unit:
    """Fits that are given up as one, such as those of the folds of a trial.

    Attributes
    ----------
    error : Exception or None
        Why they were given up. Set while they train, it takes them out of their batch.
    """

    error: Exception | None = None


def fit_together(jobs, watch=None, units=None):
    """Fit several estimators as one batched network where settings and shapes allow.

    Parameters
    ----------
    jobs : list of tuple (estimator, X, y, sample_weight)
        Estimators and their training data.
    watch : callable, default=None
        Called with the positions of the jobs in each batch before it trains; returns a skorch
        callback for its training.
    units : list of Unit, default=None
        What each job belongs to, the jobs of a unit side by side. Where a network diverges, its
        unit keeps the error and the others train on. None makes all jobs one unit, which fails
        as a whole.

    Returns
    -------
    estimators : list
        The estimators, fitted unless their unit was given up.

    Raises
    ------
    FloatingPointError
        If a network diverges and there are no units.
    """
    for estimator, *_ in jobs:
        # A fit that fails must not leave the net of an earlier one beside new scalers.
        estimator.__dict__.pop("net_", None)
    owners = [Unit()] * len(jobs) if units is None else units
    held_out = JointTraining(jobs, owners, watch).run()
    # What is learned from inner folds is trained in batches of its own, all folds together.
    inner = [
        (job, unit)
        for fit, unit in zip(held_out, owners, strict=True)
        if fit is not None and unit.error is None
        for job in fit.jobs
    ]
    JointTraining([job for job, _ in inner], [unit for _, unit in inner]).run()
    for fit, unit in zip(held_out, owners, strict=True):
        if unit.error is None and fit is not None:
            fit.finish()
        elif unit.error is not None and units is None:
            raise unit.error
    return [job[0] for job in jobs]

"""Batches of fits: which train as one network, and which leave it before the end."""

from itertools import accumulate, groupby, pairwise

from skorch.callbacks import Callback

from trisk.estimators._base import pass_on_interruption
from trisk.estimators._optimisation import optimizer_params
from trisk.estimators._training import resolve_device, train_members
from trisk.estimators.tables._batches import MemberDataset

# Beyond so many rows in a step, over all members, a CPU gains nothing more from batching and
# loses its cache.
_CPU_ROWS_PER_STEP = 2048


def fits_per_batch(estimator, n_rows):
    """How many fits of a kind train in one batch at least as fast as one after the other.

    Parameters
    ----------
    estimator : BaseTableNetwork
        One of them.
    n_rows : int
        Training rows of each.

    Returns
    -------
    n_fits : int or None
        None for any number.
    """
    if resolve_device(estimator.device) != "cpu":
        return None
    batch_size, _ = estimator._schedule.resolve(estimator, n_rows)
    rows_per_step = estimator.n_members * min(batch_size, n_rows)
    return max(1, _CPU_ROWS_PER_STEP // rows_per_step)


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
    stops = accumulate(estimator.n_members for estimator in estimators)
    return [slice(*ends) for ends in pairwise([0, *stops])]


class JointTraining:
    """Train several estimators, those of equal settings and shapes as one network.

    Parameters
    ----------
    jobs : list of tuple (estimator, X, y, sample_weight)
        Estimators and their training data.
    units : list of Unit
        What each job belongs to.
    watch : callable, default=None
        Called with the positions of the jobs in each batch before it trains; returns a skorch
        callback for its training.
    """

    def __init__(self, jobs, units, watch=None):
        self.estimators = [estimator for estimator, *_ in jobs]
        self.units = units
        self.watch = watch
        self.prepared = [e._prepare(X, y, weight) for e, X, y, weight in jobs]

    def run(self):
        """Train batch after batch.

        Returns
        -------
        held_out : list of HeldOutFit or None
            What each estimator wants to learn from inner folds.
        """
        groups: dict[tuple, list[int]] = {}
        for index in range(len(self.estimators)):
            groups.setdefault(self._key(index), []).append(index)
        for indices in groups.values():
            size = self._batch_size(indices)
            for start in range(0, len(indices), size):
                self._train(indices[start : start + size])
        return [training_set.held_out for training_set, *_ in self.prepared]

    def _key(self, index):
        """What the fits of one batch have in common."""
        estimator = self.estimators[index]
        training_set, module_params, _ = self.prepared[index]
        own = estimator._module.member_parameters
        # The layout, in the module's parameters, tells apart sets of equal width.
        shared = {name: value for name, value in module_params.items() if name not in own}
        shapes = training_set.X.shape, training_set.target.shape
        return (*shapes, repr(shared), estimator._settings_of_batch())

    def _batch_size(self, indices):
        """How many of these fits train at once."""
        n_rows = len(self.prepared[indices[0]][0].X)
        size = fits_per_batch(self.estimators[indices[0]], n_rows)
        if size is None:
            return len(indices)
        # A unit is parted only where it fills a batch by itself.
        of_unit = max(len(list(run)) for _, run in groupby(indices, key=self.units.__getitem__))
        return max(size - size % of_unit, min(size, of_unit))

    def _train(self, indices):
        """Train one batch, without those that were given up."""
        indices = self._staying(indices)
        if not indices:
            return
        estimators = [self.estimators[i] for i in indices]
        sizes = [estimator.n_members for estimator in estimators]
        training_sets, module_params, criterion_params = zip(
            *(self.prepared[i] for i in indices), strict=True
        )
        callbacks = []
        if self.watch is not None:
            units = [self.units[i] for i in indices]
            callbacks = [self.watch(indices), _Leaving(estimators, units)]
        first = estimators[0]
        try:
            net = train_members(
                first,
                MemberDataset(training_sets, resolve_device(first.device)),
                first._module,
                _join(module_params, sizes),
                _join(criterion_params, sizes),
                callbacks=callbacks,
                optimizer=optimizer_params(self._parts(indices)),
            )
        except FloatingPointError as error:
            self._find_diverging(indices, error)
            return
        if len(indices) == 1:
            first.net_ = net
        else:
            self._hand_out(net, self._staying(indices))
        pass_on_interruption(net)

    def _staying(self, indices):
        return [i for i in indices if self.units[i].error is None]

    def _parts(self, indices):
        """Rates of units that follow one another, and how many members have them."""
        parts = []
        for _, run in groupby(indices, key=self.units.__getitem__):
            estimators = [self.estimators[i] for i in run]
            parts.append((estimators[0], sum(e.n_members for e in estimators)))
        return parts

    def _find_diverging(self, indices, error):
        """Let each unit of a batch that diverged train by itself: not all of them need to."""
        runs = [list(run) for _, run in groupby(indices, key=self.units.__getitem__)]
        if len(runs) > 1:
            for run in runs:
                self._train(run)
        elif self._staying(indices):
            self.units[indices[0]].error = error

    def _hand_out(self, net, indices):
        """Give every estimator a net with its own members."""
        slices = member_slices([self.estimators[i] for i in indices])
        for i, members in zip(indices, slices, strict=True):
            estimator, (_, module_params, criterion_params) = self.estimators[i], self.prepared[i]
            own = optimizer_params([(estimator, estimator.n_members)])
            own |= {f"module__{name}": value for name, value in module_params.items()}
            own |= {f"criterion__{name}": value for name, value in criterion_params.items()}
            estimator.net_ = net.with_members(members, own)


def _join(params, sizes):
    """Parameters of one network out of those of its parts; a list where the parts differ."""
    joined = dict(params[0])
    for name, value in joined.items():
        values = [own[name] for own in params]
        if any(own != value for own in values):
            joined[name] = [own for own, n in zip(values, sizes, strict=True) for _ in range(n)]
    return joined


class _Leaving(Callback):
    """Takes members out of a network once their unit is given up, and stops without any."""

    def __init__(self, estimators, units):
        self.estimators = estimators
        self.units = units

    def __deepcopy__(self, memo):
        """Stay one: what it holds is no part of a net."""
        return self

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        """Look who was given up."""
        staying = [unit.error is None for unit in self.units]
        if all(staying):
            return
        if not any(staying):
            raise KeyboardInterrupt  # skorch's signal for an early end
        slices = member_slices(self.estimators)
        members = [
            member
            for kept, own in zip(staying, slices, strict=True)
            if kept
            for member in range(own.start, own.stop)
        ]
        parts = [unit.error is None for unit, _ in groupby(self.units)]
        net.keep_members(dataset_train, members, [k for k, kept in enumerate(parts) if kept])
        self.estimators = [e for e, kept in zip(self.estimators, staying, strict=True) if kept]
        self.units = [unit for unit, kept in zip(self.units, staying, strict=True) if kept]

    def on_train_end(self, net, **kwargs):
        """Hold nothing of what was fitted."""
        self.estimators, self.units = [], []

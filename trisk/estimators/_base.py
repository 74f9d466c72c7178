"""What every member-batched estimator does, whatever its input."""

import math

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from trisk.estimators._batches import MemberBatches, MemberDataset
from trisk.estimators._search_space import SearchSpaceMixin
from trisk.estimators._training import MemberNet, resolve_device, restore_net, train_members

# Largest number of activations held at once while predicting.
_PREDICTION_ELEMENTS = 8_000_000
# Beyond so many rows in a step, over all members, a CPU gains nothing more from batching and
# loses its cache.
_CPU_ROWS_PER_STEP = 2048


class BaseMemberEstimator(SearchSpaceMixin, BaseEstimator):
    """An ensemble of networks trained as one.

    A subclass prepares a :class:`~trisk.estimators._batches.TrainingSet`, names its module, turns
    inputs into a scaled table, and says in ``_search_space`` what is worth tuning. Fitting is in
    three parts so that several estimators, such as those of all folds, can be trained together:
    prepare each, train all, hand out the parts.
    """

    _net_class: type[MemberNet] = MemberNet
    _batches_class: type = MemberBatches

    def fit(self, X, y, sample_weight=None):
        """Fit the ensemble.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Any numeric table. Named columns (a DataFrame) let the network find the property
            tokens and the context.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. A weight of two is the same as giving a row twice.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            On missing or infinite values, too few rows, one class only, or weights that are all
            zero.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the estimator is then fitted with the weights reached so far.
        """
        return fit_together([(self, X, y, sample_weight)])[0]

    def save(self, path):
        """Write the fitted estimator to one file that holds no code.

        Parameters
        ----------
        path : str or path-like
            File to write; :func:`trisk.load` brings the estimator back.
        """
        from trisk.persistence import save

        check_is_fitted(self)
        save(self, path)

    def __trisk_state__(self):
        """Fitted attributes for :mod:`trisk.persistence`, the net as parameters and arrays."""
        state = {k: v for k, v in vars(self).items() if k.endswith("_") and k != "net_"}
        if hasattr(self, "net_"):
            state["net_"] = self.net_.portable_state()
        return state

    def __trisk_restore__(self, state):
        """Take fitted attributes back and rebuild the net."""
        net = state.pop("net_", None)
        self.__dict__.update(state)
        if net is not None:
            self.net_ = restore_net(self._net_class, self._module, net, resolve_device(self.device))

    def _prepare(self, X, y, sample_weight):
        """Validate and scale; return the training set and the module's parameters."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self):
        """A fit that failed half-way leaves attributes, but no net."""
        return hasattr(self, "net_")

    def _net_params(self):
        """Further parameters of the net."""
        return {}

    def _draw_seeds(self):
        entropy = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return np.random.SeedSequence(entropy).generate_state(self.n_members).tolist()

    def _resolve_batch_size(self, n_rows):
        if self.batch_size != "auto":
            return self.batch_size
        return int(np.clip(2 ** round(math.log2(n_rows / 32)), 32, 512))

    def _resolve_max_epochs(self, n_rows, batch_size):
        if self.max_epochs != "auto":
            return self.max_epochs
        n_steps = 320 * math.sqrt(max(1.0, n_rows / 250))
        return math.ceil(n_steps / math.ceil(n_rows / batch_size))

    def _member_outputs(self, X):
        """Raw outputs in double precision, a dictionary of arrays with members first."""
        check_is_fitted(self)
        table = self._encode(X)
        module = self.net_.module_
        device = next(module.parameters()).device
        width = max(table.shape[1] * 32, 2048) * module.n_members
        n_rows = max(1, _PREDICTION_ELEMENTS // width)
        chunks = []
        with torch.inference_mode():
            for start in range(0, len(table), n_rows):
                rows = torch.from_numpy(table[start : start + n_rows]).to(device, torch.float64)
                chunks.append(module(rows.expand(module.n_members, *rows.shape)))
        return {
            name: torch.cat([c[name] for c in chunks], dim=2 if name == "steps" else 1)
            .cpu()
            .numpy()
            for name in ("steps", "answer")
        }


def trains_together(estimator):
    """Whether several estimators of a kind can be trained as one batched network.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    together : bool
        True for those that :func:`fit_together` takes.
    """
    own = type(estimator)
    return isinstance(estimator, BaseMemberEstimator) and own._prepare is not (
        BaseMemberEstimator._prepare
    )


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


def pass_on_interruption(net):
    """Raise KeyboardInterrupt if a user stopped the training of this net."""
    if net.interrupted_:
        raise KeyboardInterrupt(
            f"training stopped after {len(net.history)} of {net.max_epochs} epochs; "
            "the estimator is fitted with the weights reached so far"
        )


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

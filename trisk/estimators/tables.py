"""Networks of numeric tables: validated, trained together in batches of fits, and asked."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from trisk._compat import check_sample_weight
from trisk.estimators.base import NetworkEstimator
from trisk.estimators.equality import merge_duplicates
from trisk.nn import DeepSupervisionLoss
from trisk.training.datasets import TableDataset, draw_seed
from trisk.training.net import resolve_device, train
from trisk.training.settings import AutomaticSchedule

# Beyond so many rows in a step, over all members, a CPU gains nothing more from batching and
# loses its cache.
_CPU_ROWS_PER_STEP = 2048
# Largest number of activations held at once while predicting.
_PREDICTION_ELEMENTS = 8_000_000


_COLUMNS = """
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns seen in `fit`, and their names, where all are strings."""


@dataclass(frozen=True)
class TrainingSet:
    """Scaled rows and the seeds of the members that train on them.

    `drawn_columns`, if any, gives further columns of all rows for a member's seed, an epoch and
    the rows that it may see; `held_out` are fits on parts of the rows, to train afterwards.
    """

    X: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    seeds: list[int]
    drawn_columns: Callable | None = None
    held_out: Any = None


@dataclass(kw_only=True, repr=False, eq=False)
class TableNetwork(NetworkEstimator):
    """Table in, columns to a stack of networks.

    A subclass says in ``_fit_table`` how distinct rows become a training set and what network
    reads it, and in ``_encode`` how a table becomes columns.
    """

    _texts = {"Attributes": _COLUMNS}
    _schedule = AutomaticSchedule(n_steps=320, n_rows=250, n_batches=32, smallest=32, largest=512)

    def fit(self, X, y, sample_weight=None):
        return fit_together([(self, X, y, sample_weight)])[0]

    def _prepare(self, X, y, sample_weight):
        """Validate and scale; return the training set and the kind of loss."""
        self._validate_params()
        X, y = read_columns(self, X, ensure_min_samples=2), self._check_target(y)
        check_consistent_length(X, y)
        self._check_table(X)
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        used = weight > 0
        if not used.any():  # scikit-learn before 1.7 lets this pass
            raise ValueError("All weights in sample_weight are zero.")
        target, weight = self._read_target(y[used], weight[used])
        X, target, weight = merge_duplicates(X[used], target, weight)
        scaled, loss = self._scale_target(target, weight)
        return self._fit_table(X, scaled, weight, self._original_target(target)), loss

    def _fit_table(self, X, target, weight, y):
        """Measure the columns of distinct rows; return a training set, set ``architecture_``."""
        raise NotImplementedError

    def _check_table(self, X):
        """Refuse finite numbers that are no input; rows stand as the user gave them."""

    def _encode(self, X):
        """Columns as the network wants them."""
        raise NotImplementedError

    def _build_to_train(self, architecture):
        """A network with its initial weights."""
        return self._build(architecture)

    def _supervises_all_steps(self):
        return True

    def _member_outputs(self, X):
        """Outputs in double precision, a dictionary of arrays with members first."""
        check_is_fitted(self)
        table = self._encode(X)
        module = self.net_.module_
        parameter = next(module.parameters())
        width = max(table.shape[1] * 32, 2048) * module.n_members
        n_rows = max(1, _PREDICTION_ELEMENTS // width)
        chunks = []
        with torch.inference_mode():
            for start in range(0, len(table), n_rows):
                rows = torch.from_numpy(table[start : start + n_rows]).to(parameter)
                chunks.append(module(rows.expand(module.n_members, *rows.shape)))
        return {
            name: torch.cat([chunk[name] for chunk in chunks], dim=axis).cpu().numpy()
            for name, axis in (("steps", 2), ("answer", 1))
        }


def read_columns(estimator, X, **checks):
    """Numbers in columns as scikit-learn validates them; formulas are told what they need."""
    try:
        return validate_data(estimator, X, dtype=np.float64, **checks)
    except ValueError as error:
        if "could not convert string to float" not in str(error):
            raise
        raise ValueError(
            f"{error}. {type(estimator).__name__} reads columns of numbers. For formulas use "
            "trisk.composition_pipeline(), or put a featurizer before it: "
            f"make_pipeline(trisk.MagpieFeaturizer(), {type(estimator).__name__}())."
        ) from error


def fit_together(jobs, watch=None):
    """Fit several estimators as one batched network where settings and shapes allow.

    The `jobs` are tuples (estimator, X, y, sample_weight). `watch` is called with the positions of
    the jobs in each batch before it trains, and returns a skorch callback for its training.
    """
    for estimator, *_ in jobs:
        # A fit that fails must not leave the nets of an earlier one beside new scalers.
        estimator.__dict__.pop("nets_", None)
    prepared = [e._prepare(X, y, weight) for e, X, y, weight in jobs]
    estimators = [job[0] for job in jobs]
    groups: dict[tuple, list[int]] = {}
    for index, (estimator, (rows, _)) in enumerate(zip(estimators, prepared, strict=True)):
        groups.setdefault(_batch_key(estimator, rows), []).append(index)
    for indices in groups.values():
        size = _fits_per_batch(estimators[indices[0]], prepared[indices[0]][0])
        for start in range(0, len(indices), size or len(indices)):
            batch = indices[start : start + (size or len(indices))]
            callbacks = [] if watch is None else [watch(batch)]
            _train_batch([estimators[i] for i in batch], [prepared[i] for i in batch], callbacks)
    # What is learned from inner folds is trained in batches of its own, all folds together.
    held_out = [rows.held_out for rows, _ in prepared if rows.held_out is not None]
    if held_out:
        fit_together([job for fits in held_out for job in fits.jobs])
    for fits in held_out:
        fits.finish()
    return estimators


def _batch_key(estimator, rows):
    """What the fits of one batch have in common."""
    parameters = estimator.get_params(deep=True)
    ignored = ("random_state", "verbose", "callbacks", "stack_with")
    settings = {k: v for k, v in parameters.items() if k.split("__")[0] not in ignored}
    shape = {k: v for k, v in estimator.architecture_.items() if k != "seeds"}
    alone = None if estimator.checkpoint is None else id(estimator)
    described = repr(sorted(settings.items())), repr(sorted(shape.items()))
    return (type(estimator), *described, rows.X.shape, rows.target.shape, alone)


def _fits_per_batch(estimator, rows):
    """How many fits of a kind train in one batch at least as fast as one after the other."""
    if resolve_device(estimator.device) != "cpu":
        return None
    batch_size, _ = estimator._schedule.resolve(estimator, len(rows.X))
    rows_per_step = len(rows.seeds) * min(batch_size, len(rows.X))
    return max(1, _CPU_ROWS_PER_STEP // rows_per_step)


def member_slices(estimators):
    """Which members of a batched network belong to each of several estimators."""
    stops = accumulate(len(estimator.architecture_["seeds"]) for estimator in estimators)
    return [slice(*ends) for ends in pairwise([0, *stops])]


def _train_batch(estimators, prepared, callbacks):
    """Train several fits as one network and give every estimator its members."""
    first, (_, loss) = estimators[0], prepared[0]
    sets = [rows for rows, _ in prepared]
    seeds = [seed for rows in sets for seed in rows.seeds]
    device = resolve_device(first.device)
    fraction = first.options("training").validation_fraction
    dataset = TableDataset(sets, fraction, device)
    net = train(
        first,
        first._build_to_train({**first.architecture_, "seeds": seeds}),
        DeepSupervisionLoss(loss, deep=first._supervises_all_steps()),
        dataset,
        validation=dataset if dataset.held_out.size else None,
        seed=draw_seed(first.random_state),
        checkpoint=first.checkpoint,
        callbacks=callbacks,
    )
    if len(estimators) == 1:
        first.nets_ = [net]
    else:
        for estimator, members in zip(estimators, member_slices(estimators), strict=True):
            module = estimator._copy_members(net, members)
            estimator.nets_ = [estimator._finish(module, net.plain_history(), net.device)]
    net.raise_if_interrupted()

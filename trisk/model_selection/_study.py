"""Optuna studies that several processes share, and that go on after an interruption."""

import os
import time
import warnings
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, TrialPruned
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState
from sklearn.base import clone
from tqdm.auto import tqdm

from trisk._compat import stale_trial_retry
from trisk.model_selection._folds import score_folds

_Retry, _RETRY_PARAMETER = stale_trial_retry()
# Seconds between heartbeats, and without one after which a trial's process counts as lost.
_HEARTBEAT, _GRACE = 15, 60
# Seconds between looks at what other processes are doing.
_PATIENCE = 0.5
#: States of the trials that a search counts and shows.
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
#: Note of a pruned trial whose network diverged.
DIVERGED = "diverged"


@contextmanager
def _quiet():
    """Keep Optuna from logging what the bar shows, and from calling heartbeats experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


@_quiet()
def open_study(storage, name, pruner):
    """Create or join a study of scores to maximise; give too what keeps heartbeats, or None."""
    opened = _open_storage(storage)
    study = optuna.create_study(
        storage=opened, study_name=name, direction="maximize", load_if_exists=True, pruner=pruner
    )
    has_heartbeats = hasattr(opened, "get_heartbeat_interval") and opened.get_heartbeat_interval()
    return study, opened if has_heartbeats else None


def _open_storage(storage):
    """Open a storage given by a path or a URL; None (memory) and Optuna's objects stay."""
    if not isinstance(storage, str | os.PathLike):
        return storage
    url = str(storage)
    if "://" not in url:
        path = Path(url).expanduser().absolute()
        if path.suffix not in (".log", ".journal", ".db", ".sqlite", ".sqlite3"):
            raise ValueError(
                f"storage={url!r} is neither a URL (postgresql://…, sqlite:///…) nor a file "
                "whose name ends in .db or .sqlite (SQLite), .log or .journal (Optuna's journal)."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".log", ".journal"):
            return JournalStorage(JournalFileBackend(str(path)))
        url = f"sqlite:///{path}"
    return _open_database(url)


def _open_database(url, attempts=5):
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    try:
        return RDBStorage(
            url,
            # Trials take far longer than connecting, and no connection is left open.
            engine_kwargs={"poolclass": NullPool},
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
            **{_RETRY_PARAMETER: _Retry()},
        )
    except DatabaseError:
        # Processes that start together all find an empty database and make its tables.
        if attempts == 1:
            raise
    time.sleep(0.4)
    return _open_database(url, attempts - 1)


@_quiet()
def run_trials(study, objective, n_trials, heartbeats, timeout, show):
    """Run the trials that a study lacks; where there are heartbeats, wait for other processes."""
    # Without heartbeats, a trial that runs may be one whose process died: it does not count.
    counted = (*FINISHED, TrialState.RUNNING) if heartbeats else FINISHED
    awaited: set[int] = set()
    callbacks = [MaxTrialsCallback(n_trials, counted), show]
    deadline = np.inf if timeout is None else time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        optuna.storages.fail_stale_trials(study)
        trials = study.get_trials(deepcopy=False)
        states = Counter(trial.state for trial in trials)
        if states[TrialState.WAITING] or sum(states[state] for state in counted) < n_trials:
            try:
                timeout = None if left == np.inf else left
                study.optimize(objective, timeout=timeout, callbacks=callbacks)
            except ValueError:
                if not objective.was_retried:
                    raise
        elif heartbeats and states[TrialState.RUNNING]:
            running = {t.number for t in trials if t.state == TrialState.RUNNING}
            _give_heartbeats(study, heartbeats, running - awaited)
            awaited |= running
            time.sleep(_PATIENCE)
        else:
            break
        show(study)


def _give_heartbeats(study, storage, trials):
    """Give trials that are waited for a first heartbeat.

    A process that was killed after it had begun a trial and before the first heartbeat left none
    that could grow old, and would be waited for without end.
    """
    study_id = storage.get_study_id_from_name(study.study_name)
    for number in trials:
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        storage.record_heartbeat(trial_id)


class PerTrialSampler(optuna.samplers.TPESampler):
    """TPE sampler with a seed for every trial: a resumed study draws what it would have drawn."""

    def __init__(self, seed):
        super().__init__(seed=seed)
        self.seed = seed

    def before_trial(self, study, trial):
        """Start anew with the trial's seed; one that is run again is drawn once."""
        original = _Retry.retried_trial_number(trial)
        earlier = study.get_trials(deepcopy=False)[: trial.number if original is None else original]
        index = sum(_Retry.retried_trial_number(t) is None for t in earlier)
        seed = np.random.SeedSequence([self.seed, index]).generate_state(1)[0]
        super().__init__(seed=int(seed))
        super().before_trial(study, trial)


@dataclass(eq=False)
class Objective:
    """Mean score over the folds of an estimator with a trial's parameters."""

    estimator: Any
    space: dict[str, Any]
    X: Any
    y: Any
    folds: list
    scorer: Any
    params: dict[str, Any]
    #: Whether other processes took this one for lost, and run its last trial.
    was_retried: bool = False

    def __call__(self, trial):
        self.was_retried = False
        try:
            return self._score(trial)
        except TrialPruned:
            raise
        except (Exception, KeyboardInterrupt) as error:
            told = trial.study.trials[trial.number]
            self.was_retried = told.state.is_finished() and isinstance(error, RuntimeError)
            if not told.state.is_finished():
                # Ctrl-C, or an error to be fixed: the trial is still to be run.
                _Retry()(trial.study, told)
            raise

    def _score(self, trial):
        for name, values in self.space.items():
            if isinstance(values, CategoricalDistribution):
                trial.suggest_categorical(name, values.choices)
            else:
                is_int = isinstance(values, IntDistribution)
                suggest = trial.suggest_int if is_int else trial.suggest_float
                suggest(name, values.low, values.high, step=values.step, log=values.log)

        def report(score, share):
            step = round(100 * share)
            if step not in told:  # of several networks that follow one another
                told.add(step)
                trial.report(score, step)
                if trial.should_prune():
                    raise TrialPruned

        told = set()
        scores = np.array([np.nan])
        with suppress(FloatingPointError):
            model = clone(self.estimator).set_params(**trial.params)
            arguments = self.X, self.y, self.folds, self.scorer
            scores = score_folds(model, *arguments, params=self.params, report=report)
        if not np.isfinite(scores).all():
            # A network that diverges is a finding about its parameters, not an error.
            trial.set_user_attr(DIVERGED, True)
            raise TrialPruned
        trial.set_user_attr("fold_scores", scores.tolist())
        return scores.mean()


@contextmanager
def progress_bar(study, n_trials, *, enabled):
    """Show the finished trials of a study, whoever finishes them."""
    bar = tqdm(total=n_trials, unit="trial", desc="search", disable=not enabled)

    def show(study, trial=None):
        trials = study.get_trials(deepcopy=False, states=FINISHED)
        scores = [t.value for t in trials if t.state == TrialState.COMPLETE]
        best = {"best": f"{max(scores):.4g}"} if scores else {}
        bar.set_postfix({"pruned": len(trials) - len(scores)} | best, refresh=False)
        bar.update(len(trials) - bar.n)

    show(study)
    with bar:
        yield show

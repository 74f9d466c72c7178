"""Optuna studies that processes share and that survive the death of any of them.

A trial belongs to the process that runs it. When the process dies, its trial is marked as failed
and its parameters are queued again, so that every trial is finished exactly once. Optuna itself
does this by heartbeats in databases; here a process that died on this machine is noticed at once,
in every kind of storage.
"""

import os
import socket
import time
import warnings
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from trisk.model_selection._scoring import GivenUp

# Seconds between heartbeats, and without one after which a trial's machine counts as lost.
_HEARTBEAT, _GRACE = 15, 60
# Seconds between looks at what other processes are doing.
_PATIENCE = 0.5
# What a trial's notes say: which trial it repeats, which process put it into the queue, which one
# runs it, and why one that failed is not repeated: it was one too many, or its network diverged.
_RETRY_OF, _QUEUED_BY, _WORKER = "retry_of", "queued_by", "worker"
_SURPLUS, _DIVERGED = "surplus", "diverged"


def open_storage(storage):
    """Open a storage given by a path, a URL or as an Optuna object.

    Parameters
    ----------
    storage : str, path-like, optuna.storages.BaseStorage or None
        As in :func:`trisk.model_selection.optuna_search`.

    Returns
    -------
    storage : optuna.storages.BaseStorage or None
        Storage with heartbeats where its kind has them; None stays None (memory).
    """
    if storage is None or not isinstance(storage, str | os.PathLike):
        return storage
    text = str(storage)
    if "://" not in text:
        path = Path(text).expanduser().absolute()
        if path.suffix in (".log", ".journal"):
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(path)))
        if path.suffix not in (".db", ".sqlite", ".sqlite3"):
            raise ValueError(
                f"storage={text!r} is neither a URL (postgresql://…, sqlite:///…) nor a file "
                "whose name ends in .db or .sqlite (SQLite), .log or .journal (Optuna's journal)."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"sqlite:///{path}"
    with _quietly():
        return _open_database(text)


def open_study(storage, name, pruner):
    """Create a study of scores to maximise, or join it.

    Parameters
    ----------
    storage : str, path-like, optuna.storages.BaseStorage or None
        As for :func:`open_storage`.
    name : str
        Name of the study.
    pruner : optuna.pruners.BasePruner
        Which trials to give up.

    Returns
    -------
    study : optuna.Study
        The study.
    """
    with _optuna_silent():
        return optuna.create_study(
            storage=open_storage(storage),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=pruner,
        )


def _open_database(url, attempts=5):
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
    from sqlalchemy.pool import NullPool

    for attempt in range(attempts):
        try:
            return RDBStorage(
                url,
                # Trials take far longer than connecting, and no connection is left open.
                engine_kwargs={"poolclass": NullPool},
                heartbeat_interval=_HEARTBEAT,
                grace_period=_GRACE,
            )
        except (IntegrityError, OperationalError, ProgrammingError):
            # Processes that start together all find an empty database and make its tables.
            if attempt == attempts - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


@contextmanager
def _quietly():
    """Let no message pass that Optuna's heartbeats are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


class PerTrialSampler(optuna.samplers.BaseSampler):
    """Tree-structured Parzen estimator with a seed of its own for every trial.

    A study that was interrupted and resumed then draws what it would have drawn without the
    interruption.

    Parameters
    ----------
    seed : int
        Seed of the study.
    """

    def __init__(self, seed):
        self.seed = seed

    def before_trial(self, study, trial):
        """Start the trial's own sampler."""
        index = _draw_index(study.get_trials(deepcopy=False), trial)
        seed = np.random.SeedSequence([self.seed, index]).generate_state(1)[0]
        self._sampler = optuna.samplers.TPESampler(seed=int(seed))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study, trial):
        """Parameters that are drawn jointly."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        """Draw them."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        """Draw a parameter by itself."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def live_trials(study):
    """Trials of a study without those that died and were queued again.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    trials : list of optuna.trial.FrozenTrial
        In the order of their numbers.
    """
    trials = study.get_trials(deepcopy=False)
    # Processes that notice a death at the same moment all queue the trial; its first retry counts.
    retried = [t for t in reversed(trials) if _RETRY_OF in t.user_attrs]
    retries = {t.user_attrs[_RETRY_OF]: t.number for t in retried}
    return [
        t
        for t in trials
        if t.number not in retries
        and _SURPLUS not in t.user_attrs
        and retries.get(t.user_attrs.get(_RETRY_OF), t.number) == t.number
    ]


def _draw_index(trials, trial):
    """How many draws were begun before a trial's own; one that is run again is drawn once."""
    while _RETRY_OF in trial.user_attrs:
        trial = trials[trial.user_attrs[_RETRY_OF]]
    return sum(_RETRY_OF not in t.user_attrs for t in trials[: trial.number])


def run_trials(study, objective, n_trials, *, together=1, timeout=None, on_progress=None):
    """Run trials until a study has so many, counting those of all processes.

    Returns once every one of them is finished, wherever it runs.

    Parameters
    ----------
    study : optuna.Study
        The study.
    objective : Objective
        Draws a trial's parameters, and runs trials.
    n_trials : int
        Trials of the whole study.
    together : int, default=1
        Trials that are drawn before the first of them is run.
    timeout : float, default=None
        Seconds after which no further trial is started.
    on_progress : callable, default=None
        Called with the study after every batch of trials and while waiting for other processes.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while deadline is None or time.monotonic() < deadline:
        _recover(study)
        trials = live_trials(study)
        n_waiting = sum(t.state == TrialState.WAITING for t in trials)
        # A batch that was interrupted is completed before the next one is drawn, which then
        # knows as many results as it would have known.
        n_begun = len(trials) - bool(n_waiting)
        n_new = min(n_trials, n_begun - n_begun % together + together) - len(trials)
        n_new = max(0, min(n_new, together - n_waiting))
        if n_waiting or n_new:
            for _ in range(n_new):
                # Signed before it is begun: if this process dies while it begins the trial, others
                # know at once.
                study.enqueue_trial({}, user_attrs={_QUEUED_BY: list(_this_process())})
            _run_batch(study, objective, n_trials, min(together, n_waiting + n_new))
        elif any(t.state == TrialState.RUNNING for t in trials):
            time.sleep(_PATIENCE)
        else:
            break
        if on_progress is not None:
            on_progress(study)
    if on_progress is not None:
        on_progress(study)


def _run_batch(study, objective, n_trials, size):
    """Draw trials, run them and tell how each of them ended."""
    running = {}
    with _optuna_silent(), ExitStack() as heartbeats:
        try:
            for _ in range(size):
                trial = _begin(study, objective, n_trials)
                if trial is not None:
                    running[trial.number] = trial
                    heartbeat = get_heartbeat_thread(trial._trial_id, study._storage)
                    heartbeat.start()
                    heartbeats.callback(heartbeat.join)
            for trial, outcome in objective(list(running.values())) if running else ():
                _tell(study, trial, outcome)
                del running[trial.number]
        except BaseException:
            # Ctrl-C, or a mistake to be mended: the trials are still to be run.
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if trial.number in running:
                    _queue_again(study, trial)
                    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            raise


def _begin(study, objective, n_trials):
    """Draw a trial, unless other processes made it needless a moment earlier."""
    with warnings.catch_warnings():
        # Each trial gets its heartbeat, as it would from Study.optimize, which runs one at a time.
        warnings.filterwarnings("ignore", message="Heartbeat of storage", category=UserWarning)
        trial = study.ask()
    try:
        trial.set_user_attr(_WORKER, list(_this_process()))
        if trial.number not in [t.number for t in live_trials(study)[:n_trials]]:
            trial.set_user_attr(_SURPLUS, True)
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            return None
        objective.draw(trial)
    except UpdateFinishedTrialError:
        return None  # it was waiting under the name of a process that had died: queued again
    return trial


def _tell(study, trial, outcome):
    """Finish a trial, unless others took this process for lost and run it now."""
    state, score = TrialState.FAIL, None
    if isinstance(outcome, GivenUp):
        state = TrialState.PRUNED
    # A network that diverges is a finding about its parameters, not an error of the search.
    elif not isinstance(outcome, FloatingPointError) and np.isfinite(outcome).all():
        state, score = TrialState.COMPLETE, outcome.mean()
    with suppress(UpdateFinishedTrialError):
        if state == TrialState.FAIL:
            trial.set_user_attr(_DIVERGED, True)
        elif score is not None:
            trial.set_user_attr("fold_scores", outcome.tolist())
        study.tell(trial, score, state=state, skip_if_finished=True)


@contextmanager
def _optuna_silent():
    """Keep Optuna from logging: the progress bar tells the same, and errors are raised."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _this_process():
    pid = os.getpid()
    return socket.gethostname(), pid, _start_of(pid)


def _start_of(pid):
    """When a process started, which tells it from a later one of the same number."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    after_name = line.rpartition(")")[2].split()
    # A zombie was killed, and its parent has not asked after it.
    return "" if after_name[0] == "Z" else after_name[19]


def _is_dead(worker):
    """Whether a process is known to be dead; those of other machines never are."""
    host, pid, start = worker
    if host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _start_of(pid) != start


def _recover(study):
    """Queue again what processes that died on this machine, or lost machines, were running."""
    with _quietly():
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _was_lost(trial):
            with suppress(UpdateFinishedTrialError, ValueError):  # another process was faster
                study.tell(trial.number, state=TrialState.FAIL)
    # Also those that a process failed which died itself before it could queue them again.
    trials = study.get_trials(deepcopy=False)
    repeated = {t.user_attrs.get(_RETRY_OF) for t in trials}
    for trial in trials:
        explained = _SURPLUS in trial.user_attrs or _DIVERGED in trial.user_attrs
        if trial.state == TrialState.FAIL and not explained and trial.number not in repeated:
            _queue_again(study, trial)


def _was_lost(trial):
    """Whether a running trial's process is known to be dead."""
    if _WORKER in trial.user_attrs:
        return _is_dead(trial.user_attrs[_WORKER])
    # The process that began it has not signed it yet, or died before it could. Often it is the one
    # that queued it; but any other may have taken it from the queue.
    queued_by = trial.user_attrs.get(_QUEUED_BY)
    if queued_by is not None and _is_dead(queued_by):
        return True
    return time.time() - trial.datetime_start.timestamp() > _GRACE


def _queue_again(study, trial):
    study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number})

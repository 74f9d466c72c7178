"""Optuna searches: what they find, what they give up, and what survives a killed process."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from postgresql import postgresql_server
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import trisk
from trisk import HybridTRIADSRegressor, composition_pipeline
from trisk.estimators import HybridTRIADSOptions
from trisk.model_selection import _study, optuna_search, search_space

SPACE = {"alpha": FloatDistribution(1e-3, 1e3, log=True)}
SMALL = HybridTRIADSOptions(hidden_dim=8, feedforward_dim=8, n_steps=1)
TINY = {"n_members": 1, "max_epochs": 10, "network": SMALL}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(0, 0.3, 60)


def quiet(estimator, X, y, **settings):
    settings = {"n_trials": 4, "cv": 3, "random_state": 0, "verbose": 0} | settings
    return optuna_search(estimator, X, y, **settings)


def drawn(search):
    frame = search.trials_dataframe()
    return frame[[c for c in frame.columns if c in search.study_.best_params]].to_numpy().tolist()


PREDICTORS = [
    n for n in trisk.estimators.__all__ if hasattr(getattr(trisk.estimators, n), "predict")
]


@pytest.mark.parametrize("name", PREDICTORS)
def test_search_space__every_draw_is_a_valid_parameter(name):
    around = {
        "DeltaRegressor": [Ridge()],
        "CalibratedVotingRegressor": [[("network", HybridTRIADSRegressor())]],
    }
    estimator = getattr(trisk.estimators, name)(*around.get(name, ()))
    space = search_space(estimator)
    assert space
    rng = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=rng)
    for _ in range(20):
        trial = study.ask(space)
        clone(estimator).set_params(**trial.params)._validate_params()


def test_search_space__pipeline__names_carry_the_step():
    space = search_space(composition_pipeline("general"))
    assert set(space) == {f"model__{name}" for name in search_space(HybridTRIADSRegressor())}


def test_search__finds_what_is_better_and_behaves_like_an_estimator(data):
    X, y = data
    search = quiet(Ridge(), X, y, n_trials=8, space=SPACE)
    assert is_regressor(search)
    assert is_classifier(clone(search).set_params(estimator=LogisticRegression()))
    assert search.best_params_["alpha"] < 10
    assert search.best_score_ == search.trials_dataframe()["score"].max()
    assert search.best_estimator_.alpha == search.best_params_["alpha"]
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.predict(X))
    assert search.score(X, y) == search.best_estimator_.score(X, y)
    assert search.n_features_in_ == 4
    assert len(search.study_.trials) == 8
    assert not hasattr(search, "predict_proba")
    with pytest.raises(NotFittedError):
        clone(search).predict(X)


def test_search__trisk_pipeline__tunes_prefixed_names(data):
    X, y = data
    network = HybridTRIADSRegressor(**{**TINY, "n_members": 2}, random_state=0)
    model = make_pipeline(StandardScaler(), network)
    search = quiet(model, X, y, n_trials=2, cv=2)
    assert all(name.startswith("hybridtriadsregressor__") for name in search.best_params_)
    mean, spread = search.predict(X, return_std=True)
    assert mean.shape == spread.shape == (60,)
    frame = search.trials_dataframe()
    assert frame["state"].tolist() == ["complete"] * 2
    assert (frame["seconds"] > 0).all()
    assert (frame["score_std"] > 0).all()


def test_search__same_seed__same_trials(data):
    first, second = (quiet(Ridge(), *data, space=SPACE, n_trials=12) for _ in range(2))
    assert drawn(first) == drawn(second)
    assert drawn(first) != drawn(quiet(Ridge(), *data, space=SPACE, n_trials=12, random_state=1))


def test_search__resumed__draws_what_one_run_would_have_drawn(data, tmp_path):
    storage = str(tmp_path / "study.db")
    whole = quiet(Ridge(), *data, space=SPACE, n_trials=14)
    quiet(Ridge(), *data, space=SPACE, n_trials=12, storage=storage)
    resumed = quiet(Ridge(), *data, space=SPACE, n_trials=14, storage=storage)
    assert drawn(resumed) == drawn(whole)


class ThresholdPruner(optuna.pruners.BasePruner):
    """Give up all trials with a large parameter, and remember when it was asked."""

    def __init__(self, threshold):
        self.threshold = threshold
        self.steps = []

    def prune(self, study, trial):
        self.steps.append((trial.number, trial.last_step))
        return max(trial.params.values()) > self.threshold


def test_search__poor_trial__given_up_after_one_fold(data):
    pruner = ThresholdPruner(10)
    search = quiet(Ridge(), *data, space=SPACE, n_trials=6, cv=4, pruner=pruner)
    frame = search.trials_dataframe()
    pruned = frame["state"] == "pruned"
    assert pruned.tolist() == (frame["alpha"] > 10).tolist()
    assert 0 < pruned.sum() < 6
    for number, state in frame["state"].items():
        steps = [step for trial, step in pruner.steps if trial == number]
        assert steps == ([25] if state == "pruned" else [25, 50, 75])


def test_search__trisk_estimator__given_up_after_a_tenth_of_the_epochs(data):
    pruner = ThresholdPruner(0.2)
    space = {"network__dropout": CategoricalDistribution([0.1, 0.3])}
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    search = quiet(model, *data, space=space, n_trials=6, pruner=pruner)
    frame = search.trials_dataframe()
    assert (frame["state"] == "pruned").tolist() == (frame["network__dropout"] > 0.2).tolist()
    assert set(frame["state"]) == {"pruned", "complete"}
    for number, state in frame["state"].items():
        steps = [step for trial, step in pruner.steps if trial == number]
        assert steps == ([10] if state == "pruned" else list(range(10, 100, 10)))


def test_search__watching_does_not_change_the_training(data):
    X, y = data
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    space = {"network__dropout": CategoricalDistribution([HybridTRIADSOptions().dropout])}
    search = quiet(model, X, y, n_trials=1, space=space, cv=KFold(3))
    from trisk.model_selection import cross_validate

    scores = cross_validate(model, X, y, cv=KFold(3))["test_score"]
    np.testing.assert_allclose(search.study_.trials[0].user_attrs["fold_scores"], scores)
    values = search.study_.trials[0].intermediate_values
    assert list(values) == list(range(10, 100, 10))
    assert values[90] == pytest.approx(scores.mean(), abs=0.3)


class Diverging(Ridge):
    def fit(self, X, y):
        if self.alpha > 1:
            raise FloatingPointError("diverged")
        return super().fit(X, y)


def test_search__diverging_trials__are_findings(data):
    search = quiet(Diverging(), *data, space=SPACE, n_trials=6)
    frame = search.trials_dataframe()
    assert (frame["state"] == "diverged").tolist() == (frame["alpha"] > 1).tolist()
    assert len(frame) == 6
    assert search.best_params_["alpha"] <= 1


class Broken(Ridge):
    def fit(self, X, y):
        raise OSError("no space left on device")


def test_search__error__stops_and_leaves_the_trial_to_be_run(data, tmp_path):
    storage = str(tmp_path / "study.log")
    Broken.__name__ = "Ridge"  # the same study, with the error fixed afterwards
    with pytest.raises(OSError, match="no space left"):
        quiet(Broken(), *data, space=SPACE, storage=storage)
    search = quiet(Ridge(), *data, space=SPACE, storage=storage)
    assert drawn(search) == drawn(quiet(Ridge(), *data, space=SPACE))
    assert len(search.study_.trials) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": None}, r"Ridge publishes no search space. Pass space=\{"),
        ({"n_trials": 0}, "n_trials must be a positive integer, not 0"),
        ({"storage": "study.txt"}, "neither a URL .* nor a file whose name ends in .db"),
        ({"n_jobs": 2}, "need a storage that they can share"),
        ({"timeout": 0.0}, "No trial came to an end"),
    ],
)
def test_search__bad_settings__say_what_to_do(data, settings, message):
    with pytest.raises(ValueError, match=message):
        quiet(Ridge(), *data, **{"space": SPACE} | settings)


def test_search__storage_of_other_data__is_refused(data, tmp_path):
    X, y = data
    storage = str(tmp_path / "study.db")
    quiet(Ridge(), X, y, space=SPACE, storage=storage)
    with pytest.raises(ValueError, match=r"'trisk' in .*study.db.* was made with another"):
        quiet(Ridge(), X, -y, space=SPACE, storage=storage)
    quiet(Ridge(), X, -y, space=SPACE, storage=storage, study_name="negative")


@pytest.mark.parametrize("other", ["scoring", "parameter", "columns"])
def test_search__storage_of_another_question__is_refused(data, tmp_path, other):
    X, y = data
    model, settings = Ridge(), {"space": SPACE, "storage": str(tmp_path / "study.log")}
    quiet(model, X, y, scoring="r2", **settings)
    quiet(Ridge(), X, y, scoring="r2", **settings)
    with pytest.raises(ValueError, match="another estimator, scoring, other columns"):
        quiet(
            Ridge(fit_intercept=other != "parameter"),
            X[:, :3] if other == "columns" else X,
            y,
            scoring="neg_mean_absolute_error" if other == "scoring" else "r2",
            **settings,
        )


class Slow(Ridge):
    """Takes its time, and notes every fit."""

    delay = 0.0

    def __init__(self, alpha=1.0, *, log=None):
        super().__init__(alpha)
        self.log = log

    def fit(self, X, y):
        time.sleep(self.delay)
        with Path(self.log).open("a", encoding="utf-8") as file:
            file.write(f"{self.alpha!r}\n")
        return super().fit(X, y)


def run_study(storage, log, delay, queue):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0]
    # Heartbeats as fast as Optuna allows, so that a killed process is missed soon.
    _study._HEARTBEAT, _study._GRACE = 1, 3
    Slow.delay = delay  # of this process; a parameter would make another study
    slow = Slow(log=str(log))
    search = quiet(slow, X, y, space=SPACE, storage=storage, n_trials=12, cv=2)
    queue.put(search.trials_dataframe()["alpha"].tolist())


pytestmark = [
    # Python 3.12 warns of forks beside threads; the children use none.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    # Of a journal that a process had locked when it was killed.
    pytest.mark.filterwarnings("ignore:The existing lock file has not been released:UserWarning"),
]


def start(storage, log, delay=0.1):
    """Begin a search in a process of its own; forked, because importing takes seconds."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=run_study, args=(storage, log, delay, queue))
    process.start()
    return process, queue


def kill(started):
    process, _ = started
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def finish(started):
    process, queue = started
    process.join(120)
    assert process.exitcode == 0
    return queue.get()


def wait_for_lines(log, n_lines):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if log.exists() and len(log.read_text(encoding="utf-8").splitlines()) >= n_lines:
            return
        time.sleep(0.02)
    raise TimeoutError(f"no {n_lines} lines in {log}")


def read_study(storage):
    study, _ = _study.open_study(storage, "trisk", None)
    return study


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_killed_search__resumed__loses_nothing(tmp_path, name):
    storage, log = str(tmp_path / name), tmp_path / "fits"
    # Killed while its fifth trial runs: two fits per trial and one at the end.
    killed = start(storage, log)
    wait_for_lines(log, 9)
    kill(killed)
    time.sleep(4)
    alphas = finish(start(storage, log, delay=0))
    assert len(alphas) == len(set(alphas)) == 12
    trials = read_study(storage).trials
    assert len(trials) == 13
    fits = log.read_text(encoding="utf-8").split()
    assert {float(a) for a in fits} >= set(alphas)
    repeated = [a for a in set(fits) if fits.count(a) > 2]
    assert len(repeated) <= 2  # the killed trial, and the best one on all rows
    untouched = finish(start(str(tmp_path / "untouched.db"), tmp_path / "others", delay=0))
    if name == "study.db":  # the trial that was lost is put back and comes first
        assert alphas == untouched
    else:
        assert alphas[:4] == untouched[:4]


def share_a_study(storage, tmp_path):
    """Three processes on one study, one of them killed; parameters that were begun and ended."""
    log = tmp_path / "fits"
    processes = [start(storage, log) for _ in range(3)]
    wait_for_lines(log, 6)
    kill(processes[1])
    first, last = finish(processes[0]), finish(processes[2])
    trials = read_study(storage).trials
    ended = [t.params["alpha"] for t in trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert set(first) | set(last) == set(ended)
    assert min(len(first), len(last)) >= 12
    # Trials that are begun at the same moment do not see one another.
    assert len(ended) == len(set(ended)) <= 14
    return {float(a) for a in log.read_text(encoding="utf-8").split()}, set(ended)


def test_processes__share_a_study_by_a_database(tmp_path):
    begun, ended = share_a_study(str(tmp_path / "study.db"), tmp_path)
    assert begun == ended  # that of the killed process too


def test_processes__share_a_study_by_a_journal(tmp_path):
    begun, ended = share_a_study(str(tmp_path / "study.log"), tmp_path)
    assert begun >= ended


def test_processes__share_a_study_by_postgresql(tmp_path):
    with postgresql_server() as url:
        begun, ended = share_a_study(url, tmp_path)
    assert begun == ended


class Interrupted(Ridge):
    """Ctrl-C in the third trial."""

    n_fits = 0

    def fit(self, X, y):
        Interrupted.n_fits += 1
        if Interrupted.n_fits == 8:
            raise KeyboardInterrupt
        return super().fit(X, y)


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_ctrl_c__resumed__draws_what_one_run_would_have_drawn(data, tmp_path, name):
    storage = str(tmp_path / name)
    Interrupted.__name__, Interrupted.n_fits = "Ridge", 0
    with pytest.raises(KeyboardInterrupt):
        quiet(Interrupted(), *data, space=SPACE, storage=storage, n_trials=14)
    resumed = quiet(Ridge(), *data, space=SPACE, storage=storage, n_trials=14)
    assert len(resumed.study_.trials) == 15
    assert drawn(resumed) == drawn(quiet(Ridge(), *data, space=SPACE, n_trials=14))


@pytest.mark.parametrize("gave_a_sign", [True, False])
def test_machine_that_is_lost__is_noticed_by_its_missing_heartbeat(
    data, tmp_path, monkeypatch, gave_a_sign
):
    monkeypatch.setattr(_study, "_GRACE", 2)
    monkeypatch.setattr(_study, "_HEARTBEAT", 1)
    storage = str(tmp_path / "study.db")
    quiet(Ridge(), *data, space=SPACE, storage=storage, n_trials=2)
    # Another machine begins a trial, gives one sign of life or none, and is heard of no more.
    with _study._quiet():
        database = _study._open_database(f"sqlite:///{storage}")
    study = optuna.load_study(study_name="trisk", storage=database)
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        lost = study.ask(SPACE)
    if gave_a_sign:
        database.record_heartbeat(lost._trial_id)
    search = quiet(Ridge(), *data, space=SPACE, storage=storage, n_trials=4)
    assert lost.params["alpha"] in search.trials_dataframe()["alpha"].tolist()
    assert search.trials_dataframe()["state"].tolist() == ["complete"] * 4


class Overtaken(Ridge):
    """Others take the process for lost while its second trial runs."""

    storage = None
    n_fits = 0

    def fit(self, X, y):
        Overtaken.n_fits += 1
        if Overtaken.n_fits == 4:
            study = read_study(self.storage)
            running = study.get_trials(states=[optuna.trial.TrialState.RUNNING])
            study.tell(running[0].number, state=optuna.trial.TrialState.FAIL)
        return super().fit(X, y)


def test_trial_that_others_took_over__does_not_end_the_search(data, tmp_path):
    Overtaken.storage = str(tmp_path / "study.db")
    search = quiet(Overtaken(), *data, space=SPACE, storage=Overtaken.storage)
    assert search.trials_dataframe()["state"].tolist() == ["complete"] * 4
    assert len(search.study_.trials) == 5


def test_weights__reach_trials_and_the_last_fit(data):
    X, y = data
    weight = np.where(np.arange(60) < 40, 1.0, 0.0)
    spoilt = np.where(weight > 0, y, 1e6)
    cv = [(np.arange(20, 60), np.arange(20))]
    search = quiet(Ridge(), X, spoilt, space=SPACE, cv=cv, params={"sample_weight": weight})
    assert search.best_score_ > 0.5
    assert search.score(X[:40], y[:40]) > 0.9


def test_other_weights_are_another_study(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 3))
    space = {"alpha": FloatDistribution(0.1, 1.0)}
    settings = {"n_trials": 1, "space": space, "storage": str(tmp_path / "s.log"), "verbose": 0}
    optuna_search(Ridge(), X, X[:, 0], **settings)
    with pytest.raises(ValueError, match="other"):
        optuna_search(Ridge(), X, X[:, 0], params={"sample_weight": np.arange(30)}, **settings)

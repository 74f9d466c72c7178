"""Trials of a study as members of one batch, against the same trials one after the other."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import NopPruner
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochTimer

from trisk import HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.estimators.tables import _joint_training
from trisk.model_selection import optuna_search
from trisk.model_selection._study import live_trials, open_storage

TINY = {"n_members": 2, "max_epochs": 10, "hidden_dim": 8, "feedforward_dim": 8, "n_steps": 2}
RATES = {
    "learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-3, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.4),
}
SAME_SHAPE = RATES | {
    "frequency_scale": FloatDistribution(0.2, 2.0, log=True),
    "loss": CategoricalDistribution(["absolute_error", "squared_error", "huber"]),
    "scaling": CategoricalDistribution(["robust", "standard"]),
    "n_neighbors": CategoricalDistribution([2, 4]),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(41, 3))  # folds of two lengths
    return X, X @ [1.0, -2.0, 0.5] + rng.normal(0, 0.3, 41)


@pytest.fixture
def networks(monkeypatch):
    """How many members each network began and ended with."""
    trained, train = [], _joint_training.train_members

    def note(settings, dataset, *arguments, **options):
        n_members = len(dataset.seeds)
        net = train(settings, dataset, *arguments, **options)
        trained.append((n_members, net.module_.n_members))
        return net

    monkeypatch.setattr(_joint_training, "train_members", note)
    return trained


def tune(estimator, data, trials_together, **settings):
    settings = {
        "n_trials": 4,
        "cv": 3,
        "random_state": 0,
        "verbose": 0,
        "space": RATES,
        "pruner": NopPruner(),
        "refit": False,
    } | settings
    return optuna_search(estimator, *data, trials_together=trials_together, **settings)


def assert_same_trials(together, apart):
    """Equal up to what single-precision sums of another order do to a training."""
    trials = [live_trials(search.study_) for search in (together, apart)]
    for one, other in zip(*trials, strict=True):
        assert one.params == other.params
        assert one.state == other.state
        assert list(one.intermediate_values) == list(other.intermediate_values)
        for ours, theirs in (
            (list(one.intermediate_values.values()), list(other.intermediate_values.values())),
            (one.user_attrs.get("fold_scores", []), other.user_attrs.get("fold_scores", [])),
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{}, {"validation_fraction": 0.2, "averaging": "swa"}, {"calibrate": True, "max_epochs": 4}],
    ids=str,
)
def test_trials_together_equal_trials_apart(data, networks, options):
    model = HybridTRIADSRegressor(**TINY | options, random_state=0)
    apart = tune(model, data, 1, space=SAME_SHAPE)
    n_apart = len(networks)
    together = tune(model, data, 4, space=SAME_SHAPE)
    assert_same_trials(together, apart)
    # Two lengths of folds in each trial; inner folds, of three lengths, are batched too.
    assert len(networks) - n_apart == n_apart // 4
    assert networks[n_apart] == (16, 16)


def test_classifier_in_a_pipeline__other_steps_may_differ(data, networks):
    X, y = data
    space = {
        "hybridtriadsclassifier__dropout": RATES["dropout"],
        "hybridtriadsclassifier__class_weight": CategoricalDistribution([None, "balanced"]),
        "standardscaler__with_mean": CategoricalDistribution([True, False]),
    }
    model = make_pipeline(StandardScaler(), HybridTRIADSClassifier(**TINY, random_state=0))
    settings = {"space": space, "n_trials": 3, "scoring": "roc_auc"}
    apart = tune(model, (X, y > 0), 1, **settings)
    n_apart = len(networks)
    assert_same_trials(
        tune(model, (X, y > 0), 3, space=space, n_trials=3, scoring="roc_auc"), apart
    )
    assert len(networks) < 2 * n_apart


def test_other_shapes__train_in_batches_of_their_own(data, networks):
    space = {"hidden_dim": CategoricalDistribution([4, 8]), "dropout": RATES["dropout"]}
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    search = tune(model, data, 6, space=space, n_trials=6, cv=[(np.arange(20), np.arange(20, 41))])
    drawn = search.trials_dataframe()["hidden_dim"].value_counts()
    assert len(drawn) == 2
    assert sorted(n for n, _ in networks) == sorted(2 * n for n in drawn)


@pytest.mark.parametrize(
    "option", [{"patience": 3}, {"callbacks": [EpochTimer()]}], ids=["patience", "callbacks"]
)
def test_what_ends_a_whole_training__keeps_trials_apart(data, networks, option):
    model = HybridTRIADSRegressor(**TINY, **option, validation_fraction=0.2, random_state=0)
    tune(model, data, 2, n_trials=2, cv=[(np.arange(20), np.arange(20, 41))])
    assert networks == [(2, 2), (2, 2)]


class StepPruner(optuna.pruners.BasePruner):
    """Give up all trials of a large dropout, the larger the earlier."""

    def prune(self, study, trial):
        return trial.params["dropout"] > 0.3 - 0.002 * trial.last_step


@pytest.mark.parametrize("options", [{}, {"validation_fraction": 0.2}], ids=str)
def test_trials_that_are_given_up__leave_the_batch(data, networks, options):
    model = HybridTRIADSRegressor(**TINY | options, random_state=0)
    settings = {"n_trials": 5, "pruner": StepPruner(), "cv": 2}
    apart = tune(model, data, 1, **settings)
    networks.clear()
    together = tune(model, data, 5, **settings)
    assert_same_trials(together, apart)
    states = together.trials_dataframe()["state"].tolist()
    assert len({t.last_step for t in live_trials(together.study_)}) > 2
    # Folds of 20 and of 21 rows; the second begins with those that are left of the first.
    (first, left), (second, end) = networks
    assert first == 10
    assert 10 > left == second >= end == 2 * states.count("complete") > 0


def test_all_are_given_up__training_ends(data, networks):
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    space = {"dropout": FloatDistribution(0.31, 0.4)}
    with pytest.raises(ValueError, match="No trial came to an end"):
        tune(model, data, 3, n_trials=3, space=space, pruner=StepPruner())
    assert networks == [(12, 12)]


def test_folds_that_fill_a_batch__are_given_up_by_fold(data, networks, monkeypatch):
    monkeypatch.setattr(_joint_training, "_CPU_ROWS_PER_STEP", 80)
    model = HybridTRIADSRegressor(**TINY, random_state=0)
    settings = {"n_trials": 5, "pruner": StepPruner(), "cv": 3}
    apart = tune(model, data, 1, **settings)
    n_apart = len(networks)
    assert max(n for n, _ in networks) == 2
    assert_same_trials(tune(model, data, 5, **settings), apart)
    assert networks[n_apart:] == networks[:n_apart]


def test_network_that_diverges__takes_no_other_with_it(data):
    model = HybridTRIADSRegressor(**TINY, max_grad_norm=None, random_state=0)
    space = RATES | {"learning_rate": CategoricalDistribution([1e-2, 1e38])}
    apart, together = (tune(model, data, k, space=space) for k in (1, 4))
    assert_same_trials(together, apart)
    frame = together.trials_dataframe()
    assert set(frame["state"]) == {"complete", "fail"}
    assert (frame["state"] == "fail").tolist() == (frame["learning_rate"] > 1).tolist()


def test_other_estimators__run_one_by_one(data):
    space = {"alpha": FloatDistribution(1e-3, 1e3, log=True)}
    settings = {"space": space, "n_trials": 12}
    apart, together = (tune(Ridge(), data, k, **settings) for k in (1, 5))
    assert len(live_trials(together.study_)) == 12
    assert_same_trials(together, tune(Ridge(), data, 5, **settings))
    # The first ten are drawn at random, the others with fewer results in sight.
    first = [search.trials_dataframe()["score"][:10] for search in (apart, together)]
    np.testing.assert_array_equal(*first)


@pytest.mark.parametrize("value", [0, 2.5, None])
def test_bad_number__is_named(data, value):
    with pytest.raises(
        ValueError, match=f"trials_together must be a positive integer, not {value}"
    ):
        tune(Ridge(), data, value)


KILLED_WHILE_TELLING = """
import os, signal, sys
from test_trials_together import resumable
from trisk.model_selection import _study

tell, told = _study._tell, []

def die_at_the_seventh(study, trial, outcome):
    told.append(trial.number)
    if len(told) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    tell(study, trial, outcome)

_study._tell = die_at_the_seventh
resumable(sys.argv[1])
"""


def resumable(storage):
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = HybridTRIADSRegressor(**TINY | {"max_epochs": 3}, random_state=0)
    return tune(model, (X, X[:, 0]), 4, n_trials=14, cv=2, storage=storage)


def test_killed_in_a_batch__resumed__loses_nothing_and_repeats_nothing(tmp_path):
    storage = str(tmp_path / "study.db")
    command = [sys.executable, "-c", KILLED_WHILE_TELLING, storage]
    killed = subprocess.run(command, check=False, cwd=Path(__file__).parent)
    assert killed.returncode == -signal.SIGKILL
    # Two trials of the second batch were told, two were not.
    begun = optuna.load_study(study_name="trisk", storage=open_storage(storage)).trials
    assert [t.state.name for t in begun] == ["COMPLETE"] * 6 + ["RUNNING"] * 2
    resumed, untouched = resumable(storage), resumable(None)
    assert len(resumed.study_.trials) == 16  # both that were running were begun again
    draws = [
        sorted(t.params["dropout"] for t in search.study_.trials if t.state.name == "COMPLETE")
        for search in (resumed, untouched)
    ]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 14
